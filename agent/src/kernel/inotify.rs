//! Tells when a file may have come, gone or changed, by inotify on its directory.
#![expect(unsafe_code, reason = "tokio takes a descriptor of ours on our word")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One name in one directory.
#[derive(Debug)]
pub struct FileWatch {
    events: AsyncFd<Descriptor>,
    name: OsString,
}

#[derive(Debug)]
struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl FileWatch {
    /// Watches for what happens under this name; nothing need be there yet.
    ///
    /// # Errors
    /// The directory is not there, or the kernel has no inotify left to give.
    pub fn start(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // Whether it can be read is part of it, hence the attributes.
        let wanted = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        inotify.add_watch(directory, wanted)?;
        // SAFETY: the descriptor belongs to the value and is the same one for as long as that lives.
        let events =
            unsafe { AsyncFd::register_with_interest(Descriptor(inotify), Interest::READABLE) }?;
        Ok(Self { events, name: path.file_name().unwrap_or_default().to_owned() })
    }

    /// Waits for a change; nothing is lost when the waiting is given up.
    ///
    /// # Errors
    /// The directory is gone: there will be no more events.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.events.readable().await?;
            let Ok(read) = ready.try_io(|events| Ok(events.get_ref().0.read_events()?)) else {
                continue;
            };
            let events = read?;
            if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED)) {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the directory is gone"));
            }
            if events.iter().any(|event| self.concerns(event)) {
                return Ok(());
            }
        }
    }

    fn concerns(&self, event: &InotifyEvent) -> bool {
        event.name.as_ref() == Some(&self.name) || event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
    }
}

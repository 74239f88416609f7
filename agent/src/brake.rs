//! The brake of a node: while it is on, no fault may stand here.
//!
//! It is a file beside the agent's socket, so that it outlives the agent and needs none: `touch
//! /run/schism/halt` stops everything, whoever is connected. The file is the only truth; whether it is
//! there is asked anew before every decision.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kernel::FileWatch;

/// The longest reason (4 KiB).
pub const LONGEST_REASON: usize = 4 << 10;

/// Whether faults may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They may.
    Off,
    /// They may not, for this reason; never empty.
    On(String),
}

impl Standing {
    /// Why they may not; empty where they may.
    #[must_use]
    pub fn reason(self) -> String {
        match self {
            Self::Off => String::new(),
            Self::On(reason) => reason,
        }
    }
}

/// Where a node's brake is kept. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Brake(Kept);

#[derive(Clone, Debug)]
enum Kept {
    /// The lock is held by whoever writes: there is one name for what is not complete yet.
    File(Arc<(PathBuf, Mutex<()>)>),
    Memory(Arc<Mutex<Option<String>>>),
}

/// The brake could not be put on or taken off for good.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {source}")]
pub struct BrakeError {
    /// What was attempted.
    pub what: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Brake {
    /// The one of the agent that listens there: the file `halt` in the directory of its socket.
    #[must_use]
    pub fn beside(socket: &Path) -> Self {
        Self(Kept::File(Arc::new((socket.with_file_name("halt"), Mutex::new(())))))
    }

    /// One that is kept in memory, for agents without a node: it lasts as long as its handles.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Kept::Memory(Arc::default()))
    }

    /// How it stands. What cannot be read counts as on: somebody may have meant it.
    #[must_use]
    pub fn read(&self) -> Standing {
        match &self.0 {
            Kept::File(kept) => read(&kept.0),
            Kept::Memory(kept) => lock(kept).clone().map_or(Standing::Off, Standing::On),
        }
    }

    /// Puts it on, or changes its reason, which is not empty; when this returns it outlives the agent. May wait for a disk.
    ///
    /// # Errors
    /// The file could not be written, and none is there.
    pub fn put_on(&self, reason: &str) -> Result<(), BrakeError> {
        match &self.0 {
            Kept::File(kept) => {
                let _held = lock(&kept.1);
                write(&kept.0, reason).or_else(|error| match read(&kept.0) {
                    Standing::On(_) => Ok(()),
                    Standing::Off => Err(error),
                })
            }
            Kept::Memory(kept) => {
                *lock(kept) = Some(reason.to_owned());
                Ok(())
            }
        }
    }

    /// Takes it off. It may be off already.
    ///
    /// # Errors
    /// The file could not be removed.
    pub fn take_off(&self) -> Result<(), BrakeError> {
        match &self.0 {
            Kept::File(kept) => match fs::remove_file(&kept.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed("remove", &kept.0)(error))
                }
                Ok(()) | Err(_) => Ok(()),
            },
            Kept::Memory(kept) => {
                *lock(kept) = None;
                Ok(())
            }
        }
    }

    /// Tells when somebody may have put it on or taken it off by hand; `None` where nobody can.
    ///
    /// # Errors
    /// The kernel has no inotify left to give, or the directory is not there.
    pub fn watch(&self) -> io::Result<Option<FileWatch>> {
        match &self.0 {
            Kept::File(kept) => FileWatch::start(&kept.0).map(Some),
            Kept::Memory(_) => Ok(None),
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BrakeError {
    move |source| BrakeError { what, path: path.to_owned(), source }
}

fn read(path: &Path) -> Standing {
    // Whatever somebody has put there: a pipe must not block, a link not lead elsewhere.
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let open = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let mut bytes = Vec::new();
    let found = open.and_then(|file| file.take(LONGEST_REASON as u64).read_to_end(&mut bytes));
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Standing::Off,
        Err(error) => {
            Standing::On(format!("{} cannot be read and so counts: {error}", path.display()))
        }
        Ok(_) => match String::from_utf8_lossy(&bytes).trim() {
            "" => Standing::On(format!("{} is there", path.display())),
            reason => Standing::On(reason.to_owned()),
        },
    }
}

/// Complete or not at all, for whoever looks and after a crash.
fn write(path: &Path, reason: &str) -> Result<(), BrakeError> {
    let fresh = path.with_extension("new");
    let written = write_fresh(&fresh, path, reason);
    if written.is_err() {
        // The disk may be full: what was begun is in the way.
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn write_fresh(fresh: &Path, path: &Path, reason: &str) -> Result<(), BrakeError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(fresh).map_err(failed("make", fresh))?;
    file.write_all(reason.as_bytes()).map_err(failed("write", fresh))?;
    file.sync_all().map_err(failed("write", fresh))?;
    fs::rename(fresh, path).map_err(failed("name", path))?;
    let directory = path.parent().unwrap_or(path);
    File::open(directory).and_then(|it| it.sync_all()).map_err(failed("write", directory))
}

#[cfg(test)]
mod tests;

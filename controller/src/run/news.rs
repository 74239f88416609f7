//! Where the events of runs go (`--events`): a file, or whatever is behind a pipe or a device. Nobody waits for
//! that for long.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long one line may wait for whoever reads (1 s): the run waits as long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why events go nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum NewsError {
    /// A pipe without anybody at its other end.
    #[error("it is a pipe that nobody reads")]
    Unread,
    /// Another run writes there.
    #[error("a run that goes on writes it")]
    Held,
    /// Anything else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Events, a line each. A file is nobody else's meanwhile, by whatever name.
#[derive(Clone, Debug)]
pub(super) struct News(Arc<Held>);

/// A file with a lock on it, where it is a file.
#[derive(Debug)]
struct Held(File);

impl News {
    /// With nothing in it.
    ///
    /// # Errors
    /// It cannot be written, another run writes it, or nobody reads it.
    pub(super) fn open(path: &Path) -> Result<Self, NewsError> {
        let mut options = OpenOptions::new();
        // It is emptied once it is known to be nobody else's.
        options.create(true).truncate(false).write(true);
        // Otherwise a pipe is opened when somebody reads it, whenever that is (fifo(7)).
        options.custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) && is_pipe(path) => {
                return Err(NewsError::Unread);
            }
            Err(error) => return Err(error.into()),
        };
        if file.metadata()?.is_file() {
            match file.try_lock() {
                Ok(()) => file.set_len(0)?,
                Err(TryLockError::WouldBlock) => return Err(NewsError::Held),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Ok(Self(Arc::new(Held(file))))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// It could not be written whole, or whoever reads does not go on.
    pub(super) fn tell(&self, line: &str) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        let line = format!("{line}\n");
        let (mut left, mut file) = (line.as_bytes(), &self.0.0);
        while !left.is_empty() {
            match file.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(until)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut waiting = [PollFd::new(self.0.0.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut waiting, left) {
            Ok(0) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "whoever reads them does not go on"))
            }
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec has the same open file (flock(2)).
        let _: io::Result<()> = self.0.unlock();
    }
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert!(matches!(News::open(&path), Err(NewsError::Unread)));
        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)
            .unwrap();
        let news = News::open(&path).unwrap();
        news.tell("one").unwrap();
        let mut said = [0; 4];
        reader.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"one\n");
        // It is there and reads no more.
        let long = "x".repeat(4 << 20);
        assert_eq!(news.tell(&long).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(reader);
        assert_eq!(news.tell("two").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_file_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        fs::write(&path, "of another run").unwrap();
        let news = News::open(&path).unwrap();
        news.tell("one").unwrap();
        news.clone().tell("two").unwrap();
        // Nobody else has it, by whatever name, and nothing of it is gone.
        let hard = directory.path().join("hard");
        fs::hard_link(&path, &hard).unwrap();
        for name in [&path, &hard] {
            assert!(matches!(News::open(name), Err(NewsError::Held)));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        drop(news);
        News::open(&hard).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}

//! Packets on their way to a disk or a pipe, by a thread that may wait for either.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::pcapng;
use crate::output::quantity::bytes;

/// Parts that may wait for a disk: one that is slow costs packets, not memory.
const BACKLOG: usize = 4;
/// How long whoever reads a pipe may take for what is left in the end (5 s).
const PATIENCE: Duration = Duration::from_secs(5);

/// Where it is written.
#[derive(Debug)]
pub(super) enum Sink {
    /// A file, and the name that it has.
    File { file: File, place: PathBuf },
    /// Something that somebody reads at the same time.
    Pipe(File),
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// How much (bytes).
    pub(crate) size: u64,
    /// What has the file's name by then; nothing where it is no file.
    pub(crate) found: Option<Found>,
}

/// What has the name of a file once it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Found {
    /// That file.
    There,
    /// Another one, which somebody has put in its place.
    Another,
    /// None.
    Nothing,
}

/// Not all of it could be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// What could is there, and whole.
    #[error("{error}; the {} before that are there, and end with a whole packet", bytes(*.size))]
    Cut {
        /// How much that is (bytes).
        size: u64,
        /// Why no more.
        error: io::Error,
    },
    /// What could is there, with a part of something behind it.
    #[error("{error}; what was written of the last packet cannot be taken away again: {torn}")]
    Torn {
        /// Why no more.
        error: io::Error,
        /// Why it stays.
        torn: io::Error,
    },
    /// Nobody reads the pipe any more.
    #[error("whoever read it has gone")]
    Unread {
        /// How much was taken (bytes).
        size: u64,
    },
    /// It is no file of ours, so that what was written of the last packet stays.
    #[error("{0}")]
    Elsewhere(io::Error),
    /// Somebody has the pipe open, and reads nothing.
    #[error("whoever is to read it has taken nothing for {} s", PATIENCE.as_secs())]
    Stuck,
    /// The thread is gone.
    #[error("{0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Packets on their way.
#[derive(Debug)]
pub(crate) struct Writing {
    parts: mpsc::Sender<Vec<u8>>,
    done: JoinHandle<Result<Written, WriteError>>,
    /// How long the end may take; a disk has all the time.
    patience: Option<Duration>,
}

impl Writing {
    pub(super) fn to(mut sink: Sink) -> Self {
        let patience = match sink {
            Sink::File { .. } => None,
            Sink::Pipe(_) => Some(PATIENCE),
        };
        let (parts, mut waiting) = mpsc::channel::<Vec<u8>>(BACKLOG);
        let done = tokio::task::spawn_blocking(move || {
            let mut size = 0;
            while let Some(part) = waiting.blocking_recv() {
                if let Err(Short { written, error }) = write(sink.file(), &part) {
                    return Err(sink.give_up(size + pcapng::whole(&part[..written]) as u64, error));
                }
                size += part.len() as u64;
            }
            Ok(Written { size, found: sink.found() })
        });
        Self { parts, done, patience }
    }

    /// Waits until there is room for a part, which is made of whole blocks; nothing where no more can be written, of which
    /// the end says why.
    pub(crate) async fn room(&self) -> Option<mpsc::Permit<'_, Vec<u8>>> {
        self.parts.reserve().await.ok()
    }

    /// Adds a part, which is made of whole blocks; false where no more can be written, of which the end says why.
    #[must_use]
    pub(crate) async fn add(&self, part: Vec<u8>) -> bool {
        self.parts.send(part).await.is_ok()
    }

    /// Adds the last part, waits until all is written, and says what that is.
    ///
    /// # Errors
    /// Not all of it could be.
    pub(crate) async fn end(self, last: Vec<u8>) -> Result<Written, WriteError> {
        let Self { parts, done, patience } = self;
        let end = async {
            // Of one that cannot be written the thread says why.
            let _ = parts.send(last).await;
            drop(parts);
            done.await?
        };
        match patience {
            None => end.await,
            Some(patience) => timeout(patience, end).await.unwrap_or(Err(WriteError::Stuck)),
        }
    }
}

impl Sink {
    fn file(&mut self) -> &mut File {
        match self {
            Self::File { file, .. } | Self::Pipe(file) => file,
        }
    }

    /// What to say where no more can be written than these bytes, after what is more was taken away.
    fn give_up(&self, size: u64, error: io::Error) -> WriteError {
        match self {
            Self::File { file, .. } => match file.set_len(size) {
                Ok(()) => WriteError::Cut { size, error },
                Err(torn) => WriteError::Torn { error, torn },
            },
            Self::Pipe(_) if error.kind() == ErrorKind::BrokenPipe => WriteError::Unread { size },
            Self::Pipe(_) => WriteError::Elsewhere(error),
        }
    }

    fn found(&self) -> Option<Found> {
        let Self::File { file, place } = self else { return None };
        let which = |of: &fs::Metadata| (of.dev(), of.ino());
        // As long as it is open nothing else has its number.
        let found = match (file.metadata(), fs::symlink_metadata(place)) {
            (Ok(ours), Ok(there)) if which(&ours) == which(&there) => Found::There,
            (_, Ok(_)) => Found::Another,
            (_, Err(_)) => Found::Nothing,
        };
        Some(found)
    }
}

/// Not all of a part was written.
#[derive(Debug)]
struct Short {
    written: usize,
    error: io::Error,
}

fn write(to: &mut impl Write, part: &[u8]) -> Result<(), Short> {
    let mut written = 0;
    while written < part.len() {
        match to.write(&part[written..]) {
            Ok(0) => return Err(Short { written, error: ErrorKind::WriteZero.into() }),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Short { written, error }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::OwnedFd;

    use super::*;

    /// A disk with room for so much, which takes up to seven bytes at once.
    struct Disk {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room).min(7);
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.taken.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pipe() -> (File, File) {
        let (read, write) = nix::unistd::pipe().unwrap();
        (File::from(read), File::from(write))
    }

    #[test]
    fn a_disk_that_is_full_says_how_much_it_took() {
        let part: Vec<u8> = (0..100).collect();
        let mut disk = Disk { room: 100, taken: Vec::new() };
        write(&mut disk, &part).unwrap();
        assert_eq!(disk.taken, part);
        let mut disk = Disk { room: 40, taken: Vec::new() };
        let short = write(&mut disk, &part).unwrap_err();
        assert_eq!((short.written, short.error.kind()), (40, ErrorKind::StorageFull));
    }

    #[test]
    fn what_is_torn_is_taken_away() {
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, &[1; 100]).unwrap();
        let sink = Sink::File { file: file.try_clone().unwrap(), place: PathBuf::new() };
        let error = sink.give_up(60, ErrorKind::StorageFull.into());
        assert!(matches!(error, WriteError::Cut { size: 60, .. }), "{error}");
        assert!(error.to_string().contains("60 B before that are there"), "{error}");
        assert_eq!(file.metadata().unwrap().len(), 60);
        // One that cannot be shortened.
        let closed = File::open("/dev/null").unwrap();
        let sink = Sink::File { file: closed, place: PathBuf::new() };
        let error = sink.give_up(60, ErrorKind::StorageFull.into());
        assert!(matches!(error, WriteError::Torn { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_pipe_has_it_as_it_comes_and_its_end_is_told() {
        let (mut read, write) = pipe();
        let writing = Writing::to(Sink::Pipe(write));
        assert!(writing.add(b"one".to_vec()).await);
        let written = writing.end(b"two".to_vec()).await.unwrap();
        assert_eq!(written, Written { size: 6, found: None });
        let mut taken = String::new();
        read.read_to_string(&mut taken).unwrap();
        assert_eq!(taken, "onetwo");

        let (read, write) = pipe();
        drop(read);
        let error = Writing::to(Sink::Pipe(write)).end(b"one".to_vec()).await.unwrap_err();
        assert!(matches!(error, WriteError::Unread { size: 0 }), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_waits_for_ever_for_who_reads_nothing() {
        let (read, write) = pipe();
        let writing = Writing::to(Sink::Pipe(write));
        let writing = Writing { patience: Some(Duration::from_millis(10)), ..writing };
        let error = writing.end(vec![0; 1 << 20]).await.unwrap_err();
        assert!(matches!(error, WriteError::Stuck), "{error}");
        // The thread ends with it.
        drop(OwnedFd::from(read));
    }
}

//! The file that packets are kept in: never somebody's by accident, and never by way of a link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::run::{beside, replaceable};

/// Parts that may wait for a disk: one that is slow costs packets, not memory.
const BACKLOG: usize = 4;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and nothing is written.
    Kept,
    /// It is replaced once there is something to put in its place.
    Replaced,
}

/// A file that has been made and has nothing in it. It is gone again if nothing comes to be written.
#[derive(Debug)]
pub(crate) struct Made {
    file: File,
    at: PathBuf,
    /// Where it belongs, if it is not there yet.
    instead_of: Option<PathBuf>,
    is_kept: bool,
}

impl Made {
    /// Makes one that only its owner can read: what is in packets is private.
    ///
    /// # Errors
    /// There is one, or no file can be there.
    pub(crate) fn new(path: &Path, existing: Existing) -> io::Result<Self> {
        let (at, instead_of) = match existing {
            Existing::Kept => (path.to_owned(), None),
            Existing::Replaced => {
                replaceable(path)?;
                (beside(path, ".new"), Some(path.to_owned()))
            }
        };
        // A link is no way to somebody else's file: whatever has this name is in the way.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at)?;
        Ok(Self { file, at, instead_of, is_kept: false })
    }

    /// Begins to write it, at its place.
    ///
    /// # Errors
    /// What was to be replaced cannot be.
    pub(crate) fn begin(mut self) -> io::Result<Writing> {
        if let Some(path) = &self.instead_of {
            replaceable(path)?;
            fs::rename(&self.at, path)?;
        }
        self.is_kept = true;
        let mut file = self.file.try_clone()?;
        let (parts, mut waiting) = mpsc::channel::<Vec<u8>>(BACKLOG);
        let done = tokio::task::spawn_blocking(move || {
            let mut written = 0;
            while let Some(part) = waiting.blocking_recv() {
                file.write_all(&part)?;
                written += part.len() as u64;
            }
            file.flush()?;
            Ok(written)
        });
        Ok(Writing { parts, done })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.is_kept {
            // Empty, and nobody's: what cannot be removed is in the way of the next attempt, which says so.
            let _ = fs::remove_file(&self.at);
        }
    }
}

/// A file that is being written, by a thread that may wait for a disk.
#[derive(Debug)]
pub(crate) struct Writing {
    parts: mpsc::Sender<Vec<u8>>,
    done: JoinHandle<io::Result<u64>>,
}

impl Writing {
    /// Adds a part; false where no more can be written, of which the end says why.
    #[must_use]
    pub(crate) async fn add(&self, part: Vec<u8>) -> bool {
        self.parts.send(part).await.is_ok()
    }

    /// Waits until all of it is written, and says how much that is (bytes).
    ///
    /// # Errors
    /// Not all of it could be.
    pub(crate) async fn end(self) -> io::Result<u64> {
        drop(self.parts);
        self.done.await.map_err(io::Error::other)?
    }
}

/// What to do about a file that cannot be made.
pub(crate) fn hint(error: &io::Error, existing: Existing) -> &'static str {
    match (error.kind(), existing) {
        (ErrorKind::AlreadyExists, Existing::Kept) => {
            "name another one, or replace it with --force"
        }
        (_, Existing::Kept | Existing::Replaced) => {
            "name a file in a directory that can be written"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[tokio::test]
    async fn a_file_is_written_where_there_was_none_and_goes_if_nothing_comes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcapng");
        drop(Made::new(&path, Existing::Kept).unwrap());
        assert!(!path.exists());
        let writing = Made::new(&path, Existing::Kept).unwrap().begin().unwrap();
        assert!(writing.add(b"one".to_vec()).await && writing.add(b"two".to_vec()).await);
        assert_eq!(writing.end().await.unwrap(), 6);
        assert_eq!(fs::read(&path).unwrap(), b"onetwo");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_is_there_stays_until_it_is_replaced_on_purpose() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcapng");
        fs::write(&path, "mine").unwrap();
        let error = Made::new(&path, Existing::Kept).unwrap_err();
        assert!(hint(&error, Existing::Kept).contains("--force"), "{error}");
        drop(Made::new(&path, Existing::Replaced).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"mine", "nothing came in its place");
        let writing = Made::new(&path, Existing::Replaced).unwrap().begin().unwrap();
        assert!(writing.add(b"new".to_vec()).await);
        assert_eq!(writing.end().await.unwrap(), 3);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_link_is_followed_and_none_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let [path, other] = ["a.pcapng", "somebodys"].map(|name| directory.path().join(name));
        for target in [&other, &directory.path().join("nothing")] {
            fs::write(&other, "theirs").unwrap();
            symlink(target, &path).unwrap();
            for existing in [Existing::Kept, Existing::Replaced] {
                assert!(Made::new(&path, existing).is_err());
            }
            fs::remove_file(&path).unwrap();
            // What would be put in its place first is no way either.
            symlink(target, beside(&path, ".new")).unwrap();
            assert!(Made::new(&path, Existing::Replaced).is_err());
            fs::remove_file(beside(&path, ".new")).unwrap();
            assert_eq!(fs::read(&other).unwrap(), b"theirs");
            assert!(!directory.path().join("nothing").exists());
        }
    }
}

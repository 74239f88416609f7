//! Whose a file is while a run writes it, a journal or a suite: one run's, and nobody else's.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::book::{LOCK, beside, replaceable};

/// How often is tried again where somebody takes the file away meanwhile. Some file systems tell another number of an
/// open file than of its name.
const TURNS: u32 = 100;

/// The right to write a journal, or a suite, until it is dropped or the process ends, however it ends.
///
/// It is a lock on the file `JOURNAL.lock`: whoever is killed leaves the file, and nobody waits for it.
#[derive(Debug)]
pub(super) struct Claim {
    journal: PathBuf,
    lock: PathBuf,
    file: File,
}

/// Why a journal is not to be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimError {
    /// Somebody else has it.
    #[error("a run that goes on writes it")]
    Held,
    /// The lock.
    #[error("the lock {}: {error}", lock.display())]
    Lock {
        /// Where it is.
        lock: PathBuf,
        /// Why it cannot be taken.
        error: io::Error,
    },
    /// Another file is there each time.
    #[error("the lock {} is another file each time that it is looked at", .0.display())]
    Unsteady(PathBuf),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] io::Error),
}

impl Claim {
    /// Takes a journal, or what will be one, before anything of it is read or touched.
    ///
    /// # Errors
    /// Another run has it, or something else than a file stands there.
    pub(super) fn take(journal: &Path) -> Result<Arc<Self>, ClaimError> {
        replaceable(journal)?;
        let lock = beside(journal, LOCK);
        let failed = |error: io::Error| {
            // It is about the place of both.
            if error.kind() == io::ErrorKind::NotFound {
                return ClaimError::Journal(error);
            }
            ClaimError::Lock { lock: lock.clone(), error }
        };
        for _ in 0..TURNS {
            replaceable(&lock).map_err(failed)?;
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(0o600);
            let flags = OFlag::O_NOFOLLOW.bits();
            let file = options.custom_flags(flags).open(&lock).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => (),
                Err(TryLockError::WouldBlock) => return Err(ClaimError::Held),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let claim = Self { journal: journal.to_owned(), lock: lock.clone(), file };
            // Whoever had it before may have taken the file away after it was opened here.
            if claim.stands() {
                return Ok(Arc::new(claim));
            }
        }
        Err(ClaimError::Unsteady(lock))
    }

    /// Whether somebody has a journal, or what would be one. Nothing is made for that.
    pub(super) fn is_taken(journal: &Path) -> bool {
        Self::is_locked(&beside(journal, LOCK))
    }

    /// Whether somebody has a file itself, by whatever name: events, or what is added to a journal.
    pub(super) fn is_locked(path: &Path) -> bool {
        // To open a pipe would let its writer go on.
        if !fs::symlink_metadata(path).is_ok_and(|there| there.is_file()) {
            return false;
        }
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        let Ok(file) = options.open(path) else { return false };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => true,
            Ok(()) => {
                // Closing is not enough, as below.
                let _: io::Result<()> = file.unlock();
                false
            }
            Err(TryLockError::Error(_)) => false,
        }
    }

    /// The journal, or the suite.
    pub(super) fn path(&self) -> &Path {
        &self.journal
    }

    /// Whether the file that is locked is the one that others would lock.
    fn stands(&self) -> bool {
        let (Ok(own), Ok(there)) = (self.file.metadata(), fs::symlink_metadata(&self.lock)) else {
            return false;
        };
        (own.dev(), own.ino()) == (there.dev(), there.ino())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.stands() {
            // One that stays is in nobody's way.
            let _: io::Result<()> = fs::remove_file(&self.lock);
        }
        // Closing is not enough: a child between fork and exec has the same open file (flock(2)).
        let _: io::Result<()> = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_journal_is_of_one_run_and_nothing_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, lock) =
            (directory.path().join("journal.json"), directory.path().join("journal.json.lock"));
        fs::write(&lock, "of a run that was killed").unwrap();
        let claim = Claim::take(&journal).unwrap();
        assert!(matches!(Claim::take(&journal), Err(ClaimError::Held)));
        assert_eq!(claim.path(), journal);
        assert!(Claim::is_taken(&journal));
        drop(claim);
        assert!(!lock.exists() && !Claim::is_taken(&journal) && !lock.exists());
        fs::write(&lock, "of a run that was killed").unwrap();
        assert!(!Claim::is_taken(&journal) && lock.exists());
        fs::remove_file(&lock).unwrap();
        let claim = Claim::take(&journal).unwrap();
        assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);
        // Whoever takes the file away by hand lets another run in, whose file stays.
        fs::remove_file(&lock).unwrap();
        let other = Claim::take(&journal).unwrap();
        drop(claim);
        assert!(lock.exists());
        assert!(matches!(Claim::take(&journal), Err(ClaimError::Held)));
        drop(other);
        symlink("elsewhere", &lock).unwrap();
        assert!(Claim::take(&journal).unwrap_err().to_string().contains("is no regular file"));
        // The name of the journal is one that a file may have, and that of the lock is not.
        let long = directory.path().join("j".repeat(255));
        let why = Claim::take(&long).unwrap_err().to_string();
        assert!(why.contains(&format!("{}.lock: File name too long", long.display())), "{why}");
        assert!(Claim::take(Path::new("/dev/null")).is_err());
        assert!(!Path::new("/dev/null.lock").exists());
    }

    #[test]
    fn two_never_have_it_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal.json");
        let (having, had) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while had.load(Ordering::Relaxed) < 2_000 {
                        let Ok(claim) = Claim::take(&journal) else { continue };
                        assert_eq!(having.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        having.fetch_sub(1, Ordering::SeqCst);
                        had.fetch_add(1, Ordering::Relaxed);
                        drop(claim);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

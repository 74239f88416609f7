//! Journals of runs, a file each: whole, or as they were before.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fault::IntentId;

use super::ArchiveError;
use super::journal::blocking;

/// Journals that are kept; the oldest go.
const KEPT: usize = 200;

/// Of what a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of a run.
    Run,
    /// Of what was done afterwards about the rollbacks that it owed.
    Rollbacks,
}

/// The journals of runs.
#[derive(Clone, Debug)]
pub struct Runs {
    directory: PathBuf,
}

impl Runs {
    pub(super) async fn open(directory: PathBuf) -> Result<Self, ArchiveError> {
        let runs = Self { directory };
        let directory = runs.directory.clone();
        blocking(move || {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(|source| ArchiveError::Open { path: directory.clone(), source })?;
            forget(&directory);
            Ok(())
        })
        .await?;
        Ok(runs)
    }

    fn path(&self, id: IntentId, of: Of) -> PathBuf {
        self.directory.join(match of {
            Of::Run => format!("{id}.json"),
            Of::Rollbacks => format!("{id}.rollbacks.json"),
        })
    }

    /// Puts a journal in the place of an earlier one; it is on the disk when this returns.
    ///
    /// # Errors
    /// The disk is full, read-only or failed: the earlier one is there.
    pub async fn write(&self, id: IntentId, of: Of, text: Vec<u8>) -> Result<(), ArchiveError> {
        let path = self.path(id, of);
        blocking(move || {
            replace(&path, &text).map_err(|source| ArchiveError::Append { path, source })
        })
        .await
    }

    /// A journal as it was written last; `None` if none is there.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read(&self, id: IntentId, of: Of) -> Result<Option<Vec<u8>>, ArchiveError> {
        let path = self.path(id, of);
        blocking(move || match fs::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ArchiveError::Read { path, source }),
        })
        .await
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let (new, is_known) = (path.with_extension("new"), path.exists());
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut options = OpenOptions::new();
    let written = options.create(true).truncate(true).write(true).mode(0o600).open(&new);
    let moved = written.and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(directory)?.sync_all()
    });
    if moved.is_err() {
        // It helps nobody.
        let _ = fs::remove_file(&new);
    }
    if !is_known {
        forget(directory);
    }
    moved
}

/// Lets go of the oldest. What cannot be looked at or removed stays until the next start.
fn forget(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_journal_takes_the_place_of_an_earlier_one_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let runs = Runs::open(directory.path().join("runs")).await.unwrap();
        let id = IntentId::from_random(10);
        assert_eq!(runs.read(id, Of::Run).await.unwrap(), None);
        for text in ["one", "two"] {
            runs.write(id, Of::Run, text.into()).await.unwrap();
        }
        assert_eq!(runs.read(id, Of::Run).await.unwrap(), Some(b"two".to_vec()));
        let count = || fs::read_dir(directory.path().join("runs")).unwrap().count();
        assert_eq!(count(), 1, "nothing beside it");
        for number in 100..100 + KEPT as u64 {
            runs.write(IntentId::from_random(number), Of::Run, Vec::new()).await.unwrap();
        }
        assert_eq!((count(), runs.read(id, Of::Run).await.unwrap()), (KEPT, None));
    }
}

//! A directory that goes away with its handle.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use thiserror::Error;

use crate::{netns::PREFIX, warden};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A directory of our own among the machine's temporary files, with a name as namespaces have it.
#[derive(Debug)]
pub struct Directory(PathBuf);

/// The directory could not be created.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct DirectoryError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Directory {
    /// Creates an empty directory that only its owner may look into; the label is for people.
    ///
    /// # Errors
    /// When the machine's temporary files have no room for it.
    pub fn create(label: &str) -> Result<Self, DirectoryError> {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{label}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Others must not be able to plant a directory under a name that can be foretold.
        if let Err(source) = DirBuilder::new().mode(0o700).create(&path) {
            return Err(DirectoryError { path, source });
        }
        warden::watch_directory(&path);
        Ok(Self(path))
    }

    /// Creates an empty directory at this path, which nobody else has at the same time.
    ///
    /// # Errors
    /// When there is one already, or no room for it.
    pub fn claim(path: &Path) -> Result<Self, DirectoryError> {
        if let Err(source) = DirBuilder::new().mode(0o700).create(path) {
            return Err(DirectoryError { path: path.to_owned(), source });
        }
        warden::watch_directory(path);
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("lab: {}: {error}", self.0.display());
        }
    }
}

//! A directory that goes away with its handle.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::EtcdError;
use crate::{netns::PREFIX, warden};

static COUNTER: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Creates an empty directory with a name of its own among the machine's temporary files.
    pub(super) fn create() -> Result<Self, EtcdError> {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-etcd", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Others must not be able to plant a directory under a name that can be foretold.
        if let Err(source) = DirBuilder::new().mode(0o700).create(&path) {
            return Err(EtcdError::File { path, source });
        }
        warden::watch_directory(&path);
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
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

//! The way into a target's namespace, and that it is the one that was meant.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use fault::Scheme;

use super::linux::NAMED;
use super::{KernelError, Linux, Place, netns, process};

impl Linux {
    /// Opens the namespace of a place, and makes sure that it is the one that was meant.
    pub(super) fn open(&self, place: &Place) -> Result<File, KernelError> {
        let gone = || KernelError::Gone(place.selector.scheme.clone());
        if place.identity.boot != self.boot() {
            return Err(gone());
        }
        let direct = way(place).and_then(|path| self.open_checked(&path, place).ok());
        // The name or the process may be gone while the namespace still has another name, or processes.
        direct.or_else(|| self.open_by_any_way(place)).ok_or_else(gone)
    }

    fn open_checked(&self, path: &Path, place: &Place) -> io::Result<File> {
        let namespace = netns::open(path)?;
        if netns::cookie(&namespace)? == place.identity.namespace {
            Ok(namespace)
        } else {
            Err(io::Error::from(io::ErrorKind::NotFound))
        }
    }

    fn open_by_any_way(&self, place: &Place) -> Option<File> {
        let mut inodes = Vec::new();
        let named = fs::read_dir(NAMED).into_iter().flatten().flatten().map(|entry| entry.path());
        let pids = process::all().unwrap_or_default();
        for path in named.chain(pids.into_iter().map(process::namespace_path)) {
            let Ok(inode) = process::namespace_inode(&path) else { continue };
            if inodes.contains(&inode) {
                continue;
            }
            inodes.push(inode);
            if let Ok(namespace) = self.open_checked(&path, place) {
                return Some(namespace);
            }
        }
        None
    }

    pub(super) fn inside<T: Send>(
        &self,
        place: &Place,
        work: impl FnOnce() -> Result<T, KernelError> + Send,
    ) -> Result<T, KernelError> {
        let namespace = self.open(place)?;
        netns::inside(&namespace, work).map_err(KernelError::call("setns(CLONE_NEWNET)"))?
    }
}

/// The file by which a place is entered.
fn way(place: &Place) -> Option<PathBuf> {
    match &place.selector.scheme {
        Scheme::Netns(name) => Some(Path::new(NAMED).join(name)),
        Scheme::Pid(pid) => Some(process::namespace_path(*pid)),
        Scheme::Container(_) | Scheme::Pod(_) => {
            place.identity.process.map(|p| process::namespace_path(p.pid))
        }
        Scheme::Host(_) => Some(process::host_namespace().to_owned()),
        Scheme::Addr(_) | Scheme::Etcd(_) | Scheme::Zeebe(_) | Scheme::Kubernetes(_) => None,
    }
}

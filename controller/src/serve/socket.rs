//! The unix socket of a controller, which its owner alone may open.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::ServeError;

/// A socket by its name, and by what shows that the name is still its own.
pub(super) struct OwnSocket {
    path: PathBuf,
    inode: u64,
}

impl OwnSocket {
    /// Binds under another name, closes it to others, then gives it its name. One that somebody still
    /// serves is left alone.
    pub(super) fn listen(path: &Path) -> Result<(UnixListener, Self), ServeError> {
        let failed = |source| ServeError::Listen { place: path.display().to_string(), source };
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(failed(io::Error::other("it is there and is no socket")));
            }
            if UnixStream::connect(path).is_ok() {
                let reason = "somebody serves there already";
                return Err(failed(io::Error::new(io::ErrorKind::AddrInUse, reason)));
            }
        }
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600)).map_err(failed)?;
        fs::rename(&fresh, path).map_err(failed)?;
        let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
        Ok((listener, Self { path: path.to_owned(), inode }))
    }
}

impl Drop for OwnSocket {
    /// Takes the name away, unless it is another socket's by now.
    fn drop(&mut self) {
        let ours = |found: fs::Metadata| found.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // A name that stays is replaced by the next who serves here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_served_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (listener, first) = OwnSocket::listen(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let Err(error) = OwnSocket::listen(&path) else { panic!("it is served") };
        assert!(error.to_string().contains("somebody serves there already"), "{error}");
        drop(listener);
        // Who is gone has left its socket: the name is free.
        let (_listener, second) = OwnSocket::listen(&path).unwrap();
        drop(first);
        assert!(path.exists(), "it is the second one's");
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_is_not_taken_for_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        fs::write(&path, "mine").unwrap();
        assert!(OwnSocket::listen(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}

//! The authority's files.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use link::{CertificateDer, Entry, Listing};
use x509_parser::pem::Pem;

use super::{CertsError, authority};

/// The longest file that is read (16 MiB).
const LONGEST: u64 = 16 << 20;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Its owner.
    Secret,
    /// Everybody.
    Public,
}

impl Secrecy {
    const fn mode(self) -> u32 {
        match self {
            Self::Secret => 0o600,
            Self::Public => 0o644,
        }
    }
}

/// Files that are made together: all of them, or none.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<PathBuf>);

impl Batch {
    /// Makes a file that does not exist yet. It has its mode from its first moment on.
    pub(super) fn create(
        &mut self,
        path: &Path,
        text: &str,
        secrecy: Secrecy,
    ) -> Result<(), CertsError> {
        let fail = |error: io::Error| {
            if error.kind() == ErrorKind::AlreadyExists {
                return CertsError::Exists(path.to_owned());
            }
            failed("write", path, error)
        };
        let mut file = create(path, secrecy.mode()).map_err(fail)?;
        self.0.push(path.to_owned());
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)
    }

    /// They stay.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for path in &self.0 {
            // The failure that led here is told; what cannot be removed is named by the next attempt.
            let _ = fs::remove_file(path);
        }
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// A directory with an authority.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    pub(super) fn ca_key(&self) -> PathBuf {
        self.0.join("ca.key")
    }

    pub(super) fn issued(&self) -> PathBuf {
        self.0.join("issued")
    }

    pub(super) fn make(&self) -> Result<(), CertsError> {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&self.0);
        made.map_err(|error| failed("make", &self.0, error))
    }

    /// Held while files change: two commands at once would lose a line.
    pub(super) fn lock(&self) -> Result<File, CertsError> {
        let lock = match File::open(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(CertsError::NoAuthority {
                    directory: self.0.clone(),
                    missing: "such directory",
                });
            }
            opened => opened.and_then(|file| file.lock().map(|()| file)),
        };
        lock.map_err(|error| failed("lock", &self.0, error))
    }

    pub(super) fn read_authority(
        &self,
        name: &'static str,
    ) -> Result<(PathBuf, String), CertsError> {
        let path = self.0.join(name);
        match read(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(CertsError::NoAuthority { directory: self.0.clone(), missing: name })
            }
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    /// What `issued` says.
    pub(super) fn listing(&self) -> Result<Listing, CertsError> {
        Ok(Listing::parse(&self.read_authority("issued")?.1))
    }

    /// Every NAME.pem but the authority's own, by name, and those that name nobody.
    pub(super) fn certificates(&self) -> Result<(Vec<Entry>, Vec<PathBuf>), CertsError> {
        let files = fs::read_dir(&self.0).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let files = files.map_err(|error| failed("read", &self.0, error))?;
        let mut paths: Vec<PathBuf> = files.iter().map(fs::DirEntry::path).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "pem") && *path != self.ca());
        paths.sort();
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        for path in paths {
            let text = read(&path).ok();
            match text.and_then(|text| first(&text)).and_then(|der| authority::entry(&der)) {
                Some(entry) => found.push(entry),
                None => unread.push(path),
            }
        }
        Ok((found, unread))
    }

    /// Replaces `issued` as a whole, so that a controller never reads half of it. To be called with
    /// the lock held. Owner and mode stay: the controller that reads it may be another user.
    pub(super) fn edit_issued(
        &self,
        change: impl FnOnce(&str) -> String,
    ) -> Result<(), CertsError> {
        let path = self.issued();
        let (_, text) = self.read_authority("issued")?;
        let fail = |error| failed("write", &path, error);
        let before = fs::metadata(&path).map_err(fail)?;
        let next = self.0.join(".issued.next");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(fail(error)),
            Ok(()) | Err(_) => {}
        }
        let mut file = create(&next, Secrecy::Secret.mode()).map_err(fail)?;
        let written = (|| {
            let owner = file.metadata()?;
            if (owner.uid(), owner.gid()) != (before.uid(), before.gid()) {
                fchown(&file, Some(before.uid()), Some(before.gid()))?;
            }
            file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o777))?;
            file.write_all(change(&text).as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, &path)?;
            File::open(&self.0)?.sync_all()
        })();
        written.map_err(|error| {
            // Gone already if only the last step failed.
            let _ = fs::remove_file(&next);
            fail(error)
        })
    }
}

fn failed(attempt: &'static str, path: &Path, error: io::Error) -> CertsError {
    CertsError::Io { attempt, path: path.to_owned(), error }
}

/// Reads a file that is not absurdly long.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    match u64::try_from(read) {
        Ok(length) if length <= LONGEST => Ok(text),
        Ok(_) | Err(_) => Err(io::Error::other("it is longer than 16 MiB")),
    }
}

/// The first certificate in a text.
pub(super) fn first(text: &str) -> Option<CertificateDer<'static>> {
    let pem = Pem::iter_from_buffer(text.as_bytes()).flatten();
    let mut certificates = pem.filter(|pem| pem.label == "CERTIFICATE");
    certificates.next().map(|pem| CertificateDer::from(pem.contents))
}

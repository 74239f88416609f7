//! Where packets are kept: in a file, which is never somebody's by accident and never by way of a link, or in what reads
//! from a pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::writing::{Sink, Writing};
use crate::run::{beside, replaceable};

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and nothing is written.
    Kept,
    /// It is replaced once there is something to put in its place.
    Replaced,
}

/// Where packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Into a file.
    File(PathBuf, Existing),
    /// To whoever reads stdout.
    Stdout,
}

/// Somewhere to write that has been made and has nothing in it.
#[derive(Debug)]
pub(crate) enum Made {
    /// A file.
    File(New),
    /// A descriptor of stdout.
    Stdout(File),
}

/// A file that is new. It is gone again if nothing comes to be written.
#[derive(Debug)]
pub(crate) struct New {
    file: File,
    at: PathBuf,
    /// Where it belongs, if it is not there yet.
    instead_of: Option<PathBuf>,
    is_kept: bool,
}

impl Destination {
    /// As it is typed: `-` is stdout.
    pub(crate) fn of(path: PathBuf, existing: Existing) -> Self {
        if path == Path::new("-") { Self::Stdout } else { Self::File(path, existing) }
    }

    /// Makes it, so that only its owner can read a file: what is in packets is private.
    ///
    /// # Errors
    /// There is one, or no file can be there; or somebody would have to read packets off a terminal.
    pub(crate) fn make(&self) -> io::Result<Made> {
        match self {
            Self::File(path, existing) => Ok(Made::File(New::at(path, *existing)?)),
            Self::Stdout => {
                let stdout = io::stdout();
                if stdout.is_terminal() {
                    return Err(io::Error::other("it is a terminal, and packets are no text"));
                }
                Ok(Made::Stdout(stdout.as_fd().try_clone_to_owned()?.into()))
            }
        }
    }

    /// What to do about one that cannot be made.
    pub(crate) fn hint(&self, error: &io::Error) -> &'static str {
        match (self, error.kind()) {
            (Self::Stdout, _) => {
                "name a file, or have a program read them: `--write - | tshark -i -`"
            }
            (Self::File(_, Existing::Kept), ErrorKind::AlreadyExists) => {
                "name another one, or replace it with --force"
            }
            (Self::File(_, Existing::Kept | Existing::Replaced), _) => {
                "name a file in a directory that can be written"
            }
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, _) => path.display().fmt(f),
            Self::Stdout => f.write_str("stdout"),
        }
    }
}

impl New {
    fn at(path: &Path, existing: Existing) -> io::Result<Self> {
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

    fn begin(mut self) -> io::Result<Writing> {
        let place = match &self.instead_of {
            Some(path) => {
                replaceable(path)?;
                fs::rename(&self.at, path)?;
                path.clone()
            }
            None => self.at.clone(),
        };
        self.is_kept = true;
        Ok(Writing::to(Sink::File { file: self.file.try_clone()?, place }))
    }
}

impl Made {
    /// Begins to write it, at its place.
    ///
    /// # Errors
    /// What was to be replaced cannot be.
    pub(crate) fn begin(self) -> io::Result<Writing> {
        match self {
            Self::File(new) => new.begin(),
            Self::Stdout(pipe) => Ok(Writing::to(Sink::Pipe(pipe))),
        }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.is_kept {
            // Empty, and nobody's: what cannot be removed is in the way of the next attempt, which says so.
            let _ = fs::remove_file(&self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::writing::{Found, Written};
    use super::*;

    fn there(size: u64) -> Written {
        Written { size, found: Some(Found::There) }
    }

    #[tokio::test]
    async fn a_file_is_written_where_there_was_none_and_goes_if_nothing_comes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcapng");
        let new = Destination::File(path.clone(), Existing::Kept);
        drop(new.make().unwrap());
        assert!(!path.exists());
        let writing = new.make().unwrap().begin().unwrap();
        assert!(writing.add(b"one".to_vec()).await);
        assert_eq!(writing.end(b"two".to_vec()).await.unwrap(), there(6));
        assert_eq!(fs::read(&path).unwrap(), b"onetwo");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_is_there_stays_until_it_is_replaced_on_purpose() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcapng");
        fs::write(&path, "mine").unwrap();
        let kept = Destination::File(path.clone(), Existing::Kept);
        let error = kept.make().unwrap_err();
        assert!(kept.hint(&error).contains("--force"), "{error}");
        let replaced = Destination::File(path.clone(), Existing::Replaced);
        drop(replaced.make().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"mine", "nothing came in its place");
        let writing = replaced.make().unwrap().begin().unwrap();
        assert_eq!(writing.end(b"new".to_vec()).await.unwrap(), there(3));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_name_that_is_another_files_by_then_is_told_as_that() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcapng");
        let new = Destination::File(path.clone(), Existing::Kept);
        let writing = new.make().unwrap().begin().unwrap();
        fs::remove_file(&path).unwrap();
        let written = writing.end(b"ours".to_vec()).await.unwrap();
        assert_eq!(written, Written { size: 4, found: Some(Found::Nothing) });
        let writing = new.make().unwrap().begin().unwrap();
        // Both are there at once, so that they are two.
        fs::write(directory.path().join("other"), "theirs").unwrap();
        fs::rename(directory.path().join("other"), &path).unwrap();
        let written = writing.end(b"ours".to_vec()).await.unwrap();
        assert_eq!(written, Written { size: 4, found: Some(Found::Another) });
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }

    #[test]
    fn no_link_is_followed_and_none_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let [path, other] = ["a.pcapng", "somebodys"].map(|name| directory.path().join(name));
        let make = |existing| Destination::File(path.clone(), existing).make();
        for target in [&other, &directory.path().join("nothing")] {
            fs::write(&other, "theirs").unwrap();
            symlink(target, &path).unwrap();
            for existing in [Existing::Kept, Existing::Replaced] {
                assert!(make(existing).is_err());
            }
            fs::remove_file(&path).unwrap();
            // What would be put in its place first is no way either.
            symlink(target, beside(&path, ".new")).unwrap();
            assert!(make(Existing::Replaced).is_err());
            fs::remove_file(beside(&path, ".new")).unwrap();
            assert_eq!(fs::read(&other).unwrap(), b"theirs");
            assert!(!directory.path().join("nothing").exists());
        }
    }

    #[test]
    fn only_a_bare_dash_is_stdout() {
        let of = |name: &str| Destination::of(name.into(), Existing::Kept);
        assert_eq!(of("-"), Destination::Stdout);
        assert_eq!(of("./-"), Destination::File("./-".into(), Existing::Kept));
    }
}

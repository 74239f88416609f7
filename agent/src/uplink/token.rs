//! The token of a service account, by which an agent in a Kubernetes cluster says who it is.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The longest token that fits into a hello (12 KiB); those of Kubernetes have one to two.
const LONGEST: u64 = 12 << 10;

/// A file with a token. The kubelet renews it, so it is read whenever it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile(PathBuf);

/// There is no token to show. Nothing of it is told.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// It holds no token.
    #[error("{} holds no token: that is one word of at most 12 KiB", .0.display())]
    Content(PathBuf),
}

impl TokenFile {
    /// The token in this file.
    ///
    /// # Errors
    /// There is none now.
    pub fn new(path: &Path) -> Result<Self, TokenError> {
        let file = Self(path.to_owned());
        file.read().map(|_| file)
    }

    /// What it is now.
    pub(super) fn read(&self) -> Result<String, TokenError> {
        let failed = |error| TokenError::Read { path: self.0.clone(), error };
        let mut text = String::new();
        let file = File::open(&self.0).map_err(failed)?;
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim();
        let fits = u64::try_from(text.len()).is_ok_and(|length| length <= LONGEST)
            && !token.is_empty()
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(token.to_owned()) } else { Err(TokenError::Content(self.0.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_anew_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        assert!(matches!(TokenFile::new(&path), Err(TokenError::Read { .. })));
        std::fs::write(&path, "first\n").unwrap();
        let file = TokenFile::new(&path).unwrap();
        assert_eq!(file.read().unwrap(), "first");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(file.read().unwrap(), "second");
        for nothing in ["", " \n", "two words", &"x".repeat(20_000)] {
            std::fs::write(&path, nothing).unwrap();
            let error = file.read().unwrap_err();
            assert!(matches!(error, TokenError::Content(_)), "{error}");
            assert!(!error.to_string().contains("words"));
        }
    }
}

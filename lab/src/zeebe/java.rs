//! A Java that runs Zeebe, found by looking.

use std::{
    fs,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// The first version of Java that Zeebe 8.5 runs on; 17 ends with a LinkageError.
const OLDEST: u32 = 21;

/// Where Debian and others put what they install.
const PLACES: &str = "/usr/lib/jvm";

/// A Java of at least version 21.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Java {
    /// What JAVA_HOME is to be.
    pub home: PathBuf,
    /// Its major version.
    pub version: u32,
}

/// No Java will do.
#[derive(Debug, Error)]
#[error(
    "Zeebe needs a Java of version {OLDEST} or later, and there is {}; install one (Debian 13: \
     openjdk-21-jre-headless; elsewhere Eclipse Temurin {OLDEST} or later) under {PLACES}, or say in \
     JAVA_HOME where it is", if there.is_empty() { "none".to_owned() } else { format!("only {}", there.join(", ")) }
)]
pub struct JavaError {
    there: Vec<String>,
}

impl Java {
    /// The one of JAVA_HOME if it will do, else the oldest that will under `/usr/lib/jvm`.
    ///
    /// # Errors
    /// There is none.
    pub fn find() -> Result<Self, JavaError> {
        let own = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let entries = fs::read_dir(PLACES).into_iter().flatten().flatten();
        let mut others: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        others.sort();
        Self::among(own.as_deref(), &others)
    }

    fn among(own: Option<&Path>, others: &[PathBuf]) -> Result<Self, JavaError> {
        let mut there = Vec::new();
        let mut found = Vec::new();
        for home in own.into_iter().chain(others.iter().map(PathBuf::as_path)) {
            let Some(version) = version(home) else { continue };
            let java = Self { home: home.to_owned(), version };
            if version < OLDEST {
                there.push(format!("{version} at {}", home.display()));
            } else if own == Some(home) {
                return Ok(java);
            } else {
                found.push(java);
            }
        }
        found.into_iter().min_by_key(|java| java.version).ok_or(JavaError { there })
    }
}

/// The major version of the Java in a directory; `None` where there is none that could be run.
fn version(home: &Path) -> Option<u32> {
    if !home.join("bin/java").is_file() {
        return None;
    }
    let release = fs::read_to_string(home.join("release")).ok()?;
    let line = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    line.split(['.', '"', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    fn put(directory: &Directory, name: &str, version: &str) -> PathBuf {
        let home = directory.path().join(name);
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join("bin/java"), "").unwrap();
        fs::write(home.join("release"), format!("A=\"b\"\nJAVA_VERSION=\"{version}\"\n")).unwrap();
        home
    }

    #[test]
    fn the_oldest_that_will_do_is_taken_unless_one_is_named() {
        let directory = Directory::create("java").unwrap();
        let [old, new, newest] = [("a", "17.0.15"), ("b", "25.0.3"), ("c", "26-ea")]
            .map(|(name, version)| put(&directory, name, version));
        let all = [newest.clone(), old.clone(), new.clone(), directory.path().join("nothing")];
        assert_eq!(Java::among(None, &all).unwrap(), Java { home: new.clone(), version: 25 });
        assert_eq!(Java::among(Some(&newest), &all).unwrap().version, 26);
        assert_eq!(Java::among(Some(&old), &all).unwrap().version, 25);
    }

    #[test]
    fn where_there_is_none_it_is_said_what_to_install() {
        let directory = Directory::create("java").unwrap();
        let old = put(&directory, "a", "17.0.15");
        let error = Java::among(None, std::slice::from_ref(&old)).unwrap_err().to_string();
        assert!(error.contains(&format!("only 17 at {}", old.display())), "{error}");
        assert!(error.contains("openjdk-21-jre-headless"), "{error}");
        let error = Java::among(None, &[]).unwrap_err().to_string();
        assert!(error.contains("there is none"), "{error}");
    }
}

//! What the lab fetches or builds once, and keeps.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use ring::digest::{SHA256, digest};
use thiserror::Error;

/// Something could not be kept.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct CacheError {
    /// Which file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl CacheError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// `SCHISM_LAB_CACHE`, else a directory beside what cargo builds.
fn directory() -> PathBuf {
    match env::var_os("SCHISM_LAB_CACHE").filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab"),
    }
}

/// A name for what is made of these and of nothing else.
pub(crate) fn name(what: &str, made_of: &[&[u8]]) -> String {
    let mut all = Vec::new();
    for part in made_of {
        // With their lengths, so that no two lists are one text.
        all.extend_from_slice(&part.len().to_le_bytes());
        all.extend_from_slice(part);
    }
    let hash = digest(&SHA256, &all);
    let hash: String = hash.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("{what}-{hash}")
}

/// The directory of this name; where there is none, it is made in another that gets its name when all of it
/// is there. Nobody makes it twice at the same time.
///
/// # Errors
/// The cache can't be written, or what makes it fails.
pub(crate) fn entry<E: From<CacheError>>(
    name: &str,
    make: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    entry_in(&directory(), name, make)
}

fn entry_in<E: From<CacheError>>(
    cache: &Path,
    name: &str,
    make: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    fs::create_dir_all(cache).map_err(CacheError::at(cache))?;
    // Others see it in namespaces in which this path may lead elsewhere.
    let cache = fs::canonicalize(cache).map_err(CacheError::at(cache))?;
    let place = cache.join(name);
    if place.is_dir() {
        return Ok(place);
    }
    let path = cache.join(format!("{name}.lock"));
    let queue = File::create(&path).map_err(CacheError::at(&path))?;
    queue.lock().map_err(CacheError::at(&path))?;
    if place.is_dir() {
        return Ok(place);
    }
    let work = cache.join(format!("{name}.unfinished"));
    if work.exists() {
        // Whoever began it is gone, as the queue is ours.
        fs::remove_dir_all(&work).map_err(CacheError::at(&work))?;
    }
    fs::create_dir(&work).map_err(CacheError::at(&work))?;
    make(&work)?;
    fs::rename(&work, &place).map_err(CacheError::at(&place))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    #[test]
    fn an_entry_is_made_once_and_never_seen_half() {
        let cache = Directory::create("cache").unwrap();
        let failed = entry_in(cache.path(), "one", |work| {
            fs::write(work.join("half"), "").unwrap();
            Err(CacheError { path: work.to_owned(), source: io::ErrorKind::Other.into() })
        });
        assert!(failed.is_err() && !cache.path().join("one").exists());
        let make = |work: &Path| {
            assert!(!work.join("half").exists());
            fs::write(work.join("whole"), "").map_err(CacheError::at(work))
        };
        let made = entry_in(cache.path(), "one", make).unwrap();
        assert!(made.join("whole").exists() && !made.join("half").exists());
        let kept = entry_in(cache.path(), "one", |_| -> Result<(), CacheError> { panic!() });
        assert_eq!(kept.unwrap(), made);
    }

    #[test]
    fn a_name_tells_all_that_it_is_made_of() {
        let of = |parts: &[&[u8]]| name("x", parts);
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[b"a", b"b"]), of(&[b"ab", b""]));
        assert!(of(&[]).starts_with("x-"));
    }
}

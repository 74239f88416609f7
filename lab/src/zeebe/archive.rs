//! Zeebe itself, from Maven Central.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ring::digest::{Context, SHA256};
use thiserror::Error;

/// The version of Zeebe.
pub const VERSION: &str = "8.5.8";

/// The archive's SHA-256, in hexadecimal: that of io.camunda:camunda-zeebe:8.5.8:tar.gz.
const CHECKSUM: &str = "53ce62b008e61a87a3f7aed700065ad1352084a24c85771bc4e8300828bf95b4";

/// Why there is no Zeebe.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// A file of the cache.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program is missing.
    #[error("`{program}` could not be started: {source}; `cargo xtask install` installs it")]
    Start {
        /// Which.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{program}` failed: {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// It is not what it was when this was written.
    #[error("{path} has the SHA-256 {found}, and {CHECKSUM} was expected")]
    Checksum {
        /// The archive.
        path: PathBuf,
        /// What it has.
        found: String,
    },
}

/// The directory of Zeebe, which is fetched if the cache has not got it.
pub(super) fn distribution() -> Result<PathBuf, ArchiveError> {
    let cache = cache();
    // By the archive's checksum: another version is another directory, and half of one has no name.
    let home = cache.join(format!("zeebe-{CHECKSUM}"));
    if !home.is_dir() {
        fetch(&cache, &home)?;
    }
    Ok(home.join(format!("camunda-zeebe-{VERSION}")))
}

/// `SCHISM_LAB_CACHE`, else a directory beside what cargo builds.
fn cache() -> PathBuf {
    match std::env::var_os("SCHISM_LAB_CACHE").filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab"),
    }
}

fn fetch(cache: &Path, home: &Path) -> Result<(), ArchiveError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| ArchiveError::File { path, source }
    };
    let work = cache.join(format!("fetching-{}", std::process::id()));
    fs::create_dir_all(&work).map_err(file(&work))?;
    let fetched = unpacked(&work).and_then(|unpacked| {
        // Whoever was quicker has the same.
        fs::rename(&unpacked, home)
            .or_else(|error| if home.is_dir() { Ok(()) } else { Err(error) })
            .map_err(file(home))
    });
    let removed = fs::remove_dir_all(&work).map_err(file(&work));
    fetched.and(removed)
}

/// Fetches and unpacks into a directory, and says where the unpacked tree is.
fn unpacked(work: &Path) -> Result<PathBuf, ArchiveError> {
    let artifact = format!("-Dartifact=io.camunda:camunda-zeebe:{VERSION}:tar.gz");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy", &artifact, "-Dmdep.useBaseVersion=true"]);
    maven.arg(format!("-DoutputDirectory={}", work.display())).current_dir(work);
    run("mvn", maven)?;
    let archive = work.join(format!("camunda-zeebe-{VERSION}.tar.gz"));
    let found = checksum(&archive)
        .map_err(|source| ArchiveError::File { path: archive.clone(), source })?;
    if found != CHECKSUM {
        return Err(ArchiveError::Checksum { path: archive, found });
    }
    let tree = work.join("tree");
    fs::create_dir(&tree).map_err(|source| ArchiveError::File { path: tree.clone(), source })?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(&tree);
    run("tar", tar)?;
    Ok(tree)
}

fn run(program: &'static str, mut command: Command) -> Result<(), ArchiveError> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| ArchiveError::Start { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    // Maven tells its errors on standard output.
    let said =
        [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned());
    Err(ArchiveError::Failed { program, said: said.concat().trim().to_owned() })
}

fn checksum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut context, mut part) = (Context::new(&SHA256), vec![0; 1 << 16]);
    loop {
        match file.read(&mut part)? {
            0 => break,
            length => context.update(&part[..length]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    #[test]
    fn a_checksum_is_of_the_whole_file() {
        let directory = Directory::create("archive").unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checksum(&path).unwrap(), of_abc);
    }
}

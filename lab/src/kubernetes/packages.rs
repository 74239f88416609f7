//! What nodes run besides Kubernetes: packages of Debian that are unpacked and not installed, as services of
//! theirs would start on this machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use thiserror::Error;

use crate::cache::{self, CacheError};

/// A container runtime, what joins its pods to a network, and what runs in them.
const PACKAGES: [&str; 4] = ["busybox-static", "containerd", "containernetworking-plugins", "runc"];

/// Packages of one release do not run on every other.
const RELEASE: &str = "/etc/os-release";

/// Why there are no packages.
#[derive(Debug, Error)]
pub enum PackagesError {
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A program is missing.
    #[error("`{program}` could not be started: {source}; the nodes need packages of Debian")]
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
}

/// The directory in which they lie as they would in `/`; they are fetched if the cache has not got them.
pub(super) fn obtain() -> Result<PathBuf, PackagesError> {
    let release = fs::read(RELEASE).map_err(CacheError::at(Path::new(RELEASE)))?;
    let name = cache::name("packages", &[release.as_slice(), PACKAGES.join(" ").as_bytes()]);
    cache::entry(&name, |work| {
        let archives = work.join("archives");
        fs::create_dir(&archives).map_err(CacheError::at(&archives))?;
        if fetch(&archives).is_err() {
            // The lists of a fresh machine are empty, and old ones name what is there no more.
            let mut update = Command::new("apt-get");
            run("apt-get update", update.args(["-q", "-o", "DPkg::Lock::Timeout=300", "update"]))?;
            fetch(&archives)?;
        }
        for entry in fs::read_dir(&archives).map_err(CacheError::at(&archives))? {
            let archive = entry.map_err(CacheError::at(&archives))?.path();
            run("dpkg-deb", Command::new("dpkg-deb").arg("-x").arg(&archive).arg(work))?;
        }
        Ok(())
    })
}

fn fetch(into: &Path) -> Result<(), PackagesError> {
    let mut apt = Command::new("apt-get");
    // As who we are: the user that it would become cannot write there.
    apt.args(["-q", "-o", "APT::Sandbox::User=root", "download"]).args(PACKAGES);
    run("apt-get download", apt.current_dir(into))
}

fn run(program: &'static str, command: &mut Command) -> Result<(), PackagesError> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| PackagesError::Start { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(PackagesError::Failed { program, said })
}

//! The components of Kubernetes, built from their sources.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    cache::{self, CacheError},
    go::{self, GoError},
};

/// What the one binary does by the name by which it is called.
const NAMES: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
];

/// The module whose version is that of the cluster.
const MODULE: &str = "k8s.io/kubernetes";

/// A module of its own, of which the versions of its dependencies are others.
const KWOK: &str = "sigs.k8s.io/kwok/cmd/kwok";

/// Where the linker puts a version.
const VERSIONED: [&str; 2] = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

/// Why there are no components.
#[derive(Debug, Error)]
pub enum ComponentsError {
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A source can't be read.
    #[error("{path}: {source}")]
    Source {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// go.mod does not say which version.
    #[error("lab/kubernetes/go.mod does not require {MODULE}")]
    Unversioned,
    /// Go.
    #[error(transparent)]
    Go(#[from] GoError),
}

/// Every component of one version.
#[derive(Clone, Debug)]
pub struct Components {
    directory: PathBuf,
}

impl Components {
    /// Those of `lab/kubernetes`, which are built if the cache has not got them; that takes seven to ten minutes
    /// of two processors.
    ///
    /// # Errors
    /// No Go that is new enough, no way to the sources, or no room.
    pub fn obtain() -> Result<Self, ComponentsError> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes");
        let read = |name| source(&home, name);
        let (main, module, sums) = (read("main.go")?, read("go.mod")?, read("go.sum")?);
        let version = version(&module).ok_or(ComponentsError::Unversioned)?;
        let mut build = go::program(&linked(version));
        let (go, arguments) = (go::version(&home)?, build.join(" "));
        let made_of = [&main, &module, &sums, &go, &arguments].map(|part| part.as_bytes());
        let name = cache::name(&format!("kubernetes-{version}"), &made_of);
        let directory = cache::entry(&name, |work| {
            eprintln!("building Kubernetes {version}, some eight minutes of two processors …");
            let binary = work.join("kubernetes");
            build.extend(["-o".to_owned(), binary.display().to_string(), ".".to_owned()]);
            go::build(&home, &build)?;
            for name in NAMES {
                symlink("kubernetes", work.join(name)).map_err(CacheError::at(work))?;
            }
            Ok::<(), ComponentsError>(())
        })?;
        Ok(Self { directory })
    }

    /// Where programs lie that have the names of components.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// What plays nodes, which is built if the cache has not got it; that takes two minutes of two processors.
///
/// # Errors
/// As those of [`Components::obtain`].
pub(super) fn kwok() -> Result<PathBuf, ComponentsError> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("kwok");
    let (module, sums) = (source(&home, "go.mod")?, source(&home, "go.sum")?);
    let mut build = go::program("-s -w");
    let (go, arguments) = (go::version(&home)?, build.join(" "));
    let made_of = [&module, &sums, &go, &arguments].map(|part| part.as_bytes());
    let directory = cache::entry(&cache::name("kwok", &made_of), |work| {
        eprintln!("building kwok, two minutes of two processors …");
        build.extend(["-o".to_owned(), work.join("kwok").display().to_string(), KWOK.to_owned()]);
        Ok::<(), ComponentsError>(go::build(&home, &build)?)
    })?;
    Ok(directory.join("kwok"))
}

fn source(home: &Path, name: &str) -> Result<String, ComponentsError> {
    let path = home.join(name);
    fs::read_to_string(&path).map_err(|source| ComponentsError::Source { path, source })
}

/// The version without its letter, as `1.34.4`.
fn version(module: &str) -> Option<&str> {
    let required = module.lines().map(|line| line.trim().trim_start_matches("require "));
    required
        .filter_map(|line| line.strip_prefix(MODULE))
        .find_map(|rest| rest.trim().strip_prefix('v'))
}

/// Components of another version than they say would refuse each other.
fn linked(version: &str) -> String {
    let (major, rest) = version.split_once('.').unwrap_or((version, "0"));
    let minor = rest.split('.').next().unwrap_or("0");
    let mut flags = "-s -w".to_owned();
    for package in VERSIONED {
        let set = [
            ("gitVersion", format!("v{version}")),
            ("gitMajor", major.to_owned()),
            ("gitMinor", minor.to_owned()),
            ("gitTreeState", "clean".to_owned()),
            ("gitCommit", "0".repeat(40)),
            ("buildDate", "1970-01-01T00:00:00Z".to_owned()),
        ];
        for (name, value) in set {
            flags += &format!(" -X {package}.{name}={value}");
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let module =
            "module x\n\nrequire (\n\tk8s.io/kubectl v0.0.0\n\tk8s.io/kubernetes v1.34.4\n)\n";
        assert_eq!(version(module), Some("1.34.4"));
        assert_eq!(version("require k8s.io/kubernetes v1.2.3\n"), Some("1.2.3"));
        assert_eq!(version("module k8s.io/kubernetes\n"), None);
        let flags = linked("1.34.4");
        assert!(flags.contains("component-base/version.gitVersion=v1.34.4 "), "{flags}");
        assert!(flags.contains("client-go/pkg/version.gitMinor=34 "), "{flags}");
    }
}

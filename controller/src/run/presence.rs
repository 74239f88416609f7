//! Whether the programs that an experiment names are there, before anything of it is begun.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use experiment::model::{Activity, Experiment, Provider};

use super::program::in_home;

/// A program that is not here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// What its step is called.
    pub(super) step: String,
    /// What the step calls the program.
    pub(super) program: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { step, program } = self;
        write!(f, "a program of this machine was expected here, found `{program}` (step `{step}`)")
    }
}

/// What is missing, in the order of steps.
pub(super) fn missing(experiment: &Experiment) -> Vec<Missing> {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let probes = experiment.hypothesis.iter().flat_map(|hypothesis| &hypothesis.probes);
    let steps = probes.chain(&experiment.method).chain(&experiment.rollbacks);
    steps.filter_map(|step| missing_of(step, &directories)).collect()
}

fn missing_of(step: &Activity, directories: &OsStr) -> Option<Missing> {
    let Provider::Process(process) = &step.provider else { return None };
    let is_there = is_there(&in_home(&process.path), directories);
    (!is_there).then(|| Missing { step: step.name.clone(), program: process.path.clone() })
}

/// Whether it can be executed from here; a name without a slash is looked for in all directories.
fn is_there(program: &str, directories: &OsStr) -> bool {
    if program.contains('/') {
        return is_executable(Path::new(program));
    }
    let places = std::env::split_paths(directories);
    places.map(|directory: PathBuf| directory.join(program)).any(|path| is_executable(&path))
}

fn is_executable(path: &Path) -> bool {
    let mode =
        |found: std::fs::Metadata| found.is_file() && found.permissions().mode() & 0o111 != 0;
    std::fs::metadata(path).is_ok_and(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_where_they_are_started_from() {
        let directories = OsStr::new("/nowhere:/bin");
        assert!(is_there("sh", directories) && is_there("/bin/sh", directories));
        assert!(!is_there("no-such-program", directories));
        assert!(!is_there("/bin", directories) && !is_there("/etc/passwd", directories));
        assert!(!is_there("sh", OsStr::new("/nowhere")));
    }
}

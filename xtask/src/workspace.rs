//! Where things are in the workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |directory| root().join(directory))
}

/// A binary that `cargo build` puts out, by profile directory (`debug`, `release`) and name.
pub(crate) fn binary(profile: &str, name: &str) -> PathBuf {
    target().join(profile).join(name)
}

/// Every file that git knows or would add, relative to the root, sorted.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(root());
    // Not-yet-added files count, so that a violation is seen before it is committed.
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let listed = command::output(git).context("the files of the tree can't be listed")?;
    let mut files: Vec<PathBuf> =
        listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// The names of all integration tests (`*/tests/*.rs` and `*/tests/*/main.rs`), sorted.
pub(crate) fn integration_tests() -> Result<Vec<String>> {
    let mut names: Vec<String> = files()?.iter().filter_map(|file| test_name(file)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn test_name(file: &Path) -> Option<String> {
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    match parts.as_slice() {
        [_, "tests", file] => Some(file.strip_suffix(".rs")?.to_owned()),
        [_, "tests", directory, "main.rs"] => Some((*directory).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integration_tests_are_files_of_tests_directories() {
        let name = |path: &str| test_name(Path::new(path));
        assert_eq!(name("lab/tests/root_topology.rs").as_deref(), Some("root_topology"));
        assert_eq!(name("agent/tests/root_cut/main.rs").as_deref(), Some("root_cut"));
        assert_eq!(name("agent/tests/root_cut/side.rs"), None);
        assert_eq!(name("agent/src/tests.rs"), None);
    }
}

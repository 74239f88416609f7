//! What a suite may have left on the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};

/// Where control groups are: those of version 2, or a directory for each hierarchy.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Fails when a network namespace or a control group of a dead test, or anything that `schism residue` knows, is left.
pub(crate) fn check() -> Result<()> {
    let namespaces = of_the_dead(Path::new("/run/netns"))?;
    if !namespaces.is_empty() {
        bail!("network namespaces of ended processes are left: {}", namespaces.join(" "));
    }
    let mut groups = of_the_dead(Path::new(CONTROL_GROUPS))?;
    for hierarchy in entries(Path::new(CONTROL_GROUPS))? {
        if hierarchy.is_dir() {
            groups.extend(of_the_dead(&hierarchy)?);
        }
    }
    if !groups.is_empty() {
        bail!("control groups of ended processes are left: {}", groups.join(" "));
    }
    let schism = workspace::binary("debug", "schism");
    if !schism.exists() {
        eprintln!("the command line is not built, so only namespaces were looked for");
        return Ok(());
    }
    let mut residue = Command::new(schism);
    residue.arg("residue").stdin(Stdio::null());
    command::run(residue).context("something was left behind")
}

/// What a directory has of the names `schism-PID-…` (the lab's) whose process is gone. Those of the living belong
/// to somebody who works on the same machine at the same time.
fn of_the_dead(directory: &Path) -> Result<Vec<String>> {
    let mut dead = Vec::new();
    for entry in entries(directory)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            dead.push(name);
        }
    }
    dead.sort();
    Ok(dead)
}

/// Everything in a directory, of which there may be none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let shown = || directory.display().to_string();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(shown),
    };
    entries.map(|entry| Ok(entry.with_context(shown)?.path())).collect()
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix("schism-")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_in_the_name() {
        assert_eq!(owner("schism-4711-0-db0"), Some(4711));
        assert_eq!(owner("schism-db0"), None);
        assert_eq!(owner("other-4711-0"), None);
    }
}

//! What a suite may have left on the machine.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};

/// Fails when a network namespace of a dead test, or anything that `schism residue` knows, is left.
pub(crate) fn check() -> Result<()> {
    let namespaces = namespaces_of_the_dead()?;
    if !namespaces.is_empty() {
        bail!("network namespaces of ended processes are left: {}", namespaces.join(" "));
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

/// Named namespaces `schism-PID-…` (the lab's) whose process is gone. Those of the living belong to
/// somebody who works on the same machine at the same time.
fn namespaces_of_the_dead() -> Result<Vec<String>> {
    let entries = match fs::read_dir("/run/netns") {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("/run/netns"),
    };
    let mut dead = Vec::new();
    for entry in entries {
        let name = entry.context("/run/netns")?.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            dead.push(name);
        }
    }
    dead.sort();
    Ok(dead)
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

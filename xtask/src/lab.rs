//! `cargo xtask lab`: a real system on this machine, to try faults on.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{command, install, workspace};

/// Builds, for `up` installs what is missing, and becomes `schism-lab zeebe` with the given arguments.
///
/// # Errors
/// Not being root, a failed installation or build; a lab that started never returns here.
pub(crate) fn zeebe(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask lab`")?;
    if arguments.first() == Some(&"up") {
        install::packages()?;
    }
    become_lab("zeebe", arguments)
}

/// Installs what is missing, builds, and becomes `schism-lab kubernetes` with the given arguments.
///
/// # Errors
/// As there.
pub(crate) fn kubernetes(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask lab`")?;
    install::packages()?;
    become_lab("kubernetes", arguments)
}

fn become_lab(system: &str, arguments: &[&str]) -> Result<()> {
    let packages = ["-p", "controller", "-p", "agent", "-p", "lab"];
    command::run(command::cargo(["build", "--locked"].iter().chain(&packages)))?;
    let lab = workspace::binary("debug", "schism-lab");
    // This process becomes the lab, so that Ctrl-C and SIGTERM reach the one who cleans up.
    let mut becomes = Command::new(&lab);
    becomes.arg(system).args(arguments).current_dir(workspace::root());
    Err(becomes.exec()).with_context(|| format!("{} could not be started", lab.display()))
}

//! `cargo xtask demo`: cuts on a real etcd cluster, on this machine.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{command, install, workspace};

/// Installs what is missing, builds, and becomes the demo.
///
/// # Errors
/// Not being root, a failed installation or build; a demo that started never returns here.
pub(crate) fn run() -> Result<()> {
    command::need_root("`cargo xtask demo`")?;
    install::packages()?;
    let packages = ["-p", "controller", "-p", "agent", "-p", "lab"];
    command::run(command::cargo(["build", "--locked"].iter().chain(&packages)))?;
    let demo = workspace::binary("debug", "schism-demo");
    // This process becomes the demo instead of starting it, so that Ctrl-C and SIGTERM reach the
    // one who cleans up, and its exit code is the command's.
    let error = Command::new(&demo).current_dir(workspace::root()).exec();
    Err(error).with_context(|| format!("{} could not be started", demo.display()))
}

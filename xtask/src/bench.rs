//! `cargo xtask bench`: figures, never tests.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{command, install, workspace};

/// Builds for release and becomes `schism-bench cut` with the given arguments.
///
/// # Errors
/// Not being root, a failed installation or build; a bench that started never returns here.
pub(crate) fn cut(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask bench cut`")?;
    install::packages()?;
    let build = ["build", "--release", "--locked", "-p", "controller", "-p", "agent", "-p", "lab"];
    command::run(command::cargo(build))?;
    let cost = [
        "build",
        "--release",
        "--locked",
        "-p",
        "agent-ebpf",
        "--features",
        "user",
        "--example",
        "cost",
    ];
    command::run(command::cargo(cost))?;
    let bench = workspace::binary("release", "schism-bench");
    let error = Command::new(&bench).arg("cut").args(arguments).exec();
    Err(error).with_context(|| format!("{} could not be started", bench.display()))
}

//! `cargo xtask bench`: figures, never tests.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{command, compat, image, install, workspace};

/// The programs.
const BUILD: [&str; 9] =
    ["build", "--release", "--locked", "-p", "controller", "-p", "agent", "-p", "lab"];

/// Builds for release and becomes `schism-bench fleet` with the given arguments.
///
/// # Errors
/// Not being root, or a failed build; a bench that started never returns here.
pub(crate) fn fleet(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask bench fleet`")?;
    command::run(command::cargo(BUILD))?;
    become_bench("fleet", arguments)
}

/// Builds for release and becomes `schism-bench clock` with the given arguments.
///
/// # Errors
/// Not being root, or a failed build; a bench that started never returns here.
pub(crate) fn clock(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask bench clock`")?;
    command::run(command::cargo(BUILD))?;
    become_bench("clock", arguments)
}

/// Builds for release and becomes `schism-bench experiment` beside the original, with the given arguments.
///
/// # Errors
/// A failed installation or build; a bench that started never returns here.
pub(crate) fn experiment(arguments: &[&str]) -> Result<()> {
    install::packages()?;
    let chaos = compat::original()?.join("bin/chaos").display().to_string();
    command::run(command::cargo(BUILD))?;
    become_bench("experiment", &[&["--chaos", &chaos], arguments].concat())
}

/// Builds for release and becomes `schism-bench zeebe` with the given arguments.
///
/// # Errors
/// A failed build; a bench that started never returns here.
pub(crate) fn zeebe(arguments: &[&str]) -> Result<()> {
    command::run(command::cargo(BUILD))?;
    become_bench("zeebe", arguments)
}

/// Builds for release, the images' programs as well, and becomes `schism-bench kubernetes` with the given arguments.
///
/// # Errors
/// Not being root, a failed installation or build; a bench that started never returns here.
pub(crate) fn kubernetes(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask bench kubernetes`")?;
    install::packages()?;
    command::run(command::cargo(BUILD))?;
    let programs = image::programs()?.display().to_string();
    become_bench("kubernetes", &[&["--programs", &programs], arguments].concat())
}

/// Builds for release and becomes `schism-bench soak` with the given arguments.
///
/// # Errors
/// Not being root, or a failed build; a soak that started never returns here.
pub(crate) fn soak(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask soak clock`")?;
    command::run(command::cargo(BUILD))?;
    become_bench("soak", arguments)
}

/// Builds for release and becomes `schism-bench cut` with the given arguments.
///
/// # Errors
/// Not being root, a failed installation or build; a bench that started never returns here.
pub(crate) fn cut(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask bench cut`")?;
    install::packages()?;
    command::run(command::cargo(BUILD))?;
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
    become_bench("cut", arguments)
}

fn become_bench(name: &str, arguments: &[&str]) -> Result<()> {
    let bench = workspace::binary("release", "schism-bench");
    let error = Command::new(&bench).arg(name).args(arguments).exec();
    Err(error).with_context(|| format!("{} could not be started", bench.display()))
}

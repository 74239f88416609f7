//! `cargo xtask image`: the images of agent and controller, without an engine.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};

/// What nothing of the machine that builds is needed for.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// The certificates of authorities of the machine that builds (package ca-certificates).
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Builds small static binaries (profile `dist`), and writes an archive for each image to `target/images`.
///
/// # Errors
/// No Rust for musl, no `musl-gcc`, no certificates, or a build that fails.
pub(crate) fn write() -> Result<()> {
    let programs = programs()?;
    command::run(command::cargo(["build", "--locked", "-p", "image"]))?;
    let mut image = Command::new(workspace::binary("debug", "schism-image"));
    image.arg("--binaries").arg(programs);
    image.args(["--certificates", CERTIFICATES, "--tag", env!("CARGO_PKG_VERSION")]);
    image.arg("--out").arg(workspace::target().join("images"));
    command::run(image)
}

/// Builds what images are made of, and says where it is.
///
/// # Errors
/// As those of [`write()`].
pub(crate) fn programs() -> Result<PathBuf> {
    if command::find("musl-gcc").is_none() {
        bail!("`musl-gcc` is missing (package musl-tools): `cargo xtask install` installs it");
    }
    if !Path::new(CERTIFICATES).is_file() {
        bail!("{CERTIFICATES} is missing (package ca-certificates)");
    }
    add_target()?;
    let product = ["-p", "agent", "-p", "controller"];
    let build = ["build", "--profile", "dist", "--locked", "--bins", "--target", TARGET];
    command::run(command::cargo(build.iter().chain(&product)))?;
    Ok(workspace::target().join(TARGET).join("dist"))
}

/// Has Rust for musl, which a toolchain of a distribution may bring itself.
fn add_target() -> Result<()> {
    let mut libraries = Command::new("rustc");
    libraries.args(["--print", "target-libdir", "--target", TARGET]);
    let libraries = command::output(libraries).unwrap_or_default();
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    let mut add = Command::new("rustup");
    add.args(["target", "add", TARGET]);
    command::run(add).with_context(|| format!("Rust for {TARGET} is needed"))
}

//! `cargo xtask lab`: a real system on this machine, to try faults on.

use std::{fs, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{command, install, workspace};

/// The first version of Java that Zeebe runs on.
const JAVA: u32 = 21;

/// Where Debian and others put what they install.
const PLACES: &str = "/usr/lib/jvm";

/// Builds, for `up` and `suite` installs what is missing, and becomes `schism-lab zeebe` with the given arguments; or
/// runs the experiments on Zeebe.
///
/// # Errors
/// Not being root, no Java, a failed installation or build; a lab that started never returns here.
pub(crate) fn zeebe(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask lab`")?;
    if matches!(arguments.first(), Some(&("suite" | "up"))) {
        need_java()?;
        install::packages()?;
    }
    if let ["suite", rest @ ..] = arguments {
        return suite("zeebe", rest);
    }
    become_lab("zeebe", arguments)
}

/// Installs what is missing, builds, and runs the experiments on a Zeebe of pods.
///
/// # Errors
/// As there, or one of them came to something else than it should.
pub(crate) fn pods(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask lab`")?;
    need_java()?;
    install::packages()?;
    suite("pods", arguments)
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

fn suite(system: &str, arguments: &[&str]) -> Result<()> {
    build()?;
    let mut suite = Command::new(workspace::binary("debug", "schism-suite"));
    suite.arg(system).args(arguments);
    command::run(suite)
}

fn build() -> Result<()> {
    let packages = ["-p", "controller", "-p", "agent", "-p", "lab"];
    command::run(command::cargo(["build", "--locked"].iter().chain(&packages)))
}

fn become_lab(system: &str, arguments: &[&str]) -> Result<()> {
    build()?;
    let lab = workspace::binary("debug", "schism-lab");
    // This process becomes the lab, so that Ctrl-C and SIGTERM reach the one who cleans up.
    let mut becomes = Command::new(&lab);
    becomes.arg(system).args(arguments).current_dir(workspace::root());
    Err(becomes.exec()).with_context(|| format!("{} could not be started", lab.display()))
}

/// Before minutes of building; the lab itself looks more closely.
fn need_java() -> Result<()> {
    ensure!(
        has_java(),
        "Zeebe needs a Java of version {JAVA} or later, and neither JAVA_HOME nor {PLACES} has one; \
         install openjdk-21-jre-headless (Debian 13) or Eclipse Temurin {JAVA} or later"
    );
    Ok(())
}

/// Whether a Java says of itself that it is new enough.
fn has_java() -> bool {
    let own = std::env::var_os("JAVA_HOME").map(Into::into);
    let others = fs::read_dir(PLACES).into_iter().flatten().flatten().map(|entry| entry.path());
    own.into_iter().chain(others).any(|home| version(&home).is_some_and(|version| version >= JAVA))
}

fn version(home: &Path) -> Option<u32> {
    let release = fs::read_to_string(home.join("release")).ok()?;
    let line = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    line.split(['.', '"', '-', '+']).next()?.parse().ok()
}

//! Programs that a task runs: always in the root of the workspace, output passed through.

use std::{
    ffi::OsStr,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The cargo that runs this task, in the root of the workspace.
pub(crate) fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace::root());
    if std::env::var_os("CI").is_some() {
        // Nothing is built a second time there, and what makes that quick costs a sixth of the first.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Runs a command to its end; anything but success is an error that names the command.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let text = text(&command);
    eprintln!("+ {text}");
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("`{text}` could not be started"))?;
    if !status.success() {
        bail!("`{text}` ended with {status}");
    }
    Ok(())
}

/// What a command prints; anything but success is an error with what it said.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let text = text(&command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{text}` could not be started"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{text}` ended with {}: {}", output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{text}` printed no UTF-8"))
}

/// Where a program is, looked up in `PATH` and in the administrator's directories, which a root
/// shell got by `su` has not in its `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Refuses with a sentence when this process is not root.
pub(crate) fn need_root(purpose: &str) -> Result<()> {
    // The owner of /proc/self is the effective user of this process.
    let uid = std::fs::metadata("/proc/self").context("/proc is not mounted")?.uid();
    if uid != 0 {
        bail!("{purpose} needs root (network namespaces, BPF): run it in a root shell");
    }
    Ok(())
}

fn text(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

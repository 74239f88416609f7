//! The `ip` program of iproute2.

use std::{
    io::{self, Write as _},
    process::{Command, Output, Stdio},
};

use thiserror::Error;

/// Why a call of `ip` failed.
#[derive(Debug, Error)]
pub enum IpError {
    /// The program could not be run.
    #[error("`ip {arguments}` could not be run (package iproute2): {source}")]
    Run {
        /// What it was called with.
        arguments: String,
        /// Why.
        source: io::Error,
    },
    /// The program refused.
    #[error("`ip {arguments}` failed: {said}")]
    Refused {
        /// What it was called with.
        arguments: String,
        /// What it printed.
        said: String,
    },
}

/// Runs `ip` with these arguments and returns what it prints.
///
/// # Errors
/// When `ip` is missing or ends with anything but success.
pub fn ip(arguments: &[&str]) -> Result<String, IpError> {
    let name = arguments.join(" ");
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    finish(name, output)
}

/// Runs a list of `ip` commands, one a line, in one process and inside the named namespace.
///
/// # Errors
/// At the first command that fails; those before it stay done.
pub fn batch(namespace: &str, lines: &str) -> Result<(), IpError> {
    let name = format!("-n {namespace} -batch - <<< {lines:?}");
    let output = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut ip| {
            if let Some(mut stdin) = ip.stdin.take() {
                stdin.write_all(lines.as_bytes())?;
            }
            ip.wait_with_output()
        });
    finish(name, output).map(drop)
}

fn finish(arguments: String, output: io::Result<Output>) -> Result<String, IpError> {
    let output = match output {
        Ok(output) => output,
        Err(source) => return Err(IpError::Run { arguments, source }),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(IpError::Refused { arguments, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

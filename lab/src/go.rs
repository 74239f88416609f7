//! Programs of the lab that are built with Go.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use thiserror::Error;

/// What is compiled: no debug information, which nobody reads and which costs time.
const FLAGS: [&str; 2] = ["-trimpath", "-gcflags=all=-dwarf=false"];

/// Why a program was not built.
#[derive(Debug, Error)]
pub enum GoError {
    /// There is no Go.
    #[error(
        "`go` could not be started: {0}; this part of the lab is built with Go 1.24 or later (go.dev/dl, or Debian 13: \
         golang-go)"
    )]
    Missing(#[source] io::Error),
    /// Go failed.
    #[error("`go {subcommand}` in {home} ended with {status}; it takes Go 1.24 or later: {said}")]
    Failed {
        /// Where.
        home: PathBuf,
        /// Of Go.
        subcommand: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
}

/// How a program is built, but for which and where to: the words behind `go`, `linked` for the linker.
pub(crate) fn program(linked: &str) -> Vec<String> {
    let mut build = vec!["build".to_owned()];
    build.extend(FLAGS.map(ToOwned::to_owned));
    build.push(format!("-ldflags={linked}"));
    build
}

/// Builds in the directory of a module, by the words behind `go`.
///
/// # Errors
/// No Go that is new enough, or no way to the sources.
pub(crate) fn build(home: &Path, words: &[String]) -> Result<(), GoError> {
    go(home, "build", words).map(drop)
}

/// Which Go there is.
///
/// # Errors
/// There is none.
pub(crate) fn version(home: &Path) -> Result<String, GoError> {
    go(home, "env", &["env".to_owned(), "GOVERSION".to_owned()])
}

fn go(home: &Path, subcommand: &'static str, words: &[String]) -> Result<String, GoError> {
    let mut go = Command::new("go");
    go.args(words).current_dir(home).stdin(Stdio::null());
    // Without cgo they run on any node, whatever its C library; a workspace above is none of theirs.
    go.env("CGO_ENABLED", "0").env("GOWORK", "off");
    let output = go.output().map_err(GoError::Missing)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(GoError::Failed {
            home: home.to_owned(),
            subcommand,
            status: output.status,
            said,
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

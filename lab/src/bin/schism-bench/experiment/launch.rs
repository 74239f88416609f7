//! A process whose costs are told: started by a process that starts nothing else, since the kernel adds up what all
//! children of a process took.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// The word by which this program is started for it.
pub(crate) const COMMAND: &str = "launch";

/// What a process and those that it waited for took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch {
    /// Resident at the most, bytes.
    pub(crate) peak: u64,
    /// Of processors.
    pub(crate) processor: Duration,
}

impl Launch {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// It fails.
    pub(crate) fn of(command: &Command) -> Result<Self> {
        let mut launcher = Command::new(std::env::current_exe()?);
        launcher.arg(COMMAND).arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            launcher.current_dir(directory);
        }
        let output = launcher.stdin(Stdio::null()).output().context("start the launcher")?;
        ensure!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout)?;
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next =
            || numbers.next().context("the launcher said too little")?.context("a number");
        Ok(Self { peak: next()?, processor: Duration::from_micros(next()?) })
    }
}

/// Is the launcher.
///
/// # Errors
/// The command fails.
pub(crate) fn serve(words: &[String]) -> Result<()> {
    let [program, arguments @ ..] = words else { anyhow::bail!("{COMMAND} takes a command") };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().context("start the command")?;
    ensure!(status.success(), "{status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("what it took")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    // The kernel counts in KiB.
    println!("{} {micros}", usage.max_rss() * 1024);
    Ok(())
}

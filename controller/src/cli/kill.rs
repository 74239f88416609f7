//! `schism kill` as people type it.

use std::time::Duration;

use clap::Args;
use fault::Signal;

use super::{MannerArgs, Named, WithinArgs};

/// `kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Who ends: pid:NUMBER, or all processes of container:ID, pod:UID[/CONTAINER] or netns:NAME
    pub target: Named,
    /// Where roles are.
    #[command(flatten)]
    pub within: WithinArgs,
    /// What they are sent: TERM, KILL, INT, QUIT, ABRT, HUP, USR1 or USR2
    #[arg(short, long, value_name = "SIGNAL", default_value = "TERM")]
    pub signal: Signal,
    /// How long after that whoever is left is sent SIGKILL [default: 30s; never after HUP, USR1 and USR2]
    #[arg(long, value_name = "TIME", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub grace: Option<Duration>,
    /// Send the signal alone: whoever is left goes on
    #[arg(long, conflicts_with = "grace")]
    pub no_force: bool,
    /// How long it goes on, SIGKILL included, without being renewed by this command
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub lease: Duration,
    /// Also the descendants of the target's processes
    #[arg(long)]
    pub tree: bool,
    /// Allow that a group has no majority any more whose members can talk to each other
    #[arg(long)]
    pub allow_quorum_loss: bool,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

impl KillArgs {
    /// What is attempted, for people.
    #[must_use]
    pub fn attempt(&self) -> String {
        format!("cannot kill {}", self.target)
    }
}

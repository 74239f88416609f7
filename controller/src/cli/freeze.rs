//! `schism freeze` as people type it.

use std::time::Duration;

use clap::Args;

use super::{MannerArgs, Named, RestartArgs, WithinArgs};

/// `freeze`.
#[derive(Debug, Args)]
pub struct FreezeArgs {
    /// Who stands still: pid:NUMBER, or all processes of container:ID, pod:UID[/CONTAINER] or netns:NAME
    pub target: Named,
    /// Where roles are.
    #[command(flatten)]
    pub within: WithinArgs,
    /// How long; it ends then in any case
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub total: Duration,
    /// How long the processes stand still without being renewed by this command
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub lease: Duration,
    /// Also the descendants of the target's processes
    #[arg(long)]
    pub tree: bool,
    /// Allow that a group has no majority any more whose members can talk to each other
    #[arg(long)]
    pub allow_quorum_loss: bool,
    /// What becomes of it.
    #[command(flatten)]
    pub restart: RestartArgs,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

impl FreezeArgs {
    /// What is attempted, for people.
    #[must_use]
    pub fn attempt(&self) -> String {
        format!("cannot freeze {}", self.target)
    }
}

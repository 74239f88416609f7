//! `schism skew` as people type it.

use std::time::Duration;

use clap::Args;
use fault::{Clocks, Ending, Offset, Rate, Strobe};

use super::{MannerArgs, Named, RestartArgs, WithinArgs};

/// `skew`.
#[derive(Debug, Args)]
pub struct SkewArgs {
    /// Whose clocks: pid:NUMBER, or all processes of container:ID, pod:UID[/CONTAINER] or netns:NAME
    pub target: Named,
    /// Where roles are.
    #[command(flatten)]
    pub within: WithinArgs,
    /// How far ahead of the truth, such as +1h, or behind it, such as -90s [default with --drift and
    /// --strobe: 0s]
    #[arg(required_unless_present_any = ["drift", "strobe"], allow_hyphen_values = true)]
    pub offset: Option<Offset>,
    /// How long; it ends then in any case
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub total: Duration,
    /// How long the processes go on with it without being renewed by this command
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub lease: Duration,
    /// Let the distance grow by this rate, such as 200ppm or -50ppm
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, conflicts_with_all = ["step_at", "strobe"])]
    pub drift: Option<Rate>,
    /// Begin with the truth, and move so long after the start
    #[arg(long, value_name = "TIME", value_parser = fault::parse_duration, allow_hyphen_values = true, conflicts_with = "strobe")]
    pub step_at: Option<Duration>,
    /// Go so much farther, and back again, in turns of this period, such as 4ms:200ms
    #[arg(long, value_name = "BY:PERIOD", allow_hyphen_values = true)]
    pub strobe: Option<Strobe>,
    /// How the clocks come back: step, or slew and a rate, such as slew:500ppm
    #[arg(long, value_name = "HOW", default_value = "step")]
    pub heal: Ending,
    /// Which clocks, with commas: realtime, monotonic, boottime. Software is seldom prepared for the latter
    #[arg(long = "clock", value_name = "CLOCKS", default_value = "realtime")]
    pub clocks: Clocks,
    /// Also the descendants of the target's processes
    #[arg(long)]
    pub tree: bool,
    /// End the skew that has moved these clocks already, and take its place; they have the truth in between
    #[arg(long, conflicts_with = "dry_run")]
    pub replace: bool,
    /// What becomes of it.
    #[command(flatten)]
    pub restart: RestartArgs,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

impl SkewArgs {
    /// What is attempted, for people.
    #[must_use]
    pub fn attempt(&self) -> String {
        format!("cannot move the clocks of {}", self.target)
    }
}

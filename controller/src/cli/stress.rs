//! `schism stress` as people type it.

use std::num::NonZeroU16;
use std::time::Duration;

use clap::Args;
use fault::{CpuLoad, LoadError, MemoryLoad, Stress, some_workers};

use super::{MannerArgs, Named, RestartArgs, WithinArgs};

/// `stress`.
#[derive(Debug, Args)]
pub struct StressArgs {
    /// Who has less: pid:NUMBER, container:ID or pod:UID/CONTAINER, whose control group the workers join
    pub target: Named,
    /// Where roles are.
    #[command(flatten)]
    pub within: WithinArgs,
    /// What is taken.
    #[command(flatten)]
    pub taken: TakenArgs,
    /// How long; it ends then in any case
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub total: Duration,
    /// How long the workers go on without being renewed by this command
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub lease: Duration,
    /// What becomes of it.
    #[command(flatten)]
    pub restart: RestartArgs,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// What is taken from a target: at least one of the three.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = true)]
pub struct TakenArgs {
    /// So many workers take processor time, each for that share of it, such as 2 or 4@50%
    #[arg(long, value_name = "N[@LOAD%]")]
    pub cpu: Option<CpuLoad>,
    /// Take and hold so much memory, such as 256MiB, or 80% of what the target may have
    #[arg(long, value_name = "SIZE|%")]
    pub memory: Option<MemoryLoad>,
    /// So many workers write a file of 64 MiB each, sync it, and read it back from the disk
    #[arg(long, value_name = "N", value_parser = workers)]
    pub io: Option<NonZeroU16>,
}

fn workers(text: &str) -> Result<NonZeroU16, LoadError> {
    some_workers(text.parse().map_err(|_| LoadError::Workers)?)
}

impl From<TakenArgs> for Stress {
    fn from(taken: TakenArgs) -> Self {
        Self { cpu: taken.cpu, memory: taken.memory, io: taken.io }
    }
}

impl StressArgs {
    /// What is attempted, for people.
    #[must_use]
    pub fn attempt(&self) -> String {
        format!("cannot load {}", self.target)
    }
}

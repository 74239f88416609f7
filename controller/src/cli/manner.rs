//! What every fault in processes can be told beside what it does.

use clap::Args;

use crate::session::After;

/// How a fault is put in and kept.
#[derive(Clone, Copy, Debug, Args)]
pub struct MannerArgs {
    /// From which picks are drawn [default: a random one]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub seed: Option<u64>,
    /// Print the plan and do nothing
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,
    /// Leave it and return. An agent has nobody who renews it then, so its lease is all of its time; a
    /// controller renews it itself
    #[arg(long)]
    pub detach: bool,
    /// Become this machine's agent if there is none
    #[arg(long)]
    pub local: bool,
}

impl MannerArgs {
    /// What to do once it is known what is meant.
    pub(crate) const fn after(&self) -> After {
        After::of(self.dry_run, self.detach)
    }
}

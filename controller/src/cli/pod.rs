//! `schism pod` as people type it.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Named, WithinArgs};

/// `pod`.
#[derive(Debug, Args)]
pub struct PodArgs {
    /// What becomes of them.
    #[command(subcommand)]
    pub command: PodCommand,
}

/// What becomes of pods.
#[derive(Debug, Subcommand)]
pub enum PodCommand {
    /// Delete pods, and wait until others that are ready are in their place
    Restart(PodRestartArgs),
    /// Delete pods at once, without giving them time to end
    Terminate(PodTerminateArgs),
    /// Delete pods unless a PodDisruptionBudget forbids it, and wait until they are gone
    Evict(PodEvictArgs),
}

/// Which pods, and how they are chosen.
#[derive(Debug, Args)]
pub struct PodsArgs {
    /// Which: k8s:NAMESPACE/…, pod:UID, or members of a group in a namespace, such as etcd:leader with -n; or a name
    /// of schism.toml
    pub target: Named,
    /// Where roles are.
    #[command(flatten)]
    pub within: WithinArgs,
    /// From which picks are drawn [default: a random one]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub seed: Option<u64>,
    /// Allow that a group has no majority any more whose members can talk to each other
    #[arg(long)]
    pub allow_quorum_loss: bool,
    /// Say what would be done and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `pod restart`.
#[derive(Debug, Args)]
pub struct PodRestartArgs {
    /// Which.
    #[command(flatten)]
    pub pods: PodsArgs,
    /// How long their processes have to end, whole seconds [default: what the pods say themselves]
    #[arg(long, value_name = "TIME", value_parser = grace, allow_hyphen_values = true)]
    pub grace: Option<u32>,
    /// How long to wait until others are ready in their place
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub timeout: Duration,
}

/// `pod terminate`.
#[derive(Debug, Args)]
pub struct PodTerminateArgs {
    /// Which.
    #[command(flatten)]
    pub pods: PodsArgs,
}

/// `pod evict`.
#[derive(Debug, Args)]
pub struct PodEvictArgs {
    /// Which.
    #[command(flatten)]
    pub pods: PodsArgs,
    /// How long their processes have to end, whole seconds [default: what the pods say themselves]
    #[arg(long, value_name = "TIME", value_parser = grace, allow_hyphen_values = true)]
    pub grace: Option<u32>,
    /// How long to go on asking where a budget forbids it [default: it is asked once]
    #[arg(long = "for", value_name = "TIME", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub insistence: Option<Duration>,
    /// How long to wait until they are gone
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub timeout: Duration,
}

impl PodCommand {
    /// Which pods.
    #[must_use]
    pub const fn pods(&self) -> &PodsArgs {
        match self {
            Self::Restart(args) => &args.pods,
            Self::Terminate(args) => &args.pods,
            Self::Evict(args) => &args.pods,
        }
    }
}

/// A time of grace, in seconds.
pub(super) fn grace(text: &str) -> Result<u32, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let seconds = u32::try_from(time.as_secs()).ok().filter(|_| time.subsec_nanos() == 0);
    seconds.ok_or_else(|| "the API server knows whole seconds alone".to_owned())
}

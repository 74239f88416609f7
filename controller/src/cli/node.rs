//! `schism node` as people type it.

use std::time::Duration;

use clap::{Args, Subcommand};
use fault::NodeName;

use super::pod::grace;

/// `node`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// What becomes of it.
    #[command(subcommand)]
    pub command: NodeCommand,
}

/// What becomes of a node of a Kubernetes cluster.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Have no new pods come to a node, for a while
    Cordon(CordonArgs),
    /// Have no new pods come to a node for a while, and evict those that are there but for DaemonSets'
    Drain(DrainArgs),
    /// End what `cordon` or `drain` has begun; what somebody else has cordoned stays so
    Uncordon(UncordonArgs),
}

/// `node cordon`.
#[derive(Debug, Args)]
pub struct CordonArgs {
    /// Which, as the cluster calls it
    #[arg(value_name = "NODE", value_parser = node)]
    pub node: NodeName,
    /// How long; pods may come again then in any case
    #[arg(long = "for", value_name = "TIME", default_value = "5m", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub total: Duration,
    /// Say what would be done and do nothing
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,
    /// Leave it to the controller and return
    #[arg(long)]
    pub detach: bool,
}

/// `node drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Which, and for how long.
    #[command(flatten)]
    pub cordon: CordonArgs,
    /// How long the pods' processes have to end, whole seconds [default: what the pods say themselves]
    #[arg(long, value_name = "TIME", value_parser = grace, allow_hyphen_values = true)]
    pub grace: Option<u32>,
    /// How long to go on asking where a budget forbids it, and to wait until they are gone; then the node is
    /// uncordoned again
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub timeout: Duration,
    /// Allow that a group has no majority any more whose members can talk to each other
    #[arg(long)]
    pub allow_quorum_loss: bool,
}

/// `node uncordon`.
#[derive(Debug, Args)]
pub struct UncordonArgs {
    /// Which, as the cluster calls it
    #[arg(value_name = "NODE", value_parser = node)]
    pub node: NodeName,
}

fn node(text: &str) -> Result<NodeName, &'static str> {
    NodeName::new(text).ok_or("a node's name has letters, digits, '.', '_' and '-' alone")
}

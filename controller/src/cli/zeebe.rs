//! `schism zeebe` as people type it.

mod members;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use fault::{ClusterName, ClusterPath};
use zeebe::{GatewayUrl, ManagementUrl, PartitionId};

pub use members::{
    DisconnectArgs, EndArgs, FreezeMemberArgs, MemberCommand, ReconnectArgs, Side,
    StressMemberArgs, Who, WhoArgs,
};
pub use work::{InFlight, LoadArgs, Rate, WorkerArgs};

/// `zeebe`.
#[derive(Debug, Args)]
pub struct ZeebeArgs {
    /// Which cluster.
    #[command(flatten)]
    pub place: ZeebePlaceArgs,
    /// How long all of it may take, with every retry
    #[arg(long, help_heading = "General", global = true, value_name = "TIME", default_value = "30s",
          value_parser = fault::parse_duration)]
    pub timeout: Duration,
    /// What is to be done.
    #[command(subcommand)]
    pub command: ZeebeCommand,
}

/// Which cluster, where [zeebe] of schism.toml does not say so.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ZeebePlaceArgs {
    /// Where a gateway listens [default: those of schism.toml]
    #[arg(long, global = true, value_name = "URL", env = "SCHISM_ZEEBE_GATEWAY")]
    pub gateway: Option<GatewayUrl>,
    /// Where a broker is managed, in the order of their numbers [default: port 9600 where gateways say
    /// that they are]
    #[arg(long = "broker", global = true, value_name = "URL", requires = "gateway")]
    pub brokers: Vec<ManagementUrl>,
    /// Where the whole cluster is managed [default: port 9600 of the gateway]
    #[arg(long, global = true, value_name = "URL", env = "SCHISM_ZEEBE_MANAGEMENT")]
    pub management: Option<ManagementUrl>,
    /// Which cluster of schism.toml, where there are several
    #[arg(long, global = true, value_name = "NAME", value_parser = cluster, conflicts_with = "gateway")]
    pub cluster: Option<ClusterName>,
    /// The namespace of Kubernetes in which the cluster is, and which of several there, for what goes through a
    /// controller
    #[arg(short, long, global = true, value_name = "NAMESPACE[/INSTANCE]", conflicts_with_all = ["gateway", "cluster"])]
    pub namespace: Option<ClusterPath>,
}

/// A command of `zeebe`.
#[derive(Debug, Subcommand)]
pub enum ZeebeCommand {
    /// The cluster itself is asked.
    #[command(flatten)]
    Ask(AskCommand),
    /// Something is done to its members.
    #[command(flatten)]
    Member(MemberCommand),
}

/// What a cluster is asked.
#[derive(Debug, Subcommand)]
pub enum AskCommand {
    /// Show what every broker says of every partition, and what gateways have heard
    Topology,
    /// Wait until something holds; exit code 1 if it does not in time
    Verify {
        /// What.
        #[command(subcommand)]
        what: VerifyCommand,
    },
    /// Deploy processes and decisions
    Deploy {
        /// What.
        #[command(subcommand)]
        what: DeployCommand,
    },
    /// Publish a message to exactly one partition
    Publish(PublishArgs),
    /// Create instances at a constant rate, whatever becomes of them, and tell how long they took
    Load(LoadArgs),
    /// Take jobs and complete them, by asking for them or as they are pushed
    Worker(WorkerArgs),
    /// Have each partition led by the broker that is to lead it
    Rebalance,
    /// Show and change which brokers the cluster has
    Cluster {
        /// What about it.
        #[command(subcommand)]
        what: ClusterCommand,
    },
    /// Brokers' own clocks, by which their timers run; needs ZEEBE_CLOCK_CONTROLLED
    Clock(ClockArgs),
    /// Stop exporting in the whole cluster, and go on with it
    Exporting {
        /// What about it.
        #[command(subcommand)]
        what: ExportingCommand,
    },
    /// Take backups, and wait for them
    Backup {
        /// What about them.
        #[command(subcommand)]
        what: BackupCommand,
    },
    /// Have a process instance ignored from now on
    Ban {
        /// The key of the process instance
        #[arg(value_name = "KEY")]
        instance: i64,
    },
}

/// What is verified.
#[derive(Debug, Subcommand)]
pub enum VerifyCommand {
    /// Every broker answers, each partition has one leader and all its followers, gateways have heard
    /// the same, and all is healthy
    Readiness,
    /// Each partition is led by the broker that is to lead it
    Leadership,
    /// An instance can be created on each partition
    InstanceCreation(CreationArgs),
    /// So many instances can be created, wherever
    InstanceCount(CountArgs),
    /// Jobs can be taken and completed
    JobCompletion(CompletionArgs),
    /// A worker has jobs pushed to it by every broker
    JobPush {
        /// Of which type they are
        #[arg(long, value_name = "TYPE", default_value = "benchmark-task")]
        job_type: String,
    },
    /// Each partition knows a version of a process
    DeploymentOnAllPartitions(DistributionArgs),
}

/// Instances, by what they are made of.
#[derive(Clone, Debug, Args)]
pub struct InstanceArgs {
    /// The id of the process
    #[arg(long, value_name = "ID", default_value = "benchmark")]
    pub process: String,
    /// Its version [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub version: Option<i32>,
    /// Variables of the instances
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub variables: Option<String>,
}

/// `verify instance-creation`.
#[derive(Debug, Args)]
pub struct CreationArgs {
    /// Only on these partitions [default: all]
    #[arg(long = "partition", value_name = "N")]
    pub partitions: Vec<PartitionId>,
    /// Of what.
    #[command(flatten)]
    pub of: InstanceArgs,
    /// Wait until the instances are completed
    #[arg(long)]
    pub await_result: bool,
}

/// `verify instance-count`.
#[derive(Debug, Args)]
pub struct CountArgs {
    /// How many instances
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Of what.
    #[command(flatten)]
    pub of: InstanceArgs,
}

/// `verify job-completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Of which type
    #[arg(long, value_name = "TYPE", default_value = "benchmark-task")]
    pub job_type: String,
}

/// `verify deployment-on-all-partitions`.
#[derive(Debug, Args)]
pub struct DistributionArgs {
    /// The id of the process
    #[arg(long, value_name = "ID")]
    pub process: String,
    /// Its version
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub version: i32,
}

/// What is deployed.
#[derive(Debug, Subcommand)]
pub enum DeployCommand {
    /// Files, together; without any a process `benchmark` with a job of the type `benchmark-task`
    Process {
        /// Files whose names end in .bpmn, .dmn or .form
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Many versions of a process and a decision, one after the other
    MultiVersion {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        /// The id of both
        #[arg(long, value_name = "ID", default_value = "multiVersion", value_parser = id)]
        process: String,
    },
}

/// `publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// To which partition
    #[arg(long, value_name = "N")]
    pub partition: PartitionId,
    /// The message's name
    #[arg(long, value_name = "NAME", default_value = "msg")]
    pub name: String,
    /// How long it waits for somebody
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = fault::parse_duration)]
    pub time_to_live: Duration,
    /// Variables that it carries
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub variables: Option<String>,
}

/// About the configuration.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show it
    Status,
    /// Wait until a change is completed; exit code 1 if it failed or is not in time
    Wait {
        /// The change's number
        #[arg(long, value_name = "N")]
        change: i64,
    },
    /// Have the cluster consist of other brokers, which run already
    Scale {
        /// The numbers of all of them, with commas
        #[arg(long, value_name = "N,N…", required = true, value_delimiter = ',')]
        to: Vec<u32>,
        /// How many have each partition [default: as many as before]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        replicas: Option<u32>,
        /// Print what would be done and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Leave brokers out that do not come back; what only they had is lost
    ForceFailover {
        /// The numbers of those that stay, with commas
        #[arg(long, value_name = "N,N…", required = true, value_delimiter = ',')]
        keep: Vec<u32>,
        /// Print what would be done and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `clock`.
#[derive(Debug, Args)]
pub struct ClockArgs {
    /// Only those of these brokers [default: all]
    #[arg(long, value_name = "N", global = true)]
    pub of: Vec<u32>,
    /// What about them.
    #[command(subcommand)]
    pub what: ClockCommand,
}

/// About clocks.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ClockCommand {
    /// Show them
    Show,
    /// Stop them
    Pin {
        /// At this moment, in milliseconds since the epoch
        #[arg(value_name = "MS")]
        at: i64,
    },
    /// Move them
    Add {
        /// By so many milliseconds
        #[arg(value_name = "MS", allow_negative_numbers = true)]
        by: i64,
    },
    /// Set them by their machines' again
    Reset,
}

/// About exporting.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ExportingCommand {
    /// Stop it
    Pause {
        /// Go on exporting, without taking note of it
        #[arg(long)]
        soft: bool,
    },
    /// Go on with it
    Resume,
}

/// About backups.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum BackupCommand {
    /// Begin one
    Take {
        /// Its number; a higher one than those before
        #[arg(long, value_name = "N")]
        id: u64,
    },
    /// Wait until one is completed; exit code 1 if it failed or is not in time
    Wait {
        /// Its number
        #[arg(long, value_name = "N")]
        id: u64,
    },
}

fn cluster(text: &str) -> Result<ClusterName, String> {
    ClusterName::new(text).ok_or_else(|| "this is no cluster's name".to_owned())
}

/// Variables, which have to be a JSON object: what else Zeebe would refuse, after some time.
pub(crate) fn object(text: &str) -> Result<String, String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(_)) => Ok(text.to_owned()),
        Ok(_) => Err("variables are a JSON object, such as {\"a\": 1}".to_owned()),
        Err(error) => Err(format!("no JSON: {error}")),
    }
}

/// An id that stands in XML as it is.
fn id(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("an id begins with a letter and has letters, digits, '.', '_' and '-'".to_owned())
    }
}

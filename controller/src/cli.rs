//! The command line as people type it.

mod capture;
mod certs;
mod controller;
mod cut;
mod freeze;
mod kill;
mod manner;
mod named;
mod node;
mod pod;
mod restart;
mod run;
mod skew;
mod stress;
mod typed;
mod within;
mod zeebe;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub use self::zeebe::{
    AskCommand, BackupCommand, ClockArgs, ClockCommand, ClusterCommand, CompletionArgs, CountArgs,
    CreationArgs, DeployCommand, DisconnectArgs, DistributionArgs, EndArgs, ExportingCommand,
    FreezeMemberArgs, InFlight, InstanceArgs, LoadArgs, MemberCommand, PublishArgs, Rate,
    ReconnectArgs, Side, StressMemberArgs, VerifyCommand, Who, WhoArgs, WorkerArgs, ZeebeArgs,
    ZeebeCommand, ZeebePlaceArgs,
};
pub use capture::CaptureArgs;
pub(crate) use capture::size;
pub use certs::{
    CertsArgs, CertsCommand, Days, Host, InitArgs, IssueArgs, RevokeArgs, RoleArg, SubjectArgs,
};
pub use controller::{ConfigArgs, ControllerArgs};
pub use cut::{CutArgs, EnforceArg, FlowsArg, ModeArg, ProtocolArg};
pub use freeze::FreezeArgs;
pub use kill::KillArgs;
pub use manner::MannerArgs;
pub use named::{Named, NamedError};
pub use node::{CordonArgs, DrainArgs, NodeArgs, NodeCommand, UncordonArgs};
pub use pod::{PodArgs, PodCommand, PodEvictArgs, PodRestartArgs, PodTerminateArgs, PodsArgs};
pub use restart::{NoPods, RestartArg, RestartArgs};
pub use run::{RunArgs, ValidateArgs};
pub use skew::SkewArgs;
pub use stress::{StressArgs, TakenArgs};
pub use typed::Misuse;
pub use within::{NoRole, WithinArgs};

use crate::heal::FaultName;
use crate::output::Format;

/// Makes this machine suffer honest network and clock faults, on purpose, for a bounded time, and proves
/// what it did.
///
/// A cut loses what one side sends to the other, in that direction only, and never longer than
/// asked: its end stands in the kernel beside it.
///
/// A skew moves the clocks that processes read, without restarting them and without touching the
/// machine's own. Its end stands in each of them.
///
/// A freeze has all threads of processes stand still. A child of the agent holds them, and the kernel
/// lets them go when that ends, which it does at the lease's end at the latest.
///
/// A kill sends processes a signal, watches them to their end, and sends SIGKILL to whoever is left after a
/// time of grace. A stress loads a target from within its own control group, so that its limits hold.
///
/// Through a controller of a Kubernetes cluster its API server deletes or evicts pods, and cordons or drains
/// nodes, which that controller, or the next one that leads, uncordons in time.
///
/// Targets are named SCHEME:PATH. netns:NAME is a network namespace that `ip netns` knows, pid:NUMBER
/// a process, container:ID a container by its id or the beginning of it, pod:UID a pod of Kubernetes,
/// pod:UID/CONTAINER the processes of one of its containers, host:NODE the machine itself, addr:PREFIX
/// addresses (a peer, never a target). Through a controller etcd:ROLE and zeebe:ROLE are members of a cluster by what
/// they are, in a namespace of Kubernetes with -n, and k8s:NAMESPACE/… its pods by name. one:, all:, a number or a percentage before it picks among
/// several matches.
///
/// Exit codes: 0 done and had an effect; 1 deviated, residue found, or something is missing; 2 wrong
/// usage, whatever there is on the machine; 3 applied but nothing matched; 4 refused by a guard; 5 an
/// agent, a target or a fault that is not there, something unsupported, or a heal that was not
/// confirmed; 130 interrupted and healed. With -o json or yaml an error is a document, too.
#[derive(Debug, Parser)]
#[command(name = "schism", version, max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// Which command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "General")]
pub struct Global {
    /// The socket of this machine's agent [default: /run/schism/agent.sock]
    #[arg(long, global = true, value_name = "PATH", env = "SCHISM_AGENT_SOCKET")]
    pub agent_socket: Option<PathBuf>,
    /// How results are printed; without it, as a table for people
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,
    /// Which settings.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which controller.
    #[command(flatten)]
    pub controller: ControllerArgs,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lose what FROM sends to TO, for a while
    Cut(Box<CutArgs>),
    /// Move the clocks of a target's processes, for a while
    Skew(Box<SkewArgs>),
    /// Have a target's processes stand still, for a while
    Freeze(Box<FreezeArgs>),
    /// End a target's processes, and see that they end
    Kill(Box<KillArgs>),
    /// Take processor time, memory or disk from a target, for a while
    Stress(Box<StressArgs>),
    /// Restart, terminate or evict pods of a Kubernetes cluster, through its API server
    Pod(Box<PodArgs>),
    /// Cordon or drain a node of a Kubernetes cluster, for a while
    Node(Box<NodeArgs>),
    /// Keep packets of a target as they pass its devices, for a while
    Capture(Box<CaptureArgs>),
    /// Run experiments, in the language of Chaos Toolkit and ours, and judge them
    Run(Box<RunArgs>),
    /// Say all that is wrong with experiments, with line and column
    Validate(ValidateArgs),
    /// Print the JSON Schema of experiments, for editors
    Schema,
    /// End faults before their time, and print what they did
    Heal(HealArgs),
    /// Show the faults on this machine, or those of a controller
    Status(StatusArgs),
    /// Show what can be named, or what a selector names
    Targets(TargetsArgs),
    /// Say what this machine can do, and what is missing
    Doctor,
    /// Look for what agents that are gone left behind
    Residue(ResidueArgs),
    /// Serve a controller: agents dial it, and commands ask it
    Serve(ServeArgs),
    /// Show the agents that have dialled the controller
    Agents,
    /// Put the brake of a controller on: heal everything, and refuse new faults until `resume`
    Halt(HaltArgs),
    /// Take the brake off again, on every node
    Resume,
    /// Ask a Zeebe cluster, and have it do something
    Zeebe(Box<ZeebeArgs>),
    /// Make and revoke the certificates by which controllers, agents and people know each other
    Certs(CertsArgs),
    /// Print the objects by which a Kubernetes cluster runs agents and controllers, for `kubectl apply -f -`
    Install(InstallArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

/// `serve`. Which certificate it shows is said by --ca, --certificate and --key.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The directory of the store and the archive [default: /var/lib/schism]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The unix socket for commands on this machine [default: /run/schism/control.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Where agents dial; no agent can without it
    #[arg(long, value_name = "IP:PORT")]
    pub listen_agents: Option<crate::settings::Listen>,
    /// Where commands on other machines dial; without it, only those on this machine can
    #[arg(long, value_name = "IP:PORT")]
    pub listen_control: Option<crate::settings::Listen>,
    /// Where metrics are read by Prometheus, in the clear: GET /metrics, and /healthz
    #[arg(long, value_name = "IP:PORT")]
    pub metrics: Option<crate::settings::Listen>,
    /// The file of certificates that are admitted, which `schism certs` writes
    #[arg(long, value_name = "PATH")]
    pub issued: Option<PathBuf>,
    /// The Kubernetes cluster in which agents are: `in-cluster` for that of the own pod, or a kubeconfig, whose
    /// current context is meant
    #[arg(long, value_name = "in-cluster|KUBECONFIG")]
    pub kubernetes: Option<crate::settings::Access>,
    /// Agents show a token of their service account instead of a certificate, and the authority that they trust
    /// is kept in that cluster
    #[arg(long)]
    pub agents_by_token: bool,
    /// Keep what has to outlive this process in that cluster: several controllers share it, one of which leads
    #[arg(long)]
    pub store_in_cluster: bool,
    /// Perform the programs, functions and requests that experiments name, as the user of this process;
    /// without it whoever starts a run performs them
    #[arg(long)]
    pub allow_exec: bool,
    /// With --store-in-cluster: the namespaces in which experiments that are objects run as Jobs, if they ask for
    /// that; the controller needs the rights that `schism install --experiments` gives
    #[arg(long, value_name = "NAMESPACE,…", value_delimiter = ',', env = "SCHISM_EXPERIMENTS_IN")]
    pub experiments_in: Vec<String>,
    /// The image of this very program, from which such a Job takes it
    #[arg(long, value_name = "IMAGE", env = "SCHISM_IMAGE")]
    pub image: Option<String>,
}

/// `install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The namespace of all of it
    #[arg(long, default_value = "schism", value_parser = label)]
    pub namespace: String,
    /// Where the images `schism-agent` and `schism` are pulled from
    #[arg(long, value_name = "HOST/PATH", default_value = "localhost")]
    pub registry: String,
    /// The tag of both images
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    pub tag: String,
    /// How agents show who they are; with certificates, which you make, there is one controller with a disk
    #[arg(long, value_enum, default_value = "token")]
    pub agents_by: crate::settings::AgentsBy,
    /// Have agents hand over packets of pods, which takes NET_RAW; the settings say the same for controllers, and
    /// without that nothing is handed over
    #[arg(long)]
    pub allow_capture: bool,
    /// A schism.toml for the controllers: guards, limits, clusters of etcd and Zeebe
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// What else the controllers may ask the API server for: `pods` to delete and evict them (`schism pod`),
    /// `nodes` to cordon them (`schism node`); `schism node drain` takes both [default: neither]
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    pub allow: Vec<AllowArg>,
    /// The namespaces in which experiments that are objects may run as Jobs: the controllers get the rights for that
    #[arg(long, value_name = "NAMESPACE,…", value_delimiter = ',', value_parser = label)]
    pub experiments: Vec<String>,
    /// Write a chart for Helm to this directory instead, in which all of these options are values
    #[arg(long, value_name = "DIR", conflicts_with_all = ["namespace", "registry", "tag", "agents_by", "settings", "allow", "experiments", "allow_capture"])]
    pub chart: Option<PathBuf>,
}

/// What controllers may do in the whole cluster beside looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum AllowArg {
    /// Delete and evict pods
    Pods,
    /// Cordon and uncordon nodes
    Nodes,
}

/// A name that Kubernetes takes for a namespace.
fn label(text: &str) -> Result<String, &'static str> {
    let fits = fault::ContainerName::new(text);
    fits.map(|name| name.to_string()).ok_or("write up to 63 lower-case letters, digits and '-'")
}

/// `halt`.
#[derive(Debug, Args)]
pub struct HaltArgs {
    /// Why: it is told to whoever is refused a fault
    #[arg(default_value = "by hand")]
    pub reason: String,
}

/// `heal`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct HealArgs {
    /// The id of a fault, of what was done to pods or a node, or of a run that a controller decides, or the
    /// beginning of it; with .PART only that part of a fault on this machine
    #[arg(value_name = "ID")]
    pub ids: Vec<FaultName>,
    /// Every fault on this machine, or every fault and run of a controller
    #[arg(long)]
    pub all: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Also show faults that ended lately
    #[arg(long)]
    pub all: bool,
    /// Show it again and again until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}

/// `targets`.
#[derive(Debug, Args)]
pub struct TargetsArgs {
    /// What to look up, also a name of schism.toml; without it, everything that can be named on this machine,
    /// or on the nodes of a controller, or with -n the members of what is found in that namespace
    pub target: Option<Named>,
    /// Where roles are.
    #[command(flatten)]
    pub within: WithinArgs,
    /// Become this machine's agent if there is none
    #[arg(long)]
    pub local: bool,
}

/// `residue`.
#[derive(Debug, Args)]
pub struct ResidueArgs {
    /// Remove what is found and nobody holds
    #[arg(long)]
    pub remove: bool,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for every command into this directory instead
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

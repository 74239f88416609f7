//! `schism cut` as people type it.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use fault::{Chance, Enforcement, FlowAge, Mode, Preset, Protocol};

use super::{Named, RestartArgs, WithinArgs};

/// `cut`.
#[derive(Debug, Args)]
pub struct CutArgs {
    /// Who sends what is lost: a selector such as netns:a, container:ID, addr:10.0.0.0/24 or etcd:leader, or a
    /// name of schism.toml; with --preset, the group that falls apart
    pub from: Named,
    /// To whom it is sent
    #[arg(required_unless_present = "preset", conflicts_with = "preset")]
    pub to: Option<Named>,
    /// Where roles are.
    #[command(flatten)]
    pub within: WithinArgs,
    /// Make a partition of a group in this shape instead
    #[arg(long, value_name = "SHAPE", value_parser = presets(), conflicts_with_all = ["both_ways", "prove"])]
    pub preset: Option<Preset>,
    /// The member around which the shape is made [default: one by the seed]
    #[arg(long, value_name = "MEMBER", requires = "preset")]
    pub around: Option<Named>,
    /// Allow that a group has no majority any more whose members can talk to each other
    #[arg(long)]
    pub allow_quorum_loss: bool,
    /// How long; it ends then in any case
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub total: Duration,
    /// How long the kernel lets the cut act without being renewed by this command
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub lease: Duration,
    /// What one way means
    #[arg(long, value_enum, default_value_t = ModeArg::Packet)]
    pub mode: ModeArg,
    /// Lose what TO sends to FROM as well: a second cut with the sides swapped
    #[arg(long)]
    pub both_ways: bool,
    /// Only this protocol
    #[arg(long, value_enum)]
    pub proto: Option<ProtocolArg>,
    /// Only this port of the side that receives
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), allow_hyphen_values = true)]
    pub port: Option<u16>,
    /// Only flows of this age with respect to the cut
    #[arg(long, value_enum, default_value_t = FlowsArg::All)]
    pub flows: FlowsArg,
    /// How much is lost of what would be lost otherwise
    #[arg(long, value_name = "PERCENT", default_value = "100%", allow_hyphen_values = true)]
    pub loss: Chance,
    /// From which losses and picks are drawn [default: a random one, which is printed]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub seed: Option<u64>,
    /// Where packets are lost [default: receiver; sender where TO is addr:]
    #[arg(long, value_enum)]
    pub enforce: Option<EnforceArg>,
    /// Print the plan and do nothing
    #[arg(long, conflicts_with_all = ["detach", "prove"])]
    pub dry_run: bool,
    /// Count what would be lost and lose nothing
    #[arg(long)]
    pub shadow: bool,
    /// Send probes both ways before, during and after, and print what arrived
    #[arg(long, conflicts_with = "detach")]
    pub prove: bool,
    /// Leave it and return. An agent has nobody who renews it then, so its lease is all of its time; a
    /// controller renews it itself
    #[arg(long)]
    pub detach: bool,
    /// Go with the roles: where one moves to another member while the cut acts, cut that one instead
    #[arg(long, conflicts_with_all = ["detach", "prove", "preset", "local"])]
    pub follow: bool,
    /// What becomes of it.
    #[command(flatten)]
    pub restart: RestartArgs,
    /// Become this machine's agent if there is none
    #[arg(long)]
    pub local: bool,
}

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Every IP packet from FROM to TO: a broken link
    Packet,
    /// Only packets of flows that FROM opened: FROM can't call TO, TO can call FROM
    Initiator,
}

/// `--proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolArg {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// ICMP and ICMPv6, neighbour discovery excepted
    Icmp,
}

/// `--flows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlowsArg {
    /// Any
    All,
    /// Those that begin during the cut
    New,
    /// Those that began before it
    Established,
}

/// `--enforce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EnforceArg {
    /// Where TO receives
    Receiver,
    /// Where FROM sends, in silence
    Sender,
    /// At both places
    Both,
}

impl CutArgs {
    /// What is attempted, for people.
    #[must_use]
    pub fn attempt(&self) -> String {
        match (&self.preset, &self.to) {
            (Some(preset), _) => format!("cannot make {preset} of {}", self.from),
            (None, Some(to)) => format!("cannot cut {} → {to}", self.from),
            (None, None) => format!("cannot cut {}", self.from),
        }
    }
}

fn presets() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::ALL.map(Preset::name)).try_map(|name| name.parse::<Preset>())
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Packet => Self::Packet,
            ModeArg::Initiator => Self::Initiator,
        }
    }
}

impl From<ProtocolArg> for Protocol {
    fn from(protocol: ProtocolArg) -> Self {
        match protocol {
            ProtocolArg::Tcp => Self::Tcp,
            ProtocolArg::Udp => Self::Udp,
            ProtocolArg::Icmp => Self::Icmp,
        }
    }
}

impl From<FlowsArg> for FlowAge {
    fn from(flows: FlowsArg) -> Self {
        match flows {
            FlowsArg::All => Self::All,
            FlowsArg::New => Self::New,
            FlowsArg::Established => Self::Established,
        }
    }
}

impl From<EnforceArg> for Enforcement {
    fn from(enforce: EnforceArg) -> Self {
        match enforce {
            EnforceArg::Receiver => Self::Receiver,
            EnforceArg::Sender => Self::Sender,
            EnforceArg::Both => Self::Both,
        }
    }
}

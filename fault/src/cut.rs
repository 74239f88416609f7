//! The cut: what one side sends to the other is lost.

use std::fmt;

use serde::Serialize;

use crate::Chance;

/// What a cut loses of what the peers send to the target (or the target to the peers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Cut {
    /// Every packet, or only those of flows that the sending side opened.
    pub mode: Mode,
    /// Which protocol; any if `None`.
    pub protocol: Option<Protocol>,
    /// The receiving side's port; any if `None`.
    pub port: Option<u16>,
    /// Flows of which age.
    pub flows: FlowAge,
    /// How many of the packets.
    pub loss: Chance,
    /// From which the losses are drawn.
    pub seed: u64,
    /// Lose, or only count.
    pub verdict: Verdict,
    /// At which hook of the target.
    pub side: Side,
}

impl Cut {
    /// Whether the kernel has to know who opened a flow and when.
    #[must_use]
    pub fn tracks_flows(&self) -> bool {
        self.mode == Mode::Initiator || self.flows != FlowAge::All
    }

    /// Whether anything but addresses decides, so that later fragments pass.
    #[must_use]
    pub fn selects(&self) -> bool {
        self.tracks_flows() || self.port.is_some() || !self.loss.is_certain()
    }
}

/// What "one way" means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every IP packet from one side to the other.
    #[default]
    Packet,
    /// Every packet from one side to the other of flows that the sending side opened.
    Initiator,
}

/// A protocol to select by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
}

/// The age of a flow with respect to the fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowAge {
    /// Any.
    #[default]
    All,
    /// Began during the fault.
    New,
    /// Began before the fault.
    Established,
}

/// What happens to a packet that matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is lost.
    #[default]
    Drop,
    /// It is counted as lost, and passes (`--shadow`).
    Count,
}

/// A hook of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Where it receives: the target is the cut's TO.
    Ingress,
    /// Where it sends: the target is the cut's FROM.
    Egress,
}

/// Where a cut is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    /// At TO's ingress.
    Receiver,
    /// At FROM's egress, in silence.
    Sender,
    /// At both.
    Both,
}

macro_rules! printed {
    ($type:ty { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

printed!(Mode { Packet => "packet", Initiator => "initiator" });
printed!(Protocol { Tcp => "tcp", Udp => "udp", Icmp => "icmp" });
printed!(FlowAge { All => "all", New => "new", Established => "established" });
printed!(Verdict { Drop => "drop", Count => "count" });
printed!(Side { Ingress => "ingress", Egress => "egress" });
printed!(Enforcement { Receiver => "receiver", Sender => "sender", Both => "both" });

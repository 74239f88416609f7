//! One fault on one node, as it is asked for.

use std::net::SocketAddr;

use serde::Serialize;

use crate::{
    Cut, Extent, FaultId, Freeze, Kill, LeaseTerms, Prefix, Selector, Skew, Stress, TargetIdentity,
};

/// One effect on one target of one node, for a bounded time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its name.
    pub id: FaultId,
    /// By what the target was named.
    pub selector: Selector,
    /// Which target that was.
    pub target: TargetIdentity,
    /// What it does.
    pub kind: Kind,
    /// The other side; nobody where a fault has none.
    pub peers: Peers,
    /// For how long.
    pub terms: LeaseTerms,
    /// TCP endpoints of the control path, exempt where the target is the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub control_path: Vec<SocketAddr>,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Loses what one side sends to the other.
    Cut(Cut),
    /// Moves the clocks of the target's processes.
    Skew(Skew),
    /// Has the target's processes stand still.
    Freeze(Freeze),
    /// Ends the target's processes.
    Kill(Kill),
    /// Loads the target.
    Stress(Stress),
}

impl Kind {
    /// What of a target it acts on.
    #[must_use]
    pub const fn aspect(&self) -> Aspect {
        match self {
            Self::Cut(_) => Aspect::Network,
            Self::Skew(_) | Self::Freeze(_) | Self::Kill(_) | Self::Stress(_) => Aspect::Processes,
        }
    }

    /// Which processes of the target it reaches, if it is something that they have to be told apart for.
    #[must_use]
    pub const fn extent(&self) -> Option<Extent> {
        match self {
            Self::Skew(skew) => Some(skew.extent),
            Self::Freeze(freeze) => Some(freeze.extent),
            Self::Kill(kill) => Some(kill.extent),
            Self::Cut(_) | Self::Stress(_) => None,
        }
    }

    /// The cut, if it is one.
    #[must_use]
    pub const fn cut(&self) -> Option<&Cut> {
        match self {
            Self::Cut(cut) => Some(cut),
            Self::Skew(_) | Self::Freeze(_) | Self::Kill(_) | Self::Stress(_) => None,
        }
    }
}

/// What is meant of a target that is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aspect {
    /// Its network: the whole of a network namespace, whoever else is in it.
    #[default]
    Network,
    /// Its processes, in whatever namespace they are.
    Processes,
}

/// The other side of a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Peers {
    /// Addresses that do not change.
    pub fixed: Vec<Prefix>,
    /// A target of the same node, with the addresses that it has at any time.
    pub followed: Option<PeerTarget>,
}

/// A target whose addresses are peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerTarget {
    /// By what it was named.
    pub selector: Selector,
    /// Which one that was.
    pub identity: TargetIdentity,
}

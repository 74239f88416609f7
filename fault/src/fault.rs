//! One fault on one node, as it is asked for.

use std::net::SocketAddr;

use serde::Serialize;

use crate::{Cut, FaultId, LeaseTerms, Prefix, Selector, TargetIdentity};

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
    /// The other side.
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
}

/// The other side of a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

//! What a node can do, and what was left on it.

use serde::Serialize;

/// One thing that an agent needs, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub presence: Presence,
    /// What was found.
    pub finding: String,
    /// What that means; empty where all is well.
    pub meaning: String,
}

/// Whether a capability is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It is.
    There,
    /// It is not: faults will be refused.
    Missing,
    /// Something on the node lets traffic pass by the agent unseen.
    Warning,
}

/// Something of an agent that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remnant {
    /// What kind of thing.
    pub kind: RemnantKind,
    /// Its name or path.
    pub name: String,
    /// The kernel's id of a program or map, otherwise 0.
    pub id: u32,
    /// Processes that hold it; what a living agent holds is in use, not left behind.
    pub holders: Vec<u32>,
    /// Whether it was removed just now.
    pub removed: bool,
}

/// What can be left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemnantKind {
    /// An eBPF program.
    Program,
    /// An eBPF map.
    Map,
    /// The socket of an agent that nobody serves.
    Socket,
    /// The lock of an agent that nobody holds.
    Lock,
    /// A process whose clocks go through code of ours that nobody renews: they show the truth.
    Clock,
    /// A process of ours that holds or loads others, and whose agent is gone. Its timer ends it.
    Holder,
}

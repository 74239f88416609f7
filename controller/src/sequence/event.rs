//! What happens to an intent, and what is to be done.

use std::collections::BTreeSet;

use fault::{FaultId, NodeName, Status};

use super::{Change, Moment};

/// Why a node did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It could not be asked, or did not answer: it may have done it.
    Unreachable(String),
    /// It said no, and has nothing of it. What to do about it may stand behind the reason (`experiment::hint`).
    Refused(String),
    /// It has never heard of the fault: its agent is another one than before.
    Unknown,
}

impl Refusal {
    pub(super) fn sentence(&self, node: &NodeName) -> String {
        match self {
            Self::Unreachable(why) | Self::Refused(why) => format!("{node}: {why}"),
            Self::Unknown => format!("{node}: the agent was started anew and has nothing of it"),
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A node was asked to put its parts in place.
    Prepared(NodeName, Result<(), Refusal>),
    /// A node was asked to let them act.
    Committed(NodeName, Result<Vec<Status>, Refusal>),
    /// A node was asked to take them out.
    Healed(NodeName, Result<Vec<Status>, Refusal>),
    /// A node was asked what it has.
    Listed(NodeName, Vec<Status>),
    /// A node reports a part, by itself.
    Heard(Box<Status>),
    /// A node answered a heartbeat that was sent at this moment, and renewed these parts.
    Renewed(Vec<FaultId>, Moment),
    /// A node's agent is there again, or still.
    Found(NodeName),
    /// A node is not a part of its cluster any more.
    Removed(NodeName),
    /// Pods have gone, or others have come, while it acts.
    Changed(Box<Change>),
    /// A node was asked to have these parts come in and act.
    Joined(NodeName, BTreeSet<FaultId>, Result<Vec<Status>, Refusal>),
    /// A node was asked to have these parts leave.
    Left(NodeName, BTreeSet<FaultId>, Result<Vec<Status>, Refusal>),
    /// It has lost what it was about.
    Lost(String),
    /// Somebody wants it to end.
    Heal(String),
    /// Time has passed.
    Tick,
}

impl Event {
    /// The parts that were to come in beside others, and of which a node has answered.
    #[must_use]
    pub fn joined(&self) -> &BTreeSet<FaultId> {
        static NONE: BTreeSet<FaultId> = BTreeSet::new();
        if let Self::Joined(_, ids, _) = self { ids } else { &NONE }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask a node to put its parts in place.
    Prepare(NodeName),
    /// Ask these nodes to let their parts act, all with one start.
    Commit(BTreeSet<NodeName>),
    /// Ask a node to take its parts out.
    Heal(NodeName),
    /// Ask a node to put these parts in place and let them act at once.
    Join(NodeName, BTreeSet<FaultId>),
    /// Ask a node to take these parts out, and no others.
    Leave(NodeName, BTreeSet<FaultId>),
    /// Ask a node what it has.
    List(NodeName),
    /// Store what this has become, before anybody is told.
    Record,
}

//! What the worker keeps of one target: what it holds, and what waits to be done there.

use std::collections::VecDeque;

use fault::{BootTime, Fault, FaultId, Kind, State, Status};

use super::{Earnest, Prepared, Reply};
use crate::executor::Executor;
use crate::kernel::{Peer, Place, Slot, Step};
use crate::plan::Holdings;

/// One target with its queue. At most one task is under way.
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) holdings: Holdings,
    pub(super) executor: Executor,
    pub(super) queue: VecDeque<Task>,
    pub(super) current: Option<Task>,
}

/// Something to be done on a target.
pub(super) enum Task {
    /// Look, plan, apply.
    Prepare(Box<Preparing>),
    /// Look, then let act.
    Commit { id: FaultId, start: BootTime, reply: Reply<Status> },
    /// Take out; the fault does not act any more.
    TakeOut { id: FaultId, fate: State },
    /// Look, compare, correct.
    Compare(Comparing),
}

/// A fault on its way in.
pub(super) struct Preparing {
    pub(super) fault: Fault,
    pub(super) earnest: Earnest,
    pub(super) slot: Slot,
    pub(super) replies: Vec<Reply<Prepared>>,
    /// Known after the look.
    pub(super) peers: std::collections::BTreeSet<Peer>,
    pub(super) notes: Vec<String>,
}

/// A comparison under way.
#[derive(Default)]
pub(super) struct Comparing {
    /// New peers of faults, in force once the steps are done.
    pub(super) peers: Vec<(FaultId, std::collections::BTreeSet<Peer>)>,
}

impl Target {
    /// Whether a comparison already waits.
    pub(super) fn will_compare(&self) -> bool {
        self.queue.iter().any(|task| matches!(task, Task::Compare(_)))
    }

    /// Notes what was performed.
    pub(super) fn note(&mut self, steps: &[Step]) {
        steps.iter().for_each(|step| self.holdings.note(step));
    }
}

/// The place of a fault's target.
pub(super) fn place(fault: &Fault) -> Place {
    Place { selector: fault.selector.clone(), identity: fault.target }
}

/// The place whose addresses are a fault's peers.
pub(super) fn followed(fault: &Fault) -> Option<Place> {
    let followed = fault.peers.followed.as_ref()?;
    Some(Place { selector: followed.selector.clone(), identity: followed.identity })
}

/// Whether the kernel has to observe who opens flows for this fault.
pub(super) fn tracks(fault: &Fault) -> bool {
    let Kind::Cut(cut) = fault.kind;
    cut.tracks_flows()
}

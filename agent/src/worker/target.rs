//! What the worker keeps of one target: what it holds, and what waits to be done there.

use std::collections::{BTreeSet, VecDeque};

use fault::{BootTime, Cut, Fault, FaultId, Lease, LeaseTerms, State, Status};

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
    /// Places in which something of an earlier fault stayed.
    pub(super) spoiled: BTreeSet<Slot>,
}

/// When a fault is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// As whoever asks has agreed on with others, or with itself: who is late ends in time nevertheless.
    Agreed(BootTime),
    /// As this agent has chosen: who is late has its whole time.
    Own(BootTime),
}

impl Start {
    pub(super) const fn at(self) -> BootTime {
        match self {
            Self::Agreed(start) | Self::Own(start) => start,
        }
    }

    /// The lease of one that is let act now.
    pub(super) fn lease(self, now: BootTime, terms: LeaseTerms) -> Lease {
        match self {
            Self::Agreed(start) => Lease::agreed(start, now, terms),
            Self::Own(start) => Lease::begin(start.max(now), terms),
        }
    }
}

/// Something to be done on a target.
pub(super) enum Task {
    /// Look, plan, apply.
    Prepare(Box<Preparing>),
    /// Look, then let act.
    Commit { id: FaultId, start: Start, reply: Reply<Status> },
    /// It acts; read what it does, then answer.
    Measure { id: FaultId, reply: Reply<Status> },
    /// Take out; the fault does not act any more.
    TakeOut { id: FaultId, fate: State },
    /// Look, compare, correct.
    Compare,
    /// Unload what nobody needs any more.
    Leave,
}

/// A fault on its way in.
pub(super) struct Preparing {
    pub(super) fault: Fault,
    pub(super) earnest: Earnest,
    pub(super) slot: Slot,
    pub(super) replies: Vec<Reply<Prepared>>,
    /// Known after the look.
    pub(super) peers: BTreeSet<Peer>,
    pub(super) notes: Vec<String>,
}

impl Preparing {
    /// Whether it is this fault, and in earnest: a dry run has an id, too.
    fn is(&self, id: FaultId) -> bool {
        self.fault.id == id && self.earnest == Earnest::Real
    }
}

impl Target {
    /// Whether a comparison already waits.
    pub(super) fn will_compare(&self) -> bool {
        self.queue.iter().any(|task| matches!(task, Task::Compare))
    }

    /// Notes what was performed.
    pub(super) fn note(&mut self, steps: &[Step]) {
        for step in steps {
            self.holdings.note(step);
            if *step == Step::Unload {
                self.spoiled.clear();
            }
        }
    }

    /// The fault that is on its way in, first of all the one under way.
    pub(super) fn preparing(&mut self, id: FaultId) -> Option<&mut Preparing> {
        let tasks = self.current.iter_mut().chain(&mut self.queue);
        tasks.into_iter().find_map(|task| match task {
            Task::Prepare(preparing) if preparing.is(id) => Some(preparing.as_mut()),
            Task::Prepare(_)
            | Task::Commit { .. }
            | Task::Measure { .. }
            | Task::TakeOut { .. }
            | Task::Compare
            | Task::Leave => None,
        })
    }

    /// Takes a fault from the queue that has not begun to come in.
    pub(super) fn withdraw(&mut self, id: FaultId) -> Option<Box<Preparing>> {
        let waits = |task: &Task| matches!(task, Task::Prepare(preparing) if preparing.is(id));
        let at = self.queue.iter().position(waits)?;
        match self.queue.remove(at) {
            Some(Task::Prepare(preparing)) => Some(preparing),
            Some(
                Task::Commit { .. }
                | Task::Measure { .. }
                | Task::TakeOut { .. }
                | Task::Compare
                | Task::Leave,
            )
            | None => None,
        }
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
    fault.kind.cut().is_some_and(Cut::tracks_flows)
}

//! A freeze in the model: which processes it holds, and from when to when.

use std::collections::BTreeSet;

use fault::{BootTime, Freeze, FreezeEffect, Measured, ProcessIdentity};

use super::world::World;
use crate::kernel::{Coverage, KernelError, Place, Step};

/// A freeze of some processes, of one thread each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    place: Place,
    /// What it does.
    pub freeze: Freeze,
    /// Who is held.
    pub processes: BTreeSet<ProcessIdentity>,
    /// From when to when it acts.
    pub lease: Option<(BootTime, BootTime)>,
    seen: bool,
    released: bool,
}

impl Frozen {
    pub(super) fn put_in(
        world: &World,
        place: &Place,
        freeze: Freeze,
    ) -> Result<Self, KernelError> {
        let processes = world.within(place);
        if processes.is_empty() {
            return Err(KernelError::Gone(place.selector.scheme.clone()));
        }
        let place = place.clone();
        Ok(Self { place, freeze, processes, lease: None, seen: false, released: false })
    }

    /// Whether it acts at this time.
    #[must_use]
    pub fn acts(&self, now: BootTime) -> bool {
        self.lease.is_some_and(|(start, end)| start <= now && now < end)
    }

    pub(super) fn tell(&mut self, step: &Step) {
        self.lease = if let Step::Begin { start, end, .. } = step {
            Some((*start, *end))
        } else if let Step::Renew { end, .. } = step {
            self.lease.map(|(start, _)| (start, *end))
        } else {
            None
        };
    }

    pub(super) fn cover(&mut self, world: &World, now: BootTime) {
        self.processes = world.within(&self.place);
        self.seen = self.seen || (self.acts(now) && !self.processes.is_empty());
    }

    /// Its holder ends, and everybody goes on.
    pub(super) fn release(&mut self) {
        self.lease = None;
        self.released = true;
    }

    pub(super) fn look(&self, world: &World, now: BootTime) -> Coverage {
        let there = world.within(&self.place);
        Coverage {
            processes: there.len(),
            joined: there.difference(&self.processes).count(),
            left: self.processes.difference(&there).count(),
            altered: BTreeSet::new(),
            unread: !self.seen && self.acts(now) && !self.processes.is_empty(),
            released: self.released,
        }
    }

    /// Who is held in the model stands still at once.
    pub(super) fn measured(&self) -> Measured {
        let processes = self.processes.len();
        let stopped = if self.seen { processes } else { 0 };
        let effect =
            FreezeEffect { processes, threads: processes, stopped, ..FreezeEffect::default() };
        Measured::Freeze(effect)
    }
}

//! What is done to processes in the model: to which of them, and from when to when.

use std::collections::BTreeSet;

use fault::{
    BootTime, ClockEffect, FreezeEffect, KillEffect, Measured, Offset, ProcessIdentity, Reading,
    Shape, Skew, StressEffect,
};

use super::world::World;
use crate::kernel::{Act, Coverage, KernelError, Place, Release, Step};

/// Clocks that are moved.
pub type Skewed = Inner<Skew>;
/// Processes that stand still, are killed or are loaded.
pub type Engaged = Inner<Act>;

/// Something that is done to some processes, of one thread each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inner<T> {
    place: Place,
    /// What.
    pub what: T,
    /// To whom.
    pub processes: BTreeSet<ProcessIdentity>,
    /// From when to when it acts.
    pub lease: Option<(BootTime, BootTime)>,
    seen: bool,
    released: bool,
}

impl<T> Inner<T> {
    pub(super) fn put_in(world: &World, place: &Place, what: T) -> Result<Self, KernelError> {
        let processes = world.within(place);
        if processes.is_empty() {
            return Err(KernelError::Gone(place.selector.scheme.clone()));
        }
        let place = place.clone();
        Ok(Self { place, what, processes, lease: None, seen: false, released: false })
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

    /// What acts ends before its time.
    pub(super) fn release(&mut self) {
        self.lease = None;
        self.released = true;
    }

    fn reach(&mut self, world: &World, now: BootTime) {
        self.processes = world.within(&self.place);
        self.seen = self.seen || (self.acts(now) && !self.processes.is_empty());
    }

    fn compare(&self, world: &World, now: BootTime) -> Coverage {
        let there = world.within(&self.place);
        Coverage {
            processes: there.len(),
            joined: there.difference(&self.processes).count(),
            left: self.processes.difference(&there).count(),
            altered: BTreeSet::new(),
            unread: !self.seen && self.acts(now) && !self.processes.is_empty(),
            released: self.released.then_some(Release::Ended),
            over: false,
        }
    }
}

impl Inner<Skew> {
    pub(super) fn cover(&mut self, world: &World, now: BootTime) {
        self.reach(world, now);
    }

    pub(super) fn look(&self, world: &World, now: BootTime) -> Coverage {
        self.compare(world, now)
    }

    /// A clock in the model is exactly as far off as was asked for at first.
    pub(super) fn measured(&self) -> Measured {
        let offset = match self.what.shape {
            Shape::Step { offset, .. } => offset,
            Shape::Offset(_) | Shape::Strobe { .. } | Shape::Drift { .. } => {
                self.what.shape.initial()
            }
        };
        let reading = |process: &ProcessIdentity| {
            let process = *process;
            self.what.clocks.iter().map(move |clock| Reading {
                clock,
                process,
                offset: Offset::nanos(offset),
                error: 0,
                as_asked: true,
            })
        };
        let first = self.processes.first().filter(|_| self.seen);
        Measured::Clock(ClockEffect {
            covered: self.processes.len(),
            readings: first.into_iter().flat_map(reading).collect(),
            ..ClockEffect::default()
        })
    }
}

impl Inner<Act> {
    /// Who is killed in the model is gone at once.
    pub(super) fn cover(&mut self, world: &mut World, now: BootTime) {
        match self.what {
            Act::Freeze(_) | Act::Stress(_) => self.reach(world, now),
            Act::Kill(_) if self.acts(now) && !self.seen => {
                self.reach(world, now);
                self.processes.iter().for_each(|process| world.kill(process.pid));
            }
            Act::Kill(_) => {}
        }
    }

    pub(super) fn look(&self, world: &World, now: BootTime) -> Coverage {
        let compared = self.compare(world, now);
        match self.what {
            Act::Freeze(_) => compared,
            Act::Kill(_) => Coverage { joined: 0, left: 0, over: self.seen, ..compared },
            Act::Stress(_) => Coverage { joined: 0, left: 0, ..compared },
        }
    }

    /// Who is held in the model stands still at once.
    pub(super) fn measured(&self) -> Measured {
        let processes = self.processes.len();
        let done = if self.seen { processes } else { 0 };
        match self.what {
            Act::Freeze(_) => Measured::Freeze(FreezeEffect {
                processes,
                threads: processes,
                stopped: done,
                ..FreezeEffect::default()
            }),
            Act::Kill(_) => Measured::Kill(KillEffect {
                processes,
                signalled: done,
                ended: done,
                ..KillEffect::default()
            }),
            Act::Stress(_) => Measured::Stress(StressEffect {
                cpu: std::time::Duration::from_secs(done as u64),
                memory: done as u64,
                written: done as u64,
                ..StressEffect::default()
            }),
        }
    }
}

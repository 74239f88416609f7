//! A skew in the model: which processes have it, and from when to when it acts.

use std::collections::BTreeSet;

use fault::{BootTime, ClockEffect, Measured, Offset, ProcessIdentity, Reading, Shape, Skew};

use super::world::World;
use crate::kernel::{Coverage, KernelError, Place, Step};

/// A skew of some processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skewed {
    place: Place,
    /// What it does.
    pub skew: Skew,
    /// Who is covered.
    pub processes: BTreeSet<ProcessIdentity>,
    /// From when to when it acts.
    pub lease: Option<(BootTime, BootTime)>,
    read: bool,
}

impl Skewed {
    pub(super) fn put_in(world: &World, place: &Place, skew: Skew) -> Result<Self, KernelError> {
        let processes = world.within(place);
        if processes.is_empty() {
            return Err(KernelError::Gone(place.selector.scheme.clone()));
        }
        Ok(Self { place: place.clone(), skew, processes, lease: None, read: false })
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
        self.read = self.read || (self.acts(now) && !self.processes.is_empty());
    }

    pub(super) fn look(&self, world: &World, now: BootTime) -> Coverage {
        let there = world.within(&self.place);
        Coverage {
            processes: there.len(),
            joined: there.difference(&self.processes).count(),
            left: self.processes.difference(&there).count(),
            altered: BTreeSet::new(),
            unread: !self.read && self.acts(now) && !self.processes.is_empty(),
            released: false,
        }
    }

    /// A clock in the model is exactly as far off as was asked for at first.
    pub(super) fn measured(&self) -> Measured {
        let offset = match self.skew.shape {
            Shape::Step { offset, .. } => offset,
            Shape::Offset(_) | Shape::Strobe { .. } | Shape::Drift { .. } => {
                self.skew.shape.initial()
            }
        };
        let reading = |process: &ProcessIdentity| {
            let process = *process;
            self.skew.clocks.iter().map(move |clock| Reading {
                clock,
                process,
                offset: Offset::nanos(offset),
                error: 0,
                as_asked: true,
            })
        };
        let first = self.processes.first().filter(|_| self.read);
        Measured::Clock(ClockEffect {
            covered: self.processes.len(),
            readings: first.into_iter().flat_map(reading).collect(),
            ..ClockEffect::default()
        })
    }
}

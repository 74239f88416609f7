//! All skews of a node, by their places.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fault::{BootTime, ClockEffect, Measured, NamespaceCookie, ProcessIdentity, Skew};

use super::boot_now;
use super::caretaker::Caretaker;
use super::covered::{Covered, trouble};
use super::record::Record;
use super::skewed::{ClockError, Workshop};
use crate::kernel::process::{self, NamespaceInode};
use crate::kernel::{Coverage, KernelError, Place, Slot, clock::scope};

type Key = (NamespaceCookie, Slot);

/// All skews of a node.
#[derive(Debug)]
pub struct Register {
    workshop: Workshop,
    caretaker: Caretaker,
    skews: Mutex<HashMap<Key, Arc<Covered>>>,
    /// What skews did that are out since then, until they have been asked.
    ended: Mutex<HashMap<Key, (BootTime, ClockEffect)>>,
}

/// How long that is remembered (60 s).
const REMEMBERED: Duration = Duration::from_secs(60);

impl Register {
    /// An empty one.
    #[must_use]
    pub fn new(workshop: Workshop) -> Self {
        let caretaker = Caretaker::new(workshop.clone());
        Self { workshop, caretaker, skews: Mutex::default(), ended: Mutex::default() }
    }

    fn skews(&self) -> MutexGuard<'_, HashMap<Key, Arc<Covered>>> {
        self.skews.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, HashMap<Key, (BootTime, ClockEffect)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The skew at a place, if there is one.
    pub fn get(&self, target: NamespaceCookie, slot: Slot) -> Option<Arc<Covered>> {
        self.skews().get(&(target, slot)).cloned()
    }

    /// Puts a skew into all processes of a place; they see the truth until it begins.
    ///
    /// # Errors
    /// There is no process, or none could be covered: then nothing is left of it.
    pub fn put_in(
        &self,
        place: &Place,
        slot: Slot,
        skew: &Skew,
        inode: impl FnOnce() -> Result<NamespaceInode, KernelError>,
    ) -> Result<(), KernelError> {
        let there = scope::of(place, skew.extent, inode, &BTreeSet::new())?;
        if there.is_empty() {
            return Err(scope::nobody(&place.selector.scheme));
        }
        let covered = Arc::new(Covered::new(place.clone(), *skew, &self.workshop));
        if let Err(error) = covered.cover(&there) {
            self.caretaker.attend(there);
            return Err(failed(error));
        }
        let key = (place.identity.namespace, slot);
        let now = boot_now();
        self.ended().retain(|known, (at, _)| *known != key && now.since(*at) < REMEMBERED);
        self.skews().insert(key, covered);
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.skews().is_empty()
    }

    /// The targets of skews that may be meant for a process that executed another program at that time. Waits for no
    /// process.
    #[must_use]
    pub fn concerned(&self, pid: u32, at: BootTime) -> BTreeSet<NamespaceCookie> {
        let standing: Vec<(NamespaceCookie, Arc<Covered>)> = {
            let skews = self.skews();
            skews.iter().map(|((target, _), covered)| (*target, Arc::clone(covered))).collect()
        };
        let line = process::line(pid);
        let concerns = |covered: &Covered| {
            let members = covered.members();
            // A child of theirs had our bytes until now; in a container nobody need be one.
            members.iter().any(|member| line.contains(&member.pid))
                || scope::is_within(&covered.place.selector.scheme, pid, &members)
        };
        let concerned = standing.into_iter().filter(|(_, covered)| concerns(covered));
        let told = concerned.inspect(|(_, covered)| covered.note_execution(pid, at));
        told.map(|(target, _)| target).collect()
    }

    /// Follows a skew's processes, and reads their clocks.
    ///
    /// # Errors
    /// There is no such skew, or not one of its processes could be covered.
    pub fn follow(
        &self,
        target: NamespaceCookie,
        slot: Slot,
        inode: impl FnOnce() -> Result<NamespaceInode, KernelError>,
    ) -> Result<(), KernelError> {
        let covered = self.get(target, slot).ok_or_else(nothing)?;
        let there = scope::of(&covered.place, covered.skew.extent, inode, &covered.members())?;
        covered.cover(&there).map_err(failed)?;
        covered.measure();
        Ok(())
    }

    /// Gives all processes of a skew their bytes back. Where clocks take their time to come back to the
    /// truth, that is done then.
    ///
    /// # Errors
    /// A process that did not get them: it gets them later. [`KernelError::Inert`] if all have the truth.
    pub fn take_out(&self, target: NamespaceCookie, slot: Slot) -> Result<(), KernelError> {
        let Some(covered) = self.get(target, slot) else { return Ok(()) };
        let taken_out = covered.take_out();
        // Whatever it came to: another fault may get this place.
        self.ended().insert((target, slot), (boot_now(), covered.effect()));
        self.skews().remove(&(target, slot));
        self.caretaker.attend(taken_out.processes);
        if taken_out.trouble.is_empty() {
            return Ok(());
        }
        let trouble = taken_out.trouble.join("; ");
        Err(if taken_out.doubtful {
            KernelError::Answer(trouble)
        } else {
            KernelError::Inert(trouble)
        })
    }

    /// Forgets what a skew did that had this place: another fault has it now.
    pub fn forget(&self, target: NamespaceCookie, slot: Slot) {
        self.ended().remove(&(target, slot));
    }

    /// What was measured of a skew.
    #[must_use]
    pub fn measured(&self, target: NamespaceCookie, slot: Slot) -> Option<Measured> {
        let standing = self.get(target, slot).map(|covered| covered.effect());
        let ended = || self.ended().get(&(target, slot)).map(|(_, effect)| effect.clone());
        standing.or_else(ended).map(Measured::Clock)
    }

    /// How the skews of a target stand, by a look at their processes.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn look(
        &self,
        target: NamespaceCookie,
        inode: impl Fn() -> Result<NamespaceInode, KernelError>,
    ) -> Result<BTreeMap<Slot, Coverage>, KernelError> {
        let here: Vec<(Slot, Arc<Covered>)> = {
            let skews = self.skews();
            let here = skews.iter().filter(|((cookie, _), _)| *cookie == target);
            here.map(|((_, slot), covered)| (*slot, Arc::clone(covered))).collect()
        };
        let look = |(slot, covered): (Slot, Arc<Covered>)| {
            let there = scope::of(&covered.place, covered.skew.extent, &inode, &covered.members())?;
            Ok((slot, covered.look(&there)))
        };
        here.into_iter().map(look).collect()
    }

    /// Gives back what another life of the agent left, and says what could not be.
    ///
    /// # Errors
    /// The records could not be read.
    pub fn recover(&self) -> Result<Vec<(ProcessIdentity, Option<String>)>, ClockError> {
        let outcomes = self.workshop.recover()?;
        self.caretaker.attend(self.workshop.records.all()?.iter().map(Record::process));
        Ok(outcomes.into_iter().map(|(who, what)| (who, trouble(who, what))).collect())
    }
}

fn nothing() -> KernelError {
    KernelError::Answer("no clocks are skewed there".to_owned())
}

/// What was refused, in the words of the seam.
fn failed(error: ClockError) -> KernelError {
    scope::refused(error.to_string())
}

//! All freezes of a node, by their places.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fault::{BootTime, Freeze, FreezeEffect, Measured, NamespaceCookie};

use super::frozen::{FreezeError, Frozen};
use crate::kernel::clock::{boot_now, scope};
use crate::kernel::process::NamespaceInode;
use crate::kernel::{Coverage, KernelError, Place, Slot};

type Key = (NamespaceCookie, Slot);

/// How long is remembered what a freeze did that is over (60 s).
const REMEMBERED: Duration = Duration::from_secs(60);
/// How often is looked for processes that were born while the others were stopped.
const ROUNDS: usize = 8;

/// All freezes of a node.
#[derive(Debug)]
pub struct Freezes {
    /// What holds: this very program, or another one that knows how.
    program: PathBuf,
    standing: Mutex<HashMap<Key, Arc<Frozen>>>,
    ended: Mutex<HashMap<Key, (BootTime, FreezeEffect)>>,
}

impl Default for Freezes {
    fn default() -> Self {
        Self::of(PathBuf::from("/proc/self/exe"))
    }
}

impl Freezes {
    /// None yet; this program holds.
    #[must_use]
    pub fn of(program: PathBuf) -> Self {
        Self { program, standing: Mutex::default(), ended: Mutex::default() }
    }

    fn standing(&self) -> MutexGuard<'_, HashMap<Key, Arc<Frozen>>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, HashMap<Key, (BootTime, FreezeEffect)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The freeze at a place, if there is one.
    pub(in crate::kernel) fn get(
        &self,
        target: NamespaceCookie,
        slot: Slot,
    ) -> Option<Arc<Frozen>> {
        self.standing().get(&(target, slot)).cloned()
    }

    /// Starts the holder of a freeze; everybody goes on until it begins.
    ///
    /// # Errors
    /// There is no process, or none that could be held.
    pub(in crate::kernel) fn put_in(
        &self,
        place: &Place,
        slot: Slot,
        freeze: Freeze,
        inode: impl FnOnce() -> Result<NamespaceInode, KernelError>,
    ) -> Result<(), KernelError> {
        let there = scope::of(place, freeze.extent, inode, &BTreeSet::new())?;
        if there.is_empty() {
            return Err(KernelError::Gone(place.selector.scheme.clone()));
        }
        let frozen = Frozen::start(&self.program, place.clone(), freeze).map_err(failed)?;
        frozen.cover(&there).map_err(failed)?;
        let key = (place.identity.namespace, slot);
        let now = boot_now();
        self.ended().retain(|known, (at, _)| *known != key && now.since(*at) < REMEMBERED);
        self.standing().insert(key, Arc::new(frozen));
        Ok(())
    }

    /// Has those held who came, and looks whether all stand still.
    ///
    /// # Errors
    /// There is no such freeze, or nobody is held.
    pub(in crate::kernel) fn follow(
        &self,
        target: NamespaceCookie,
        slot: Slot,
        inode: impl Fn() -> Result<NamespaceInode, KernelError>,
    ) -> Result<(), KernelError> {
        let frozen = self.get(target, slot).ok_or_else(nothing)?;
        for _ in 0..ROUNDS {
            let known = frozen.pids();
            let there = scope::of(&frozen.place, frozen.freeze.extent, &inode, &known)?;
            frozen.cover(&there).map_err(failed)?;
            frozen.measure();
            if frozen.pids() == known {
                break;
            }
        }
        Ok(())
    }

    /// Lets everybody go.
    ///
    /// # Errors
    /// Somebody is held still.
    pub(in crate::kernel) fn take_out(
        &self,
        target: NamespaceCookie,
        slot: Slot,
    ) -> Result<(), KernelError> {
        let Some(frozen) = self.get(target, slot) else { return Ok(()) };
        let taken_out = frozen.take_out();
        self.ended().insert((target, slot), (boot_now(), frozen.effect()));
        self.standing().remove(&(target, slot));
        taken_out.map_err(|error| KernelError::Answer(error.to_string()))
    }

    /// What was measured of a freeze.
    pub(in crate::kernel) fn measured(
        &self,
        target: NamespaceCookie,
        slot: Slot,
    ) -> Option<Measured> {
        let standing = self.get(target, slot).map(|frozen| frozen.effect());
        let ended = || self.ended().get(&(target, slot)).map(|(_, effect)| effect.clone());
        standing.or_else(ended).map(Measured::Freeze)
    }

    /// Forgets what a freeze did that had this place: another fault has it now.
    pub(in crate::kernel) fn forget(&self, target: NamespaceCookie, slot: Slot) {
        self.ended().remove(&(target, slot));
    }

    /// How the freezes of a target stand, by a look at its processes.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(in crate::kernel) fn look(
        &self,
        target: NamespaceCookie,
        inode: impl Fn() -> Result<NamespaceInode, KernelError>,
    ) -> Result<BTreeMap<Slot, Coverage>, KernelError> {
        let here: Vec<(Slot, Arc<Frozen>)> = {
            let standing = self.standing();
            let here = standing.iter().filter(|((cookie, _), _)| *cookie == target);
            here.map(|((_, slot), frozen)| (*slot, Arc::clone(frozen))).collect()
        };
        let look = |(slot, frozen): (Slot, Arc<Frozen>)| {
            let there = scope::of(&frozen.place, frozen.freeze.extent, &inode, &frozen.pids())?;
            Ok((slot, frozen.look(&there)))
        };
        here.into_iter().map(look).collect()
    }
}

fn nothing() -> KernelError {
    KernelError::Answer("nobody is frozen there".to_owned())
}

fn failed(error: FreezeError) -> KernelError {
    match error {
        FreezeError::Nobody(_) => scope::refused(error.to_string()),
        FreezeError::Process { .. } | FreezeError::Ended | FreezeError::Held => {
            KernelError::Answer(error.to_string())
        }
    }
}

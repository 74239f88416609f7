//! All of them on a node, by their places.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fault::{BootTime, Measured, NamespaceCookie, Scheme};

use super::{Act, Engaged, Inode};
use crate::kernel::clock::boot_now;
use crate::kernel::freeze::Frozen;
use crate::kernel::kill::Killing;
use crate::kernel::load::{Load, Moving};
use crate::kernel::{Coverage, KernelError, Place, Slot};

type Key = (NamespaceCookie, Slot);

/// How long is remembered what one did that is over (60 s).
const REMEMBERED: Duration = Duration::from_secs(60);

/// All that is done to processes of a node.
#[derive(Debug)]
pub struct Engagements {
    /// What holds or loads: this very program, or another one that knows how.
    program: PathBuf,
    standing: Mutex<HashMap<Key, Arc<dyn Engaged>>>,
    ended: Mutex<HashMap<Key, (BootTime, Measured)>>,
}

impl Default for Engagements {
    fn default() -> Self {
        Self::of(PathBuf::from("/proc/self/exe"))
    }
}

impl Engagements {
    /// None yet; this program holds and loads.
    #[must_use]
    pub fn of(program: PathBuf) -> Self {
        Self { program, standing: Mutex::default(), ended: Mutex::default() }
    }

    fn standing(&self) -> MutexGuard<'_, HashMap<Key, Arc<dyn Engaged>>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, HashMap<Key, (BootTime, Measured)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one at a place, if there is one.
    pub(in crate::kernel) fn get(
        &self,
        target: NamespaceCookie,
        slot: Slot,
    ) -> Option<Arc<dyn Engaged>> {
        self.standing().get(&(target, slot)).cloned()
    }

    /// Has one ready, which does nothing until it begins. `stirred` is called when a look at it is due.
    ///
    /// # Errors
    /// There is no process, or none that it could be done to.
    pub(in crate::kernel) fn put_in(
        &self,
        place: &Place,
        slot: Slot,
        act: Act,
        inode: Inode<'_>,
        stirred: impl Fn() + Send + 'static,
    ) -> Result<(), KernelError> {
        let engaged: Arc<dyn Engaged> = match act {
            Act::Freeze(freeze) => Arc::new(Frozen::put_in(&self.program, place, freeze, inode)?),
            Act::Kill(kill) => Arc::new(Killing::put_in(place, kill, inode, stirred)?),
            Act::Stress(stress) if matches!(place.selector.scheme, Scheme::Pod(_)) => {
                Arc::new(Moving::put_in(&self.program, place, stress, inode)?)
            }
            Act::Stress(stress) => Arc::new(Load::put_in(&self.program, place, stress, inode)?),
        };
        let key = (place.identity.namespace, slot);
        let now = boot_now();
        self.ended().retain(|known, (at, _)| *known != key && now.since(*at) < REMEMBERED);
        self.standing().insert(key, engaged);
        Ok(())
    }

    /// Has it reach those who came, and sees what it does.
    ///
    /// # Errors
    /// There is none, or nobody is reached.
    pub(in crate::kernel) fn follow(
        &self,
        target: NamespaceCookie,
        slot: Slot,
        inode: Inode<'_>,
    ) -> Result<(), KernelError> {
        let nothing = || KernelError::Answer("nothing is done to processes there".to_owned());
        self.get(target, slot).ok_or_else(nothing)?.follow(inode)
    }

    /// Ends it.
    ///
    /// # Errors
    /// It goes on.
    pub(in crate::kernel) fn take_out(
        &self,
        target: NamespaceCookie,
        slot: Slot,
    ) -> Result<(), KernelError> {
        let Some(engaged) = self.get(target, slot) else { return Ok(()) };
        let taken_out = engaged.take_out();
        self.ended().insert((target, slot), (boot_now(), engaged.measured()));
        self.standing().remove(&(target, slot));
        taken_out
    }

    /// What was measured.
    pub(in crate::kernel) fn measured(
        &self,
        target: NamespaceCookie,
        slot: Slot,
    ) -> Option<Measured> {
        let standing = self.get(target, slot).map(|engaged| engaged.measured());
        let ended = || self.ended().get(&(target, slot)).map(|(_, measured)| measured.clone());
        standing.or_else(ended)
    }

    /// Forgets what one did that had this place: another fault has it now.
    pub(in crate::kernel) fn forget(&self, target: NamespaceCookie, slot: Slot) {
        self.ended().remove(&(target, slot));
    }

    /// How those of a target stand, by a look at its processes.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(in crate::kernel) fn look(
        &self,
        target: NamespaceCookie,
        inode: Inode<'_>,
    ) -> Result<BTreeMap<Slot, Coverage>, KernelError> {
        let here: Vec<(Slot, Arc<dyn Engaged>)> = {
            let standing = self.standing();
            let here = standing.iter().filter(|((cookie, _), _)| *cookie == target);
            here.map(|((_, slot), engaged)| (*slot, Arc::clone(engaged))).collect()
        };
        here.into_iter().map(|(slot, engaged)| Ok((slot, engaged.look(inode)?))).collect()
    }
}

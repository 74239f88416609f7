//! Who changes a process's bytes right now: one at a time, since each of them holds it, and goes by what
//! stands there.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fault::ProcessIdentity;

/// The processes that somebody changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Claimed>);

#[derive(Debug, Default)]
struct Claimed {
    processes: Mutex<BTreeSet<ProcessIdentity>>,
    freed: Condvar,
}

/// A process that nobody else changes until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claimed: Arc<Claimed>,
    process: ProcessIdentity,
}

impl Claims {
    fn processes(&self) -> MutexGuard<'_, BTreeSet<ProcessIdentity>> {
        self.0.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else changes it. Whoever does has a holder, which has a timer.
    pub(super) fn wait(&self, process: ProcessIdentity) -> Claim {
        let is_taken = |processes: &mut BTreeSet<ProcessIdentity>| processes.contains(&process);
        let free = self.0.freed.wait_while(self.processes(), is_taken);
        free.unwrap_or_else(PoisonError::into_inner).insert(process);
        Claim { claimed: Arc::clone(&self.0), process }
    }

    /// `None` where somebody else changes it.
    pub(super) fn attempt(&self, process: ProcessIdentity) -> Option<Claim> {
        let is_free = self.processes().insert(process);
        is_free.then(|| Claim { claimed: Arc::clone(&self.0), process })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut processes = self.claimed.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.remove(&self.process);
        self.claimed.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_changes_a_process() {
        let claims = Claims::default();
        let [one, other] = [7, 8].map(|pid| ProcessIdentity { pid, started: 1 });
        let claim = claims.wait(one);
        assert!(claims.attempt(one).is_none());
        drop(claims.attempt(other).unwrap());
        let theirs = claims.clone();
        let waits = std::thread::spawn(move || drop(theirs.wait(one)));
        drop(claim);
        waits.join().unwrap();
        assert!(claims.attempt(one).is_some());
    }
}

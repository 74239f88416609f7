//! Who is covered by a skew, and who of them and of their children has executed another program: behind a
//! lock of its own that nobody holds while the memory of a process is read or written, which may hang.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fault::{BootTime, ProcessIdentity};

use crate::kernel::process;

/// How many are remembered who executed something and are not covered; most of them have ended.
const MOST_EXECUTED: usize = 4_096;

/// Whom a skew has to do with.
#[derive(Debug, Default)]
pub(super) struct Roll(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    members: BTreeSet<ProcessIdentity>,
    /// Since when who executed another program may have been uncovered; those who are covered by now are out.
    executed: BTreeMap<u32, BootTime>,
    /// How many of those ended before they were covered.
    escaped: usize,
}

impl Roll {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is covered.
    pub(super) fn members(&self) -> BTreeSet<ProcessIdentity> {
        self.names().members.clone()
    }

    /// A process is covered from now on. Says since when it may not have been, if it executed something.
    pub(super) fn admit(&self, process: ProcessIdentity) -> Option<BootTime> {
        let mut names = self.names();
        names.members.insert(process);
        names.executed.remove(&process.pid)
    }

    /// A process is covered no more.
    pub(super) fn strike(&self, process: ProcessIdentity) {
        self.names().members.remove(&process);
    }

    /// Nobody is covered any more.
    pub(super) fn clear(&self) {
        self.names().members.clear();
    }

    /// Notes who executed another program, and when.
    pub(super) fn note(&self, pid: u32, at: BootTime) {
        let mut names = self.names();
        if names.executed.len() < MOST_EXECUTED {
            // Who does so twice before it is covered again has been uncovered since the first time.
            names.executed.entry(pid).or_insert(at);
        }
    }

    /// A process has our bytes: whatever it executed before that is no matter any more.
    pub(super) fn settle(&self, pid: u32, seen: BootTime) {
        let mut names = self.names();
        if names.executed.get(&pid).is_some_and(|at| *at <= seen) {
            names.executed.remove(&pid);
        }
    }

    /// Forgets who has ended.
    pub(super) fn forget_ended(&self) {
        let noted: Vec<u32> = self.names().executed.keys().copied().collect();
        for pid in noted.into_iter().filter(|pid| process::identity(*pid).is_err()) {
            let mut names = self.names();
            names.escaped += usize::from(names.executed.remove(&pid).is_some());
        }
    }

    /// How many executed another program, and had ended before they were covered.
    pub(super) fn escaped(&self) -> usize {
        self.names().escaped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_executes_is_uncovered_since_the_first_time_until_it_is_seen_or_covered() {
        let time = BootTime::from_nanos;
        let process = ProcessIdentity { pid: 7, started: 1 };
        let roll = Roll::default();
        roll.note(7, time(20));
        roll.note(7, time(30));
        roll.settle(7, time(19));
        assert_eq!(roll.admit(process), Some(time(20)));
        assert_eq!(roll.admit(process), None);
        roll.note(7, time(40));
        roll.settle(7, time(40));
        assert_eq!(roll.admit(process), None);
        assert_eq!(roll.members(), BTreeSet::from([process]));
        roll.strike(process);
        assert!(roll.members().is_empty());
    }
}

//! Gives processes their own bytes back that did not get them when their skew ended: somebody traced them, a
//! freeze held them, a thread did not come back from our code, or their clocks take their time to come back to
//! the truth.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fault::{BootTime, ProcessIdentity};

use super::boot_now;
use super::covered::is_whole;
use super::skewed::Workshop;

/// Between two looks at who is due (1 s). What keeps a process from being held makes no event for others.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest wait for the next attempt, which is twice as long each time (30 s).
const LONGEST: Duration = Duration::from_secs(30);

/// Who is owed its own bytes, and when that is tried next.
#[derive(Clone, Debug)]
pub(super) struct Caretaker {
    workshop: Workshop,
    owed: Arc<Mutex<Owed>>,
}

#[derive(Debug, Default)]
struct Owed {
    processes: BTreeMap<ProcessIdentity, Due>,
    /// There is a thread that sees to it.
    attended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    at: BootTime,
    pause: Duration,
}

impl Caretaker {
    pub(super) fn new(workshop: Workshop) -> Self {
        Self { workshop, owed: Arc::default() }
    }

    /// Sees to it that those of these that are owed their bytes by their records get them, each from its time on,
    /// for as long as this process lives; whoever is left then is found at the next start.
    pub(super) fn attend(&self, processes: impl IntoIterator<Item = ProcessIdentity>) {
        let now = boot_now();
        let due = |process| {
            // Without a record there is nothing of ours in it.
            let record = self.workshop.records.get(process).ok().flatten()?;
            Some((process, Due { at: record.owed_from()?.max(now), pause: PAUSE }))
        };
        let owed: Vec<(ProcessIdentity, Due)> = processes.into_iter().filter_map(due).collect();
        let mut known = self.owed();
        known.processes.extend(owed);
        if known.processes.is_empty() || known.attended {
            return;
        }
        let caretaker = self.clone();
        let attend = move || while caretaker.round() {};
        match thread::Builder::new().name("schism-caretaker".to_owned()).spawn(attend) {
            Ok(_) => known.attended = true,
            Err(error) => tracing::warn!(%error, "what is left in processes stays there for now"),
        }
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries with whoever is due after a pause; says whether anybody is left.
    fn round(&self) -> bool {
        // It counts on while the machine is suspended, which a sleep does not: so it is a short one.
        thread::sleep(PAUSE);
        let now = boot_now();
        let due: Vec<(ProcessIdentity, Due)> = {
            let owed = self.owed();
            let due = owed.processes.iter().filter(|(_, due)| due.at <= now);
            due.map(|(process, due)| (*process, *due)).collect()
        };
        let attempts =
            due.into_iter().map(|(process, due)| (process, due, self.attempt(process, due)));
        let done: Vec<(ProcessIdentity, Due, Option<Due>)> = attempts.collect();
        let mut owed = self.owed();
        for (process, due, next) in done {
            // Who is owed something else by now stays.
            if owed.processes.get(&process) == Some(&due) {
                match next {
                    Some(next) => owed.processes.insert(process, next),
                    None => owed.processes.remove(&process),
                };
            }
        }
        owed.attended = !owed.processes.is_empty();
        owed.attended
    }

    /// Tries with one; says when to try again, if there is need.
    fn attempt(&self, process: ProcessIdentity, due: Due) -> Option<Due> {
        let later = Due { at: boot_now() + due.pause, pause: (due.pause * 2).min(LONGEST) };
        let Some(_claim) = self.workshop.claims.attempt(process) else { return Some(later) };
        // Without a record there is nothing of ours in it; with one of a skew that acts, another skew has it.
        let record = self.workshop.records.get(process).ok().flatten()?;
        record.owed_from()?;
        let restored = self.workshop.restore(&record);
        if is_whole(&restored) {
            tracing::info!(pid = process.pid, "it has its own bytes again");
            return None;
        }
        tracing::debug!(pid = process.pid, ?restored, "it has not got its own bytes yet");
        Some(later)
    }
}

//! What came of giving processes their own bytes back.

use fault::ProcessIdentity;

use crate::kernel::clock::skewed::{ClockError, Outcome, Restored};

/// What came of giving all processes of a skew their bytes back. Whoever has not got them has a record, and
/// mostly the truth.
#[derive(Debug, Default)]
pub(in crate::kernel::clock) struct TakenOut {
    /// Who was to get them: the record of one that has not got them, or gets them when its clocks have come back,
    /// says so.
    pub(in crate::kernel::clock) processes: Vec<ProcessIdentity>,
    /// What could not be done, for people.
    pub(in crate::kernel::clock) trouble: Vec<String>,
    /// Whether it is not known of somebody that they have the truth.
    pub(in crate::kernel::clock) doubtful: bool,
}

impl TakenOut {
    pub(super) fn admit(&mut self, process: ProcessIdentity, restored: Outcome) {
        self.processes.push(process);
        self.doubtful |= !has_truth(&restored);
        self.trouble.extend(trouble(process, restored));
    }
}

/// Whether a process has its own bytes again, or has ended.
#[must_use]
pub fn is_whole(restored: &Result<Restored, ClockError>) -> bool {
    matches!(restored, Ok(Restored::Whole | Restored::Gone))
}

/// Whether it is known that a process has the truth.
fn has_truth(restored: &Outcome) -> bool {
    match restored {
        Ok(Restored::Whole | Restored::Gone | Restored::Inert) | Err(ClockError::Disarmed(_)) => {
            true
        }
        Ok(Restored::Returning) => false,
        Err(error) => error.is_gone(),
    }
}

/// What becomes of that.
const LATER: &str = "the agent goes on trying to give it its own bytes back for as long as it runs; after \
                     that its next start does, or `schism residue --remove`";

/// What went wrong with giving a process its bytes back.
pub(in crate::kernel::clock) fn trouble(
    process: ProcessIdentity,
    restored: Result<Restored, ClockError>,
) -> Option<String> {
    let pid = process.pid;
    match restored {
        Ok(Restored::Whole | Restored::Gone | Restored::Returning) => None,
        Ok(Restored::Inert) => Some(format!(
            "process {pid} has true time, but a thread has not come back from our code; {LATER}"
        )),
        Err(error) => Some(format!("process {pid}: {error}; {LATER}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_clocks_show_the_truth_is_said_where_it_is_known() {
        let broken = || ClockError::Unverified { pid: 7 };
        let outcomes: [(Outcome, bool); 6] = [
            (Ok(Restored::Whole), false),
            (Ok(Restored::Inert), false),
            (Err(ClockError::Disarmed(Box::new(ClockError::Spared("traced".to_owned())))), false),
            (Ok(Restored::Returning), true),
            (Err(broken()), true),
            (Err(ClockError::Processes(std::io::Error::other("no"))), true),
        ];
        for (outcome, doubtful) in outcomes {
            let named = format!("{outcome:?}");
            let mut out = TakenOut::default();
            out.admit(ProcessIdentity { pid: 7, started: 9 }, outcome);
            out.admit(ProcessIdentity { pid: 8, started: 9 }, Ok(Restored::Whole));
            assert_eq!(out.doubtful, doubtful, "{named}");
        }
    }
}

//! What came of giving processes their own bytes back.

use fault::ProcessIdentity;

use crate::kernel::clock::skewed::{ClockError, Outcome, Restored};

/// What came of giving all processes of a skew their bytes back. Whoever has not got them has the truth, and
/// a record.
#[derive(Debug, Default)]
pub(in crate::kernel::clock) struct TakenOut {
    /// Who was to get them: the record of one that has not got them, or gets them when its clocks have come back,
    /// says so.
    pub(in crate::kernel::clock) processes: Vec<ProcessIdentity>,
    /// What could not be done, for people.
    pub(in crate::kernel::clock) trouble: Vec<String>,
}

impl TakenOut {
    pub(super) fn admit(&mut self, process: ProcessIdentity, restored: Outcome) {
        self.processes.push(process);
        self.trouble.extend(trouble(process, restored));
    }
}

/// Whether a process has its own bytes again, or has ended.
#[must_use]
pub fn is_whole(restored: &Result<Restored, ClockError>) -> bool {
    matches!(restored, Ok(Restored::Whole | Restored::Gone))
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

//! Processes with our bytes that nobody follows any more: what another life of the agent left, and forks.

use std::collections::BTreeSet;
use std::ops::Range;

use fault::ProcessIdentity;

use super::skewed::{ClockError, Outcome, Workshop};
use super::vdso;
use crate::kernel::process;

impl Workshop {
    /// Gives all recorded processes their bytes back, and those that were forked off them and that nobody
    /// saw.
    ///
    /// # Errors
    /// The records could not be read. What went wrong with one process does not keep it from the others.
    pub fn recover(&self) -> Result<Vec<(ProcessIdentity, Outcome)>, ClockError> {
        let records = self.records.all()?;
        let here = records.iter().filter(|record| record.is_of(self.boot));
        let places: Vec<Range<u64>> = here.map(|record| record.vdso.clone()).collect();
        let mut outcomes = self.restore_all()?;
        outcomes.extend(self.sweep(&places)?);
        Ok(outcomes)
    }

    /// Gives processes their bytes back that have their vDSO at one of these places, where chance puts it
    /// (mmap_base is drawn for each program that is executed) and forks leave it. Whatever is recorded is
    /// somebody's, and left alone.
    ///
    /// # Errors
    /// The records or /proc could not be read.
    pub fn sweep(
        &self,
        places: &[Range<u64>],
    ) -> Result<Vec<(ProcessIdentity, Outcome)>, ClockError> {
        let mut outcomes = Vec::new();
        if places.is_empty() {
            return Ok(outcomes);
        }
        let records = self.records.all()?;
        let known: BTreeSet<ProcessIdentity> = records.iter().map(|one| one.process()).collect();
        for pid in process::all().unwrap_or_default() {
            // A process that has ended since is no matter.
            let Ok(process) = process::identity(pid) else { continue };
            let place = vdso::locate(pid).ok().flatten();
            if known.contains(&process) || !place.is_some_and(|place| places.contains(&place)) {
                continue;
            }
            match self.claim(process) {
                Ok(Some(record)) => outcomes.push((process, self.restore(&record))),
                Ok(None) => {}
                Err(error) if error.is_gone() => {}
                Err(error) => outcomes.push((process, Err(error))),
            }
        }
        Ok(outcomes)
    }
}

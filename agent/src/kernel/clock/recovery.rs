//! Processes with our bytes that nobody follows any more: what another life of the agent left, and forks.

use std::collections::BTreeSet;
use std::ops::Range;

use fault::ProcessIdentity;

use super::memory::Memory;
use super::record::{Entry, Record};
use super::skewed::{ClockError, Outcome, Workshop, memory};
use super::subject::Refusal;
use super::{boot_now, vdso};
use crate::clock::image::Image;
use crate::clock::patch::{self, Redirected};
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
        for pid in process::all().map_err(ClockError::Processes)? {
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

    /// What a skew that is over has left in a process: it could not be taken back when that ended, or the
    /// clocks have come back since then.
    #[must_use]
    pub fn leftover(&self, process: ProcessIdentity) -> Option<Record> {
        let now = boot_now();
        let is_over = |record: &Record| record.owed_from().is_some_and(|from| from <= now);
        self.records.get(process).ok().flatten().filter(is_over)
    }

    /// Records a process that has our bytes without a record: a fork that nobody saw in time. `None` if what
    /// differs from the kernel's own image is not ours.
    ///
    /// # Errors
    /// It could not be read, or not be recorded.
    pub fn claim(&self, process: ProcessIdentity) -> Result<Option<Record>, ClockError> {
        let pid = process.pid;
        let memory_of = Memory::open(pid).map_err(memory("open", pid))?;
        if !process::is_alive(process) {
            return Err(Refusal::Gone(pid).into());
        }
        let Some(place) = vdso::locate(pid).map_err(memory("read", pid))? else { return Ok(None) };
        let (_, own) = vdso::own().map_err(memory("read", std::process::id()))?;
        let image = Image::parse(own).map_err(Refusal::from)?;
        let length = usize::try_from(place.end - place.start).unwrap_or(0);
        let bytes = memory_of.read(place.start, length).map_err(memory("read", pid))?;
        let Some(redirected) = patch::redirected(&image, &bytes) else { return Ok(None) };
        let at = |place_in: u32| place.start + u64::from(place_in);
        let build = image.build_id().to_string();
        let mut record = Record::new(self.boot, process, build, place.clone());
        record.slack = at(image.slack().start)..at(image.slack().end);
        let entries = redirected.into_iter().map(|found| {
            let Redirected { entry, original, jump } = found;
            Entry { at: at(entry), original, jump }
        });
        record.sites = entries.collect();
        self.records.keep(&record)?;
        Ok(Some(record))
    }
}

/// Whether the process has the image that was changed: it has not ended, nor executed another program.
pub(super) fn still_has(record: &Record) -> bool {
    let place = || vdso::locate(record.process().pid).ok().flatten();
    process::is_alive(record.process()) && place().as_ref() == Some(&record.vdso)
}

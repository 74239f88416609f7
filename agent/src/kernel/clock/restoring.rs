//! Gives processes the bytes back that the kernel gave them.

use fault::ProcessIdentity;

use super::holder::HolderError;
use super::memory::Memory;
use super::record::Record;
use super::recovery::still_has;
use super::skewed::{ClockError, Outcome, PATIENCE, Restored, Workshop, memory, replace};
use super::swap::{Swap, SwapError, Vigil, Write};
use super::{boot_now, vdso};
use crate::clock::parameters::Parameters;
use crate::kernel::process;

/// How long to wait until the last thread has left the stub (10 s): each needs the processor once more.
const DRAIN: u64 = 10_000;

impl Workshop {
    /// Gives all recorded processes their bytes back: what another life of the agent left.
    ///
    /// # Errors
    /// The records could not be read. What went wrong with one process does not keep it from the others.
    pub fn restore_all(&self) -> Result<Vec<(ProcessIdentity, Outcome)>, ClockError> {
        let records = self.records.all()?;
        Ok(records.iter().map(|record| (record.process(), self.restore(record))).collect())
    }

    /// Gives a recorded process its bytes back.
    ///
    /// # Errors
    /// What could not be done; the record stays.
    pub fn restore(&self, record: &Record) -> Result<Restored, ClockError> {
        let restored = self.restored(record);
        let stays = !matches!(restored, Ok(Restored::Whole | Restored::Gone | Restored::Returning));
        // Not where it is the record of something else by now.
        let is_recorded =
            || self.records.get(record.process()).is_ok_and(|kept| kept.as_ref() == Some(record));
        if stays && !record.left && is_recorded() {
            // Whoever looks for what was left finds it there; that it could not be restored is what to tell.
            let mut record = record.clone();
            record.left = true;
            let _ = self.records.keep(&record);
        }
        restored
    }

    fn restored(&self, record: &Record) -> Outcome {
        let process = record.process();
        let returns = record.is_of(self.boot) && record.returning_until > boot_now().nanos();
        let restored = if returns && process::is_alive(process) {
            Restored::Returning
        } else if record.is_of(self.boot) && process::is_alive(process) {
            match self.restore_living(record) {
                // Whatever failed, it did with what is not there any more.
                Err(error) if error.is_gone() || !still_has(record) => Restored::Gone,
                other => other?,
            }
        } else {
            // Ended, or of another boot: a process with that pid is another one.
            Restored::Gone
        };
        match restored {
            Restored::Whole | Restored::Gone => self.records.forget(process)?,
            Restored::Inert | Restored::Returning => {}
        }
        Ok(restored)
    }

    /// First its lease ends, which waits for nobody: a fork has a copy of its parent's.
    fn restore_living(&self, record: &Record) -> Result<Restored, ClockError> {
        let ProcessIdentity { pid, started } = record.process();
        let memory_of = Memory::open(pid).map_err(memory("open", pid))?;
        if vdso::locate(pid).map_err(memory("read", pid))?.as_ref() != Some(&record.vdso) {
            // It has executed another program: its vDSO is new.
            return Ok(Restored::Gone);
        }
        let read = |at, length| memory_of.read(at, length).map_err(memory("read", pid));
        let order = |writes: Vec<Write>| Swap {
            pid,
            started,
            writes,
            forbidden: Vec::new(),
            vigil: Vigil::Closed,
            moved: Vec::new(),
            patience: PATIENCE,
        };
        let mut entries = Vec::new();
        for site in &record.sites {
            let stands = read(site.at, site.jump.len())?;
            if stands == site.jump {
                let (old, new) = (site.jump.clone(), site.original.clone());
                entries.push(Write { at: site.at, old, new });
            } else if stands != site.original {
                return Err(ClockError::Unverified { pid });
            }
        }
        if entries.is_empty() {
            return self.clear_slack(record, &memory_of).map_err(ClockError::disarmed);
        }
        let ended = replace(&memory_of, pid, record.block(), &Parameters::ended());
        let swap = order(entries);
        let restored = self
            .swap(&swap)
            .map_err(ClockError::from)
            .and_then(|_| self.clear_slack(record, &memory_of).map_err(ClockError::disarmed));
        // Without the jumps nothing leads to it any more; with them that it has ended must stand.
        if ended.is_ok() { restored.map_err(ClockError::disarmed) } else { restored }
    }

    /// The stub is to go, to which no jump leads any more.
    fn clear_slack(&self, record: &Record, memory_of: &Memory) -> Result<Restored, ClockError> {
        let ProcessIdentity { pid, started } = record.process();
        let read = |at, length| memory_of.read(at, length).map_err(memory("read", pid));
        let length = usize::try_from(record.slack.end - record.slack.start).unwrap_or(0);
        let old = read(record.slack.start, length)?;
        if old.iter().any(|byte| *byte != 0) {
            let clear = Write { at: record.slack.start, new: vec![0; old.len()], old };
            let swap = Swap {
                pid,
                started,
                writes: vec![clear],
                forbidden: vec![record.slack.clone()],
                vigil: Vigil::Leaving(record.vdso.clone()),
                moved: Vec::new(),
                patience: DRAIN,
            };
            match self.swap(&swap) {
                Err(HolderError::Swap(SwapError::Busy { .. } | SwapError::Unstoppable(_))) => {
                    return Ok(Restored::Inert);
                }
                other => other?,
            };
        }
        let length = usize::try_from(record.vdso.end - record.vdso.start).unwrap_or(0);
        let (_, own) = vdso::own().map_err(memory("read", std::process::id()))?;
        if read(record.vdso.start, length)? == own {
            Ok(Restored::Whole)
        } else {
            Err(ClockError::Unverified { pid })
        }
    }
}

//! A load of a pod, which goes on in the container that takes the place of the one that it was in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fault::{BootTime, Extent, Measured, ProcessIdentity, Stress, StressEffect};

use super::loading::{Load, is_ours};
use crate::kernel::clock::{boot_now, scope};
use crate::kernel::engaged::{Engaged, Inode};
use crate::kernel::{Coverage, KernelError, Place};

/// One load after another, of which there is at most one at a time.
#[derive(Debug)]
pub(in crate::kernel) struct Moving {
    program: PathBuf,
    place: Place,
    asked: Stress,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing between two containers.
    load: Option<Arc<Load>>,
    lease: Option<(BootTime, BootTime)>,
    over: bool,
    /// What was taken from containers that have ended.
    before: StressEffect,
}

impl Moving {
    /// Starts a worker, as [`Load::put_in`] does.
    ///
    /// # Errors
    /// As there.
    pub(in crate::kernel) fn put_in(
        program: &Path,
        place: &Place,
        asked: Stress,
        inode: Inode<'_>,
    ) -> Result<Self, KernelError> {
        let load = Arc::new(Load::put_in(program, place, asked, inode)?);
        let state = Mutex::new(State { load: Some(load), ..State::default() });
        Ok(Self { program: program.to_owned(), place: place.clone(), asked, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The target's own processes.
    fn others(&self, inode: Inode<'_>) -> Result<Vec<ProcessIdentity>, KernelError> {
        let there =
            scope::of(&self.place, Extent::Named, inode, &std::collections::BTreeSet::new())?;
        Ok(there.into_iter().filter(|process| !is_ours(process.pid)).collect())
    }

    /// The load, if it is where the target's processes are.
    fn in_place(&self, others: &[ProcessIdentity]) -> Option<Arc<Load>> {
        let load = self.state().load.clone()?;
        others.iter().any(|process| load.is_beside(process.pid)).then_some(load)
    }

    /// Makes room for the control group's end, which waits for everybody in it.
    fn leave(&self) -> Result<(), KernelError> {
        let Some(load) = self.state().load.take() else { return Ok(()) };
        let left = load.take_out();
        let mut state = self.state();
        state.before = sum(&state.before, &load.measure());
        left
    }
}

/// What was taken first and then.
fn sum(first: &StressEffect, then: &StressEffect) -> StressEffect {
    StressEffect {
        lasted: first.lasted + then.lasted,
        cpu: first.cpu + then.cpu,
        memory: first.memory.max(then.memory),
        memory_asked: then.memory_asked,
        written: first.written + then.written,
        read: first.read + then.read,
    }
}

impl Engaged for Moving {
    fn begin(&self, start: BootTime, end: BootTime) -> Result<(), KernelError> {
        let mut state = self.state();
        state.lease = Some((start, end));
        state.load.as_ref().map_or(Ok(()), |load| load.begin(start, end))
    }

    fn renew(&self, end: BootTime) -> Result<(), KernelError> {
        let mut state = self.state();
        let Some((start, _)) = state.lease.filter(|_| !state.over) else { return Ok(()) };
        state.lease = Some((start, end));
        // One whose container has ended is replaced with the whole lease.
        let _ = state.load.as_ref().map(|load| load.renew(end));
        Ok(())
    }

    fn end(&self) {
        let mut state = self.state();
        state.over = true;
        if let Some(load) = &state.load {
            load.end();
        }
    }

    fn lease(&self) -> Option<(BootTime, BootTime)> {
        let state = self.state();
        state.lease.filter(|_| !state.over)
    }

    fn follow(&self, inode: Inode<'_>) -> Result<(), KernelError> {
        let others = self.others(inode)?;
        if let Some(load) = self.in_place(&others) {
            return load.follow(inode);
        }
        self.leave()?;
        let now = boot_now();
        let lease = self.lease().filter(|(_, end)| now < *end);
        let Some((start, end)) = lease.filter(|_| !others.is_empty()) else { return Ok(()) };
        let load = Load::put_in(&self.program, &self.place, self.asked, inode)?;
        let mut state = self.state();
        // It may have been renewed or ended meanwhile.
        let (start, end) = state.lease.map_or((start, end), |(start, end)| (start.max(now), end));
        if !state.over {
            load.begin(start, end)?;
            state.load = Some(Arc::new(load));
        }
        Ok(())
    }

    fn look(&self, inode: Inode<'_>) -> Result<Coverage, KernelError> {
        let others = self.others(inode)?;
        if let Some(load) = self.in_place(&others) {
            return load.look(inode);
        }
        let state = self.state();
        let stays = state.load.is_some();
        Ok(Coverage {
            processes: others.len(),
            joined: if state.over { 0 } else { others.len() },
            left: usize::from(stays),
            ..Coverage::default()
        })
    }

    fn measured(&self) -> Measured {
        let state = self.state();
        let now = state.load.as_ref().map(|load| load.measure());
        Measured::Stress(now.map_or_else(|| state.before.clone(), |now| sum(&state.before, &now)))
    }

    fn take_out(&self) -> Result<(), KernelError> {
        self.end();
        self.leave()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_taken_before_counts() {
        let second = Duration::from_secs(1);
        let one = StressEffect {
            lasted: second,
            cpu: second,
            memory: 7,
            memory_asked: 9,
            written: 1,
            read: 2,
        };
        let other = StressEffect { memory: 5, memory_asked: 8, ..one.clone() };
        let both = sum(&one, &other);
        assert_eq!((both.lasted, both.cpu), (2 * second, 2 * second));
        assert_eq!((both.memory, both.memory_asked), (7, 8));
        assert_eq!((both.written, both.read), (2, 4));
    }
}

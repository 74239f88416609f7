//! One freeze: its holder, whom it is to hold, and what was seen of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fault::{BootTime, ClockEffect, Freeze, FreezeEffect, Measured, ProcessIdentity, Uncovered};

use super::holder::{self, Order, Report};
use super::standing::{self, Standing};
use crate::kernel::clock::{boot_now, scope};
use crate::kernel::engaged::{Engaged, Inode};
use crate::kernel::keeper::{Keeper, KeeperError};
use crate::kernel::{Coverage, KernelError, Place, Release, process};

/// How long a holder may take for an order before what came of it is read as it is (1 s).
const PATIENCE: Duration = Duration::from_secs(1);
/// How far ahead a start may be that is waited for (20 ms).
const SOON: Duration = Duration::from_millis(20);
/// How many processes one line names: as much as a pipe takes whole or not at all (PIPE_BUF, 4 kB).
const A_LINE: usize = 64;
/// How often is looked for processes that were born while the others were stopped.
const ROUNDS: usize = 8;

/// A freeze could not be made, or not be told.
#[derive(Debug, thiserror::Error)]
enum FreezeError {
    /// The holder could not be started or spoken to.
    #[error("{0}")]
    Keeper(#[from] KeeperError),
    /// Nobody could be held.
    #[error("{0}")]
    Nobody(String),
    /// Somebody is held still.
    #[error("the holder process has ended, and processes are held by it still")]
    Held,
}

impl From<FreezeError> for KernelError {
    fn from(error: FreezeError) -> Self {
        match error {
            FreezeError::Nobody(reason) => scope::refused(reason),
            FreezeError::Keeper(_) | FreezeError::Held => Self::Answer(error.to_string()),
        }
    }
}

/// One freeze. Whoever is held goes on when it is dropped.
#[derive(Debug)]
pub(in crate::kernel) struct Frozen {
    place: Place,
    freeze: Freeze,
    holder: Keeper,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lease: Option<(BootTime, BootTime)>,
    members: BTreeSet<ProcessIdentity>,
    left: BTreeMap<ProcessIdentity, Uncovered>,
    report: Report,
    /// When it was ended by us.
    over: Option<BootTime>,
    /// When the holder was found to have ended.
    gone: Option<BootTime>,
    seen: Standing,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frozen {
    /// Starts a holder, by a thread that has to live as long as it; everybody goes on until it begins.
    ///
    /// # Errors
    /// There is no process, or none that could be held.
    pub(in crate::kernel) fn put_in(
        program: &Path,
        place: &Place,
        freeze: Freeze,
        inode: Inode<'_>,
    ) -> Result<Self, KernelError> {
        let there = scope::of(place, freeze.extent, inode, &BTreeSet::new())?;
        if there.is_empty() {
            return Err(scope::nobody(&place.selector.scheme));
        }
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let heard = move |report| {
            match report {
                Some(report) => told.state().report = report,
                None => told.state().gone = Some(boot_now()),
            }
            told.changed.notify_all();
        };
        let holder = Keeper::start(program, holder::COMMAND, heard).map_err(FreezeError::from)?;
        let frozen = Self { place: place.clone(), freeze, holder, shared };
        frozen.cover(&there)?;
        Ok(frozen)
    }

    fn tell(&self, order: &Order) -> Result<u64, FreezeError> {
        Ok(self.holder.tell(order)?)
    }

    /// Waits until an order was carried out, or the holder has ended, or no longer.
    fn await_order(&self, number: u64) {
        let open = |state: &mut State| state.report.orders < number && state.gone.is_none();
        // Whatever came of it is read off the state.
        let _ = self.shared.changed.wait_timeout_while(self.shared.state(), PATIENCE, open);
    }

    /// Has these processes held, too, if they may be.
    ///
    /// # Errors
    /// The first that may not or cannot, if nobody is left to be held.
    fn cover(&self, there: &BTreeSet<ProcessIdentity>) -> Result<(), FreezeError> {
        let mut order = 0;
        let new = self.admit(there);
        for some in new.chunks(A_LINE) {
            let named = some.iter().map(|process| (process.pid, process.started));
            order = self.tell(&Order::Hold(named.collect()))?;
            self.await_order(order);
        }
        self.await_order(order);
        let mut state = self.shared.state();
        state.note_refused();
        state.members.retain(|process| process::is_alive(*process));
        match state.left.values().next() {
            Some(first) if state.members.is_empty() => {
                Err(FreezeError::Nobody(first.reason.clone()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Those who are new and may be held.
    fn admit(&self, there: &BTreeSet<ProcessIdentity>) -> Vec<ProcessIdentity> {
        let mut state = self.shared.state();
        let mut new = Vec::new();
        for process in there {
            if state.members.contains(process) || state.left.contains_key(process) {
                continue;
            }
            let name = scope::name(process.pid);
            match scope::indispensable(*process, &name) {
                Some(reason) => state.leave(*process, name, reason),
                None => {
                    state.members.insert(*process);
                    new.push(*process);
                }
            }
        }
        new
    }

    /// Looks whether everybody stands still.
    fn measure(&self) {
        let ahead = self.lease().map_or(Duration::ZERO, |(start, _)| start.since(boot_now()));
        if ahead <= SOON {
            thread::sleep(ahead);
        }
        let members = {
            let state = self.shared.state();
            if !state.acts(boot_now()) {
                return;
            }
            let busy = |state: &mut State| state.report.since == 0 && state.gone.is_none();
            let waited = self.shared.changed.wait_timeout_while(state, PATIENCE, busy);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.members.clone()
        };
        let seen = standing::look(&members, self.holder.pid());
        let mut state = self.shared.state();
        state.note_refused();
        if seen.stopped > 0 {
            state.seen = seen;
        }
    }

    /// The processes that are held.
    fn members(&self) -> BTreeSet<ProcessIdentity> {
        self.shared.state().members.clone()
    }

    /// What was seen so far.
    fn effect(&self) -> FreezeEffect {
        let state = self.shared.state();
        let (mut reached, mut held) = (Duration::ZERO, Duration::ZERO);
        if let Some((start, end)) = state.lease.filter(|_| state.report.since != 0) {
            let since = BootTime::from_nanos(state.report.since);
            let until = [state.over, state.gone, Some(boot_now())].into_iter().flatten().min();
            reached = since.since(start);
            held = until.unwrap_or(end).min(end).since(since);
        }
        FreezeEffect {
            processes: state.members.len(),
            threads: state.seen.threads.max(state.report.threads),
            stopped: state.seen.stopped,
            reached,
            held,
            uncovered: state.left.values().take(ClockEffect::NAMED).cloned().collect(),
        }
    }

    fn compare(&self, there: &BTreeSet<ProcessIdentity>) -> Coverage {
        let state = self.shared.state();
        if state.over.is_some() {
            return Coverage::default();
        }
        let now = boot_now();
        let known = |process: &&ProcessIdentity| {
            state.members.contains(process) || state.left.contains_key(process)
        };
        // What is over by its time is nobody's loss, whoever notices first.
        let end = state.lease.map_or(now, |(_, end)| end);
        let gone = state.gone.is_some_and(|gone| state.lease.is_none() || gone < end) && now < end;
        Coverage {
            processes: there.len(),
            joined: there.iter().filter(|process| !known(process)).count(),
            left: state.members.iter().filter(|process| !process::is_alive(**process)).count(),
            altered: BTreeSet::new(),
            unread: state.acts(now) && state.seen.stopped < state.report.threads.max(1),
            released: gone.then_some(Release::Ended),
            over: scope::is_nobody_left(&self.place.selector.scheme, there),
        }
    }
}

impl Engaged for Frozen {
    fn begin(&self, start: BootTime, end: BootTime) -> Result<(), KernelError> {
        self.tell(&Order::Begin { start: start.nanos(), end: end.nanos() })?;
        self.shared.state().lease = Some((start, end));
        Ok(())
    }

    fn renew(&self, end: BootTime) -> Result<(), KernelError> {
        let Some((start, _)) = self.lease() else { return Ok(()) };
        self.tell(&Order::Renew { end: end.nanos() })?;
        self.shared.state().lease = Some((start, end));
        Ok(())
    }

    fn end(&self) {
        let now = boot_now();
        self.shared.state().over.get_or_insert(now);
        self.holder.kill();
    }

    fn lease(&self) -> Option<(BootTime, BootTime)> {
        let state = self.shared.state();
        state.lease.filter(|_| state.over.is_none() && state.gone.is_none())
    }

    fn follow(&self, inode: Inode<'_>) -> Result<(), KernelError> {
        for _ in 0..ROUNDS {
            let known = self.members();
            self.cover(&scope::of(&self.place, self.freeze.extent, inode, &known)?)?;
            self.measure();
            if self.members() == known {
                break;
            }
        }
        Ok(())
    }

    fn look(&self, inode: Inode<'_>) -> Result<Coverage, KernelError> {
        let there = scope::of(&self.place, self.freeze.extent, inode, &self.members())?;
        Ok(self.compare(&there))
    }

    fn measured(&self) -> Measured {
        Measured::Freeze(self.effect())
    }

    fn take_out(&self) -> Result<(), KernelError> {
        self.end();
        self.holder.wait().map_err(FreezeError::from)?;
        let members = self.shared.state().members.clone();
        let held = standing::is_held(&members, self.holder.pid());
        if held { Err(FreezeError::Held.into()) } else { Ok(()) }
    }
}

impl State {
    fn acts(&self, now: BootTime) -> bool {
        self.lease.is_some_and(|(start, end)| start <= now && now < end)
            && self.over.is_none()
            && self.gone.is_none()
    }

    fn leave(&mut self, process: ProcessIdentity, name: String, reason: String) {
        self.members.remove(&process);
        self.left.insert(process, Uncovered { process, name, reason });
    }

    fn note_refused(&mut self) {
        for (pid, started, reason) in self.report.refused.clone() {
            let process = ProcessIdentity { pid, started };
            if !self.left.contains_key(&process) {
                self.leave(process, scope::name(pid), reason);
            }
        }
    }
}

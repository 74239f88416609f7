//! One freeze: its holder, whom it is to hold, and what was seen of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fault::{BootTime, ClockEffect, Freeze, FreezeEffect, ProcessIdentity, Uncovered};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::holder::{self, Order, Report};
use super::standing::{self, Standing};
use crate::kernel::clock::holder::COMMAND;
use crate::kernel::clock::{boot_now, scope};
use crate::kernel::{Coverage, Place, process};

/// How long a holder may take for an order before what came of it is read as it is (1 s).
const PATIENCE: Duration = Duration::from_secs(1);
/// How far ahead a start may be that is waited for (20 ms).
const SOON: Duration = Duration::from_millis(20);
/// How many processes one line names: as much as a pipe takes whole or not at all (PIPE_BUF, 4 kB).
const A_LINE: usize = 64;

/// A freeze could not be made, or not be told.
#[derive(Debug, thiserror::Error)]
pub(in crate::kernel) enum FreezeError {
    /// The holder could not be started or spoken to.
    #[error("{what} the holder process: {source}")]
    Process {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It has ended, and holds nobody any more.
    #[error("the holder process has ended")]
    Ended,
    /// Nobody could be held.
    #[error("{0}")]
    Nobody(String),
    /// Somebody is held still.
    #[error("the holder process has ended, and processes are held by it still")]
    Held,
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> FreezeError {
    move |source| FreezeError::Process { what, source }
}

/// One freeze. Whoever is held goes on when it is dropped.
#[derive(Debug)]
pub(in crate::kernel) struct Frozen {
    pub(super) place: Place,
    pub(super) freeze: Freeze,
    holder: u32,
    hands: Mutex<Hands>,
    shared: Arc<Shared>,
}

/// What tells the holder.
#[derive(Debug)]
struct Hands {
    child: Child,
    stdin: ChildStdin,
    orders: u64,
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
    /// Starts a holder, by a thread that has to live as long as it.
    pub(super) fn start(program: &Path, place: Place, freeze: Freeze) -> Result<Self, FreezeError> {
        let mut child = Command::new(program)
            .args([COMMAND, holder::COMMAND])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(failed("start"))?;
        let holder = child.id();
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else { return Err(FreezeError::Ended) };
        // A holder that is stopped reads nothing: nobody waits for that.
        fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| failed("speak to")(errno.into()))?;
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        thread::Builder::new()
            .name("schism-frozen".to_owned())
            .spawn(move || listen(stdout, &told))
            .map_err(failed("listen to"))?;
        let hands = Mutex::new(Hands { child, stdin, orders: 0 });
        Ok(Self { place, freeze, holder, hands, shared })
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the holder; waits for nobody. The number of the order comes back.
    fn tell(&self, order: &Order) -> Result<u64, FreezeError> {
        let mut line = serde_json::to_vec(order).map_err(|e| failed("tell")(e.into()))?;
        line.push(b'\n');
        let mut hands = self.hands();
        hands.stdin.write_all(&line).map_err(|error| {
            let ended = error.kind() == io::ErrorKind::BrokenPipe;
            if ended { FreezeError::Ended } else { failed("tell")(error) }
        })?;
        hands.orders += 1;
        Ok(hands.orders)
    }

    /// Waits until an order was carried out, or the holder has ended, or no longer.
    fn await_order(&self, number: u64) {
        let open = |state: &mut State| state.report.orders < number && state.gone.is_none();
        // Whatever came of it is read off the state.
        let _ = self.shared.changed.wait_timeout_while(self.shared.state(), PATIENCE, open);
    }

    /// Has it begin and end then. Waits for nobody.
    ///
    /// # Errors
    /// The holder cannot be told.
    pub(in crate::kernel) fn begin(
        &self,
        start: BootTime,
        end: BootTime,
    ) -> Result<(), FreezeError> {
        self.tell(&Order::Begin { start: start.nanos(), end: end.nanos() })?;
        self.shared.state().lease = Some((start, end));
        Ok(())
    }

    /// Moves its end. Waits for nobody.
    ///
    /// # Errors
    /// The holder cannot be told.
    pub(in crate::kernel) fn renew(&self, end: BootTime) -> Result<(), FreezeError> {
        let Some((start, _)) = self.lease() else { return Ok(()) };
        self.tell(&Order::Renew { end: end.nanos() })?;
        self.shared.state().lease = Some((start, end));
        Ok(())
    }

    /// Lets everybody go. Waits for nobody.
    pub(in crate::kernel) fn end(&self) {
        let now = boot_now();
        self.shared.state().over.get_or_insert(now);
        // SIGKILL; one that has ended needs none.
        let _ = self.hands().child.kill();
    }

    /// From when to when it acts, as its holder was told; nothing if that has ended.
    pub(in crate::kernel) fn lease(&self) -> Option<(BootTime, BootTime)> {
        let state = self.shared.state();
        state.lease.filter(|_| state.over.is_none() && state.gone.is_none())
    }

    /// Has these processes held, too, if they may be.
    ///
    /// # Errors
    /// The first that may not or cannot, if nobody is left to be held.
    pub(super) fn cover(&self, there: &BTreeSet<ProcessIdentity>) -> Result<(), FreezeError> {
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
    pub(super) fn measure(&self) {
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
        let seen = standing::look(&members, self.holder);
        let mut state = self.shared.state();
        state.note_refused();
        if seen.stopped > 0 {
            state.seen = seen;
        }
    }

    /// The processes that are held.
    pub(super) fn pids(&self) -> BTreeSet<u32> {
        self.shared.state().members.iter().map(|process| process.pid).collect()
    }

    /// Compares who is held with the processes that there are; changes nothing.
    pub(super) fn look(&self, there: &BTreeSet<ProcessIdentity>) -> Coverage {
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
            released: gone,
        }
    }

    /// What was seen so far.
    pub(super) fn effect(&self) -> FreezeEffect {
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

    /// Makes sure that everybody has been let go of.
    ///
    /// # Errors
    /// Somebody has not.
    pub(super) fn take_out(&self) -> Result<(), FreezeError> {
        self.end();
        self.hands().child.wait().map_err(failed("wait for"))?;
        let members = self.shared.state().members.clone();
        if standing::is_held(&members, self.holder) { Err(FreezeError::Held) } else { Ok(()) }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.end();
        // It is dead or about to be; otherwise it would be listed until we end.
        let _ = self.hands().child.wait();
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

/// Keeps the latest report of a holder until that ends.
fn listen(stdout: ChildStdout, shared: &Shared) {
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        if let Ok(report) = serde_json::from_slice(&line) {
            shared.state().report = report;
            shared.changed.notify_all();
        }
    }
    shared.state().gone = Some(boot_now());
    shared.changed.notify_all();
}

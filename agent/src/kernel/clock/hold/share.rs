//! The threads that one thread of a holder traces: only that one may ask anything of them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::urgency::{Ticks, Urgent};
use super::{HoldError, LONGEST, Look, called, state, tracer};

/// How long to let threads run that are to leave some place (20 µs): it takes them less than one, once they
/// are on a processor.
const MOMENT: Duration = Duration::from_micros(20);

/// What a thread of a holder is told to do with those that it traces.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Trace these as well.
    Seize(Vec<Pid>),
    /// Come before everybody else from now on.
    Hurry,
    /// Stop those that run, and look at each. Since when the first may stand still.
    Stop(Instant),
    /// Of these, let those go on for a moment that stand still for us, and look at them again.
    Nudge(Vec<Pid>, Instant),
    /// Of these, have each go on with other registers.
    Move(Vec<(Pid, libc::user_regs_struct)>),
    /// Let all go on.
    LetGo,
}

/// What came of an order.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// So many are traced that were not before.
    Seized(usize),
    /// What the look at each showed.
    Looked(Vec<(Pid, T)>),
    /// It is done.
    Done,
}

impl<T> Answer<T> {
    pub(super) fn looked(self) -> Vec<(Pid, T)> {
        match self {
            Self::Looked(looked) => looked,
            Self::Seized(_) | Self::Done => Vec::new(),
        }
    }

    pub(super) const fn seized(&self) -> usize {
        match self {
            Self::Seized(count) => *count,
            Self::Looked(_) | Self::Done => 0,
        }
    }
}

/// What a thread has stopped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// For us.
    Ours,
    /// With its whole process, before we came.
    Group,
    /// For a signal on its way to it, which it is to get when it goes on.
    Signal(Signal),
}

impl Stop {
    const fn signal(self) -> Option<Signal> {
        match self {
            Self::Ours | Self::Group => None,
            Self::Signal(signal) => Some(signal),
        }
    }
}

/// Threads of a process, traced by the thread that made this. They go on when it is dropped.
pub(super) struct Share<'s, T> {
    pid: u32,
    look: Look<'s, T>,
    running: Vec<Pid>,
    standing: BTreeMap<Pid, Stop>,
    hurry: Option<(Ticks, Urgent)>,
}

impl<'s, T> Share<'s, T> {
    pub(super) const fn new(pid: u32, look: Look<'s, T>) -> Self {
        Self { pid, look, running: Vec::new(), standing: BTreeMap::new(), hurry: None }
    }

    pub(super) fn perform(&mut self, order: Order) -> Result<Answer<T>, HoldError> {
        match order {
            Order::Seize(threads) => self.seize(&threads).map(Answer::Seized),
            Order::Hurry => {
                self.hurry = Some((Ticks::begin()?, Urgent::begin()));
                Ok(Answer::Done)
            }
            Order::Stop(since) => self.stop(since).map(Answer::Looked),
            Order::Nudge(threads, since) => self.nudge(&threads, since).map(Answer::Looked),
            Order::Move(moves) => {
                let ours = |(thread, _): &&(Pid, _)| self.standing.contains_key(thread);
                for (thread, registers) in moves.iter().filter(ours) {
                    // One that was killed goes nowhere.
                    let _ = ptrace::setregs(*thread, *registers);
                }
                Ok(Answer::Done)
            }
            Order::LetGo => {
                self.let_go();
                Ok(Answer::Done)
            }
        }
    }

    fn seize(&mut self, threads: &[Pid]) -> Result<usize, HoldError> {
        let before = self.running.len();
        for thread in threads {
            if seize(self.pid, *thread)? {
                self.running.push(*thread);
            }
        }
        Ok(self.running.len() - before)
    }

    fn stop(&mut self, since: Instant) -> Result<Vec<(Pid, T)>, HoldError> {
        let mut running = std::mem::take(&mut self.running);
        // One that has ended says so to whoever waits.
        running.retain(|thread| ptrace::interrupt(*thread).is_ok());
        self.collect(&running, since)
    }

    /// Those that stopped with their process, or for a signal, stay as they are.
    fn nudge(&mut self, threads: &[Pid], since: Instant) -> Result<Vec<(Pid, T)>, HoldError> {
        let ours = |thread: &&Pid| self.standing.get(thread) == Some(&Stop::Ours);
        let gone_on = |thread: &&Pid| ptrace::cont(**thread, None).is_ok();
        let nudged: Vec<Pid> = threads.iter().filter(ours).filter(gone_on).copied().collect();
        if nudged.is_empty() {
            return Ok(Vec::new());
        }
        // That they have run makes no event.
        thread::sleep(MOMENT);
        for thread in &nudged {
            self.standing.remove(thread);
            // One that has ended says so to whoever waits.
            let _ = ptrace::interrupt(*thread);
        }
        self.collect(&nudged, since)
    }

    /// Waits for threads that were interrupted, and looks at each while others still come to a stop.
    fn collect(&mut self, threads: &[Pid], since: Instant) -> Result<Vec<(Pid, T)>, HoldError> {
        let mut looked = Vec::with_capacity(threads.len());
        for thread in threads {
            if let Some(stop) = self.await_stop(*thread, since)? {
                self.standing.insert(*thread, stop);
                looked.push((*thread, (self.look)(*thread)));
            }
        }
        Ok(looked)
    }

    fn await_stop(&self, thread: Pid, since: Instant) -> Result<Option<Stop>, HoldError> {
        loop {
            match wait(thread)? {
                Polled::Stopped(stop) => return Ok(Some(stop)),
                Polled::Ended => return Ok(None),
                Polled::Running if since.elapsed() < LONGEST => {}
                Polled::Running => {
                    let state = state(self.pid, thread);
                    return Err(HoldError::Unstoppable { thread: thread.as_raw(), state });
                }
            }
        }
    }

    fn let_go(&mut self) {
        for (thread, stop) in std::mem::take(&mut self.standing) {
            // One that was killed meanwhile needs no leave.
            let _ = ptrace::detach(thread, stop.signal());
        }
    }
}

impl<T> Drop for Share<'_, T> {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Seizes a thread that is there.
fn seize(pid: u32, thread: Pid) -> Result<bool, HoldError> {
    match ptrace::seize(thread, Options::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => match (tracer(pid, thread), state(pid, thread)) {
            (Some(tracer), _) => Err(HoldError::Traced(tracer)),
            // A first thread that has ended waits for the others; one that ends is gone.
            (None, 'Z' | 'X' | '?') => Ok(false),
            (None, _) => Err(called("PTRACE_SEIZE", thread)(errno)),
        },
    }
}

/// How a thread stands.
enum Polled {
    Running,
    Stopped(Stop),
    Ended,
}

/// Waits for one thread, and is woken by no other.
fn wait(thread: Pid) -> Result<Polled, HoldError> {
    match waitpid(thread, Some(WaitPidFlag::__WALL)) {
        Ok(WaitStatus::PtraceEvent(_, Signal::SIGTRAP, _) | WaitStatus::PtraceSyscall(_)) => {
            Ok(Polled::Stopped(Stop::Ours))
        }
        Ok(WaitStatus::PtraceEvent(..)) => Ok(Polled::Stopped(Stop::Group)),
        Ok(WaitStatus::Stopped(_, signal)) => Ok(Polled::Stopped(Stop::Signal(signal))),
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => {
            Ok(Polled::Ended)
        }
        // A tick.
        Ok(WaitStatus::Continued(_) | WaitStatus::StillAlive) | Err(Errno::EINTR) => {
            Ok(Polled::Running)
        }
        Err(errno) => Err(called("waitpid", thread)(errno)),
    }
}

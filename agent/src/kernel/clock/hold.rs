//! All threads of a process, standing still for some milliseconds.
//!
//! PTRACE_SEIZE while they run, PTRACE_INTERRUPT all, wait for all by their ids. The kernel lets them go when
//! the holding thread ends, however it ends. Signals that arrive meanwhile are delivered afterwards, and a
//! process that was stopped stays stopped.
#![expect(unsafe_code, reason = "sigtimedwait and the scheduling policy have no safe form")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long threads stand still at most (100 ms), from the first that stops to the last that goes on.
pub const LONGEST: Duration = Duration::from_millis(100);
/// Above everything that is not real-time itself; threads of the kernel for RT work keep their place.
const PRIORITY: i32 = 40;

/// A process could not be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// It is not there, or has ended.
    #[error("the process is not there any more")]
    Gone,
    /// Somebody else holds it: only one may.
    #[error("process {0} traces it already")]
    Traced(u32),
    /// A system call failed.
    #[error("{call} of thread {thread}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// On which thread.
        thread: i32,
        /// Why.
        source: io::Error,
    },
    /// A thread did not stop in time. Nobody goes on before this process ends.
    #[error("thread {thread} (state {state}) does not stop in time")]
    Unstoppable {
        /// Which.
        thread: i32,
        /// As in /proc: D waits for a device.
        state: char,
    },
}

/// A thread that stands still.
#[derive(Debug)]
struct Thread {
    id: Pid,
    /// What it stopped for, to be delivered when it goes on.
    signal: Option<Signal>,
}

/// A process whose threads all stand still. They go on when this is dropped.
#[derive(Debug)]
pub struct Held {
    threads: Vec<Thread>,
    since: Instant,
    _urgent: Urgent,
}

impl Held {
    /// Holds all threads of a process.
    ///
    /// # Errors
    /// Why not. After [`HoldError::Unstoppable`] only the end of this process lets all of them go.
    pub fn hold(pid: u32) -> Result<Self, HoldError> {
        let waits = children()?;
        let mut known = BTreeSet::new();
        // While it still runs, as this takes the longest.
        while seize_new(pid, &mut known)? > 0 {}

        let urgent = Urgent::begin();
        let since = Instant::now();
        let mut held = Self { threads: Vec::new(), since, _urgent: urgent };
        let mut running: BTreeSet<Pid> = known.clone();
        while !running.is_empty() {
            running.retain(|thread| ptrace::interrupt(*thread).is_ok());
            for thread in std::mem::take(&mut running) {
                loop {
                    match poll(thread)? {
                        Polled::Stopped(signal) => {
                            held.threads.push(Thread { id: thread, signal });
                            break;
                        }
                        Polled::Ended => break,
                        Polled::Running => {}
                    }
                    let left = LONGEST.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        return Err(unstoppable(pid, thread));
                    }
                    sleep_until_child(&waits, left);
                }
            }
            // Who was not stopped yet may have made another.
            let before = known.clone();
            seize_new(pid, &mut known)?;
            running = known.difference(&before).copied().collect();
        }
        if held.threads.is_empty() { Err(HoldError::Gone) } else { Ok(held) }
    }

    /// The threads.
    pub fn threads(&self) -> impl Iterator<Item = Pid> {
        self.threads.iter().map(|thread| thread.id)
    }

    /// How long it has been standing still.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.since.elapsed()
    }

    /// Lets all go on, and says how long they stood still.
    #[must_use]
    pub fn release(mut self) -> Duration {
        self.let_go();
        self.since.elapsed()
    }

    fn let_go(&mut self) {
        for thread in self.threads.drain(..) {
            // One that was killed meanwhile needs no leave.
            let _ = ptrace::detach(thread.id, thread.signal);
        }
    }
}

/// Looks at threads as each of them stops, and lets it go on at once: nobody waits for another.
///
/// # Errors
/// As of [`Held::hold`], but that there is time until `until`.
pub fn visit(
    pid: u32,
    threads: impl IntoIterator<Item = Pid>,
    until: Instant,
    mut look: impl FnMut(Pid),
) -> Result<(), HoldError> {
    let waits = children()?;
    let mut running = BTreeSet::new();
    for thread in threads {
        seize(pid, thread, &mut running)?;
    }
    let _urgent = Urgent::begin();
    for thread in &running {
        // One that has ended says so to whoever waits.
        let _ = ptrace::interrupt(*thread);
    }
    loop {
        for thread in running.clone() {
            match poll(thread)? {
                Polled::Running => continue,
                Polled::Stopped(signal) => {
                    look(thread);
                    // As above.
                    let _ = ptrace::detach(thread, signal);
                }
                Polled::Ended => {}
            }
            running.remove(&thread);
        }
        let Some(slowest) = running.first() else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(unstoppable(pid, *slowest));
        }
        sleep_until_child(&waits, left.min(LONGEST));
    }
}

/// What tells that some thread has changed its state; from now on it waits to be asked for.
pub(in crate::kernel) fn children() -> Result<SigSet, HoldError> {
    let mut waits = SigSet::empty();
    waits.add(Signal::SIGCHLD);
    waits.thread_block().map_err(called("sigprocmask", Pid::this()))?;
    Ok(waits)
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn called(call: &'static str, thread: Pid) -> impl FnOnce(Errno) -> HoldError {
    move |errno| HoldError::Call { call, thread: thread.as_raw(), source: errno.into() }
}

/// Seizes the threads that are not known yet; says how many there were.
fn seize_new(pid: u32, known: &mut BTreeSet<Pid>) -> Result<usize, HoldError> {
    let mut count = 0;
    for thread in threads(pid)? {
        if !known.contains(&thread) && seize(pid, thread, known)? {
            count += 1;
        }
    }
    Ok(count)
}

/// Seizes a thread that is there.
fn seize(pid: u32, thread: Pid, known: &mut BTreeSet<Pid>) -> Result<bool, HoldError> {
    match ptrace::seize(thread, Options::empty()) {
        Ok(()) => Ok(known.insert(thread)),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => match (tracer(pid, thread), state(pid, thread)) {
            (Some(tracer), _) => Err(HoldError::Traced(tracer)),
            // A first thread that has ended waits for the others; one that ends is gone.
            (None, 'Z' | 'X' | '?') => Ok(false),
            (None, _) => Err(called("PTRACE_SEIZE", thread)(errno)),
        },
    }
}

/// The threads of a process.
///
/// # Errors
/// It is not there.
pub fn threads(pid: u32) -> Result<Vec<Pid>, HoldError> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| HoldError::Gone)?;
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(ids.map(Pid::from_raw).collect())
}

/// Who traces a thread already.
pub(in crate::kernel) fn tracer(pid: u32, thread: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|tracer| *tracer != 0)
}

/// The state of a thread as /proc has it; `?` for one that is not there.
pub(in crate::kernel) fn state(pid: u32, thread: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat"));
    stat.ok()
        .and_then(|stat| {
            stat.rsplit_once(')').and_then(|(_, tail)| tail.trim_start().chars().next())
        })
        .unwrap_or('?')
}

/// How a thread stands.
enum Polled {
    Running,
    /// With the signal that it is to be told when it goes on.
    Stopped(Option<Signal>),
    Ended,
}

fn poll(thread: Pid) -> Result<Polled, HoldError> {
    match waitpid(thread, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
        // Our interruption, or a stop of the whole process that was there before.
        Ok(WaitStatus::PtraceEvent(..) | WaitStatus::PtraceSyscall(_)) => Ok(Polled::Stopped(None)),
        // A signal on its way to it came first.
        Ok(WaitStatus::Stopped(_, signal)) => Ok(Polled::Stopped(Some(signal))),
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => {
            Ok(Polled::Ended)
        }
        Ok(WaitStatus::Continued(_) | WaitStatus::StillAlive) | Err(Errno::EINTR) => {
            Ok(Polled::Running)
        }
        Err(errno) => Err(called("waitpid", thread)(errno)),
    }
}

fn unstoppable(pid: u32, thread: Pid) -> HoldError {
    HoldError::Unstoppable { thread: thread.as_raw(), state: state(pid, thread) }
}

/// Sleeps until some thread has changed its state, or so long.
pub(in crate::kernel) fn sleep_until_child(waits: &SigSet, most: Duration) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
    // SAFETY: the set and the time live through the call; nothing is to be told of the signal. That it ends
    // early or with an error only makes the caller look again.
    unsafe { libc::sigtimedwait(waits.as_ref(), std::ptr::null_mut(), &raw const time) };
}

/// Runs before everybody else, so that a hold takes as long as it must.
///
/// A holder without the right to it (no CAP_SYS_NICE, a control group without real-time) goes on as it is.
#[derive(Debug)]
pub(in crate::kernel) struct Urgent;

impl Urgent {
    pub(in crate::kernel) fn begin() -> Self {
        schedule(libc::SCHED_FIFO, PRIORITY);
        Self
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        schedule(libc::SCHED_OTHER, 0);
    }
}

fn schedule(policy: i32, priority: i32) {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameters live through the call, which concerns the calling thread only.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
}

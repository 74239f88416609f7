//! All threads of a process, standing still for some milliseconds.
//!
//! PTRACE_SEIZE while they run, PTRACE_INTERRUPT all, wait for all by their ids. The kernel lets them go when
//! the holding thread ends, however it ends. Signals that arrive meanwhile are delivered afterwards, and a
//! process that was stopped stays stopped.
#![expect(unsafe_code, reason = "a handler and scheduling have no safe form")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{
    SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction,
};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::ClockId;
use nix::unistd::Pid;

/// How long threads stand still at most (100 ms), from the first that stops to the last that goes on.
pub const LONGEST: Duration = Duration::from_millis(100);
/// How long to let threads run that are to leave some place (20 µs): it takes them less than one, once they
/// are on a processor.
const MOMENT: Duration = Duration::from_micros(20);
/// Above everything that is not real-time itself; threads of the kernel for RT work keep their place.
const PRIORITY: i32 = 40;
/// Above ordinary processes only.
const LOW_PRIORITY: i32 = 1;

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

/// A process whose threads all stand still. They go on when this is dropped.
#[derive(Debug)]
pub struct Held {
    threads: BTreeMap<Pid, Stop>,
    since: Instant,
    _guard: Guard,
    _urgent: Urgent,
}

impl Held {
    /// Holds all threads of a process, and looks at each as soon as it has stopped, while others still come
    /// to a stop on other processors.
    ///
    /// # Errors
    /// Why not. After [`HoldError::Unstoppable`] only the end of this process lets all of them go.
    pub fn hold(pid: u32, mut look: impl FnMut(Pid)) -> Result<Self, HoldError> {
        let directory = File::open(format!("/proc/{pid}/task")).map_err(|_| HoldError::Gone)?;
        let mut known = BTreeSet::new();
        // While it still runs, as this takes the longest.
        while seize_new(pid, &mut known)? > 0 {}
        let _ticks = Ticks::begin()?;

        let (guard, urgent) = (Guard::begin()?, Urgent::begin());
        let since = Instant::now();
        let mut held = Self { threads: BTreeMap::new(), since, _guard: guard, _urgent: urgent };
        let mut running: Vec<Pid> = known.iter().copied().collect();
        while !running.is_empty() {
            running.retain(|thread| ptrace::interrupt(*thread).is_ok());
            for thread in std::mem::take(&mut running) {
                held.collect(pid, thread, &mut look)?;
            }
            // Who was not stopped yet may have made another. A directory has two links more than it holds.
            let there = directory.metadata().map_err(|_| HoldError::Gone)?.nlink();
            if usize::try_from(there).is_ok_and(|there| there == held.threads.len() + 2) {
                break;
            }
            let before = known.clone();
            seize_new(pid, &mut known)?;
            running = known.difference(&before).copied().collect();
        }
        if held.threads.is_empty() { Err(HoldError::Gone) } else { Ok(held) }
    }

    /// Waits for a thread that was interrupted.
    fn collect(
        &mut self,
        pid: u32,
        thread: Pid,
        look: &mut impl FnMut(Pid),
    ) -> Result<(), HoldError> {
        loop {
            match wait(thread)? {
                Polled::Stopped(stop) => {
                    self.threads.insert(thread, stop);
                    look(thread);
                    return Ok(());
                }
                Polled::Ended => return Ok(()),
                Polled::Running if self.since() < LONGEST => {}
                Polled::Running => return Err(unstoppable(pid, thread)),
            }
        }
    }

    /// Lets some threads go on for a moment, while all others stand still, and looks at them again. Those
    /// that stopped with their process, or for a signal, stay as they are.
    ///
    /// # Errors
    /// As of [`Self::hold`].
    pub fn nudge(
        &mut self,
        pid: u32,
        threads: &[Pid],
        mut look: impl FnMut(Pid),
    ) -> Result<(), HoldError> {
        let ours = |thread: &&Pid| self.threads.get(thread) == Some(&Stop::Ours);
        let gone_on = |thread: &&Pid| ptrace::cont(**thread, None).is_ok();
        let nudged: Vec<Pid> = threads.iter().filter(ours).filter(gone_on).copied().collect();
        if nudged.is_empty() {
            return Ok(());
        }
        // That they have run makes no event.
        thread::sleep(MOMENT);
        for thread in &nudged {
            self.threads.remove(thread);
            // One that has ended says so to whoever waits.
            let _ = ptrace::interrupt(*thread);
        }
        nudged.into_iter().try_for_each(|thread| self.collect(pid, thread, &mut look))
    }

    /// The threads.
    pub fn threads(&self) -> impl Iterator<Item = Pid> {
        self.threads.keys().copied()
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
        for (thread, stop) in std::mem::take(&mut self.threads) {
            // One that was killed meanwhile needs no leave.
            let _ = ptrace::detach(thread, stop.signal());
        }
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

fn unstoppable(pid: u32, thread: Pid) -> HoldError {
    HoldError::Unstoppable { thread: thread.as_raw(), state: state(pid, thread) }
}

/// Interrupts whoever waits, every millisecond: no wait lasts longer.
#[derive(Debug)]
struct Ticks {
    _timer: Timer,
}

impl Ticks {
    const EVERY: Duration = Duration::from_millis(1);

    fn begin() -> Result<Self, HoldError> {
        extern "C" fn nothing(_: libc::c_int) {}
        let own = Pid::this();
        let action =
            SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing, which it may do at any time.
        unsafe { sigaction(Signal::SIGALRM, &action) }.map_err(called("sigaction", own))?;
        let timer = timer(Signal::SIGALRM, Expiration::Interval(Self::EVERY.into()))?;
        Ok(Self { _timer: timer })
    }
}

/// Has the kernel kill this process if it stands still itself: whom it holds would stand still as long.
#[derive(Debug)]
struct Guard {
    _timer: Timer,
}

impl Guard {
    const AFTER: Duration = LONGEST.saturating_mul(2);

    fn begin() -> Result<Self, HoldError> {
        let timer = timer(Signal::SIGKILL, Expiration::OneShot(Self::AFTER.into()))?;
        Ok(Self { _timer: timer })
    }
}

fn timer(signal: Signal, expiration: Expiration) -> Result<Timer, HoldError> {
    let event = SigEvent::new(SigevNotify::SigevSignal { signal, si_value: 0 });
    let timer = Timer::new(ClockId::CLOCK_BOOTTIME, event);
    let mut timer = timer.map_err(called("timer_create", Pid::this()))?;
    let set = timer.set(expiration, TimerSetTimeFlags::empty());
    set.map_err(called("timer_settime", Pid::this()))?;
    Ok(timer)
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
        schedule(PRIORITY);
        Self
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        schedule(LOW_PRIORITY);
    }
}

/// Lets this process be served before ordinary ones for all of its life, which is short: beside a thousand
/// busy threads it would wait for seconds until it comes to hold them. The kernel kills it where it takes
/// the processor for [`LONGEST`] twice over without a pause. Without the right to it, it waits.
pub fn hurry() {
    let most = libc::rlim_t::try_from(2 * LONGEST.as_micros()).unwrap_or(libc::RLIM_INFINITY);
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the limit lives through the call, which concerns this process only.
    if unsafe { libc::setrlimit(libc::RLIMIT_RTTIME, &raw const limit) } == 0 {
        schedule(LOW_PRIORITY);
    }
}

/// Lets the calling thread come after the others of its process: for those that only keep processors busy
/// while something else is measured. By so many steps of niceness.
pub fn give_way(by: i32) {
    // SAFETY: plain numbers; they concern the calling thread only.
    unsafe {
        let now = libc::getpriority(libc::PRIO_PROCESS, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, now + by);
    }
}

fn schedule(priority: i32) {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameters live through the call, which concerns the calling thread only.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
}

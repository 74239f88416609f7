//! That a hold takes as long as it must: before whom a holder runs, and what ends its waits and itself.
#![expect(unsafe_code, reason = "a handler and scheduling have no safe form")]

use std::time::Duration;

use nix::sys::signal::{
    SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction,
};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::{Pid, gettid};

use super::{HoldError, LONGEST, called};

/// Above everything that is not real-time itself; threads of the kernel for RT work keep their place.
const PRIORITY: i32 = 40;
/// Above ordinary processes only.
const LOW_PRIORITY: i32 = 1;

/// Interrupts the thread that began it when it waits, every millisecond: no wait lasts longer.
#[derive(Debug)]
pub(super) struct Ticks {
    _timer: Timer,
}

impl Ticks {
    const EVERY: Duration = Duration::from_millis(1);

    pub(super) fn begin() -> Result<Self, HoldError> {
        extern "C" fn nothing(_: libc::c_int) {}
        let own = Pid::this();
        let action =
            SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing, which it may do at any time.
        unsafe { sigaction(Signal::SIGALRM, &action) }.map_err(called("sigaction", own))?;
        // `nix` knows threads as addressees only with glibc.
        let alarm = SigevNotify::SigevSignal { signal: Signal::SIGALRM, si_value: 0 };
        let mut here = SigEvent::new(alarm).sigevent();
        here.sigev_notify = libc::SIGEV_THREAD_ID;
        here.sigev_notify_thread_id = gettid().as_raw();
        let timer = timer(SigEvent::from(&here), Expiration::Interval(Self::EVERY.into()))?;
        Ok(Self { _timer: timer })
    }
}

/// Has the kernel kill this process if it stands still itself: whom it holds would stand still as long.
#[derive(Debug)]
pub(super) struct Guard {
    _timer: Timer,
}

impl Guard {
    const AFTER: Duration = LONGEST.saturating_mul(2);

    pub(super) fn begin() -> Result<Self, HoldError> {
        let death = SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 };
        let timer = timer(SigEvent::new(death), Expiration::OneShot(Self::AFTER.into()))?;
        Ok(Self { _timer: timer })
    }
}

fn timer(event: SigEvent, expiration: Expiration) -> Result<Timer, HoldError> {
    let timer = Timer::new(ClockId::CLOCK_BOOTTIME, event);
    let mut timer = timer.map_err(called("timer_create", Pid::this()))?;
    let set = timer.set(expiration, TimerSetTimeFlags::empty());
    set.map_err(called("timer_settime", Pid::this()))?;
    Ok(timer)
}

/// Has the thread that began it run before everybody else, so that a hold takes as long as it must.
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
    // By its number (sched_setscheduler(2)): musl has a function of that name that always refuses. What it takes is
    // one int.
    // SAFETY: the priority lives through the call, which concerns the calling thread only.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &raw const priority)
    };
}

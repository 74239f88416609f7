//! What tells a holder that some thread has changed its state.
#![expect(unsafe_code, reason = "waiting for a signal has no safe form")]

use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

use super::{HoldError, called};

/// What tells that some thread has changed its state; from now on it waits to be asked for.
pub(in crate::kernel) fn children() -> Result<SigSet, HoldError> {
    let mut waits = SigSet::empty();
    waits.add(Signal::SIGCHLD);
    waits.thread_block().map_err(called("sigprocmask", Pid::this()))?;
    Ok(waits)
}

/// Sleeps until some thread has changed its state, or so long.
pub(in crate::kernel) fn sleep_until_child(waits: &SigSet, most: Duration) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
    // SAFETY: the set and the time live through the call; nothing is to be told of the signal. That it ends
    // early or with an error only makes the caller look again.
    unsafe { libc::sigtimedwait(waits.as_ref(), std::ptr::null_mut(), &raw const time) };
}

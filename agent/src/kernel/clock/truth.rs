//! Clocks as the kernel has them: by system call, past any vDSO.
#![expect(unsafe_code, reason = "a system call that libraries make through the vDSO")]

use std::io;

/// The time of a clock (ns), by its number.
///
/// # Errors
/// There is no such clock.
pub fn read(clock: i32) -> io::Result<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    if result == 0 {
        Ok(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
    } else {
        Err(io::Error::last_os_error())
    }
}

//! The one clock that leases are timed by, and the boot that it counts; and the clocks of others.

#[cfg(test)]
mod copied;
#[cfg(test)]
mod planned;
#[cfg(test)]
mod stub;

mod caretaker;
mod claim;
pub mod covered;
pub(in crate::kernel) mod deputy;
pub mod hold;
pub mod holder;
pub mod memory;
pub mod probe;
pub mod record;
pub mod recovery;
pub mod register;
mod restoring;
pub mod scope;
pub mod shown;
pub mod skewed;
pub mod subject;
pub mod swap;
pub mod truth;
pub mod vdso;

use std::io;

use fault::{BootId, BootTime};
use nix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME, which the programs read as `bpf_ktime_get_boot_ns`. Zero if the kernel has none, which
/// no kernel since 2.6.39 is.
#[must_use]
pub fn boot_now() -> BootTime {
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return BootTime::default() };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    BootTime::from_nanos(seconds * 1_000_000_000 + nanos)
}

/// Which boot this is.
///
/// # Errors
/// /proc is not there.
pub fn boot_id() -> io::Result<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    BootId::parse(&text).ok_or_else(|| io::Error::other("boot_id is no UUID"))
}

//! Clocks as programs have them: by the C library, and so through the vDSO, whatever stands there.
#![expect(
    unsafe_code,
    reason = "of the C library, as programs call it: there is no safe form of time()"
)]

/// The time of a clock (ns), by its number; `None` if there is no such clock.
#[must_use]
pub fn read(clock: i32) -> Option<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (result == 0).then(|| time.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec))
}

/// What `time()` says (s).
#[must_use]
pub fn seconds() -> i64 {
    // SAFETY: without a place for the answer, nothing is written.
    unsafe { libc::time(std::ptr::null_mut()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::clock::truth;

    #[test]
    fn without_a_skew_it_is_the_truth() {
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC] {
            let before = truth::read(clock).unwrap();
            let shown = read(clock).unwrap();
            assert!((before..=truth::read(clock).unwrap()).contains(&shown));
        }
        let coarse = || truth::read(libc::CLOCK_REALTIME_COARSE).unwrap() / 1_000_000_000;
        let (before, shown) = (coarse(), seconds());
        assert!((before..=coarse()).contains(&shown));
        assert_eq!(read(i32::MAX), None);
    }
}

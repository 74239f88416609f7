//! How long something is let be that could not be done: whoever waited for one API server does not come back to it all at
//! once, and nobody before the time that it has said. Pure but for the lot.

use std::time::Duration;

use cluster::ApiError;

/// From the first call that failed to the next.
const FIRST: Duration = Duration::from_secs(1);

/// The longest time from a call that failed to the next.
const LONGEST: Duration = Duration::from_secs(15);

/// A number that others do not have; where there is none, the middle.
pub(crate) fn lot() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// From half of a time to all of it, by lot.
pub(crate) fn spread(time: Duration, lot: u32) -> Duration {
    time.mul_f64(0.5 + f64::from(lot) / f64::from(u32::MAX) / 2.0)
}

/// How long to wait where so many calls in a row had failed before this one.
pub(crate) fn after(failures: u32, error: &ApiError, lot: u32) -> Duration {
    let pause = FIRST.saturating_mul(1 << failures.min(4)).min(LONGEST);
    error.retry_after().unwrap_or_default() + spread(pause, lot)
}

#[cfg(test)]
mod tests {
    use cluster::{Cause, Reason};

    use super::*;

    fn error(retry_after: Option<u64>) -> ApiError {
        let retry_after = retry_after.map(Duration::from_secs);
        let (reason, message) = (Reason::Other(String::new()), "too many requests".to_owned());
        let cause = Cause::Refused { code: 429, reason, message, retry_after };
        ApiError { attempted: "change Fault prod/a".to_owned(), cause }
    }

    #[test]
    fn it_is_longer_each_time_and_not_the_same_for_everybody() {
        let millis =
            |failures, lot| u64::try_from(after(failures, &error(None), lot).as_millis()).unwrap();
        assert_eq!(
            [0, 1, 2, 3, 4, 99].map(|failures| millis(failures, u32::MAX)),
            [1_000, 2_000, 4_000, 8_000, 15_000, 15_000]
        );
        assert_eq!([0, 4].map(|failures| millis(failures, 0)), [500, 7_500]);
    }

    #[test]
    fn the_time_that_was_said_comes_first() {
        assert_eq!(after(0, &error(Some(2)), 0), Duration::from_millis(2_500));
        assert_eq!(after(0, &error(Some(2)), u32::MAX), Duration::from_secs(3));
    }
}

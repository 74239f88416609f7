//! How long to wait before something is tried again. Pure: chance is passed in.

use std::time::Duration;

use crate::ApiError;

/// The most that is waited after the first failure.
const FIRST: Duration = Duration::from_millis(250);

/// The most that is waited at all.
const MOST: Duration = Duration::from_secs(15);

/// Counts failures. Full jitter, so that whoever waited for one API server does not come back together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    ceiling: Option<Duration>,
}

impl Backoff {
    /// How long to wait after one more failure: a share of `random` / 2^32 of what may be waited by now.
    pub(crate) fn after_failure(&mut self, random: u32) -> Duration {
        let ceiling = self.ceiling.map_or(FIRST, |before| (before * 2).min(MOST));
        self.ceiling = Some(ceiling);
        ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// The same, where it may have been said when to come again: then nobody comes before.
    pub(crate) fn after_refusal(&mut self, error: &ApiError, random: u32) -> Duration {
        error.retry_after().unwrap_or_default() + self.after_failure(random)
    }

    /// Something came of it.
    pub(crate) fn succeeded(&mut self) {
        self.ceiling = None;
    }
}

/// A number that others do not have; where there is none, half of the time is waited.
pub(crate) fn by_lot() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Reason};

    #[test]
    fn nobody_comes_before_the_time_that_was_said_nor_all_at_that_time() {
        let busy = |retry_after: Option<u64>| ApiError {
            attempted: "watch pods".to_owned(),
            cause: Cause::Refused {
                code: 429,
                reason: Reason::Other("TooManyRequests".to_owned()),
                message: "too many requests".to_owned(),
                retry_after: retry_after.map(Duration::from_secs),
            },
        };
        let mut backoff = Backoff::default();
        assert_eq!(backoff.after_refusal(&busy(Some(1)), 0), Duration::from_secs(1));
        assert_eq!(backoff.after_refusal(&busy(Some(1)), u32::MAX), Duration::from_millis(1_500));
        assert_eq!(backoff.after_refusal(&busy(None), u32::MAX), Duration::from_secs(1));
        // What somebody in between says is not believed for hours.
        assert_eq!(backoff.after_refusal(&busy(Some(86_400)), 0), Duration::from_secs(60));
    }

    #[test]
    fn it_waits_longer_each_time_and_never_longer_than_the_most() {
        let mut backoff = Backoff::default();
        let waited: Vec<u64> = (0..8)
            .map(|_| u64::try_from(backoff.after_failure(u32::MAX).as_millis()).unwrap())
            .collect();
        assert_eq!(waited, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        assert_eq!(backoff.after_failure(0), Duration::ZERO);
        backoff.succeeded();
        assert_eq!(backoff.after_failure(u32::MAX), FIRST);
    }
}

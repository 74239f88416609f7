//! What is left of a fault for what comes into it while it acts. Pure.

use std::time::Duration;

use fault::{BootTime, LeaseTerms};

use crate::agents::Offset;
use crate::sequence::Moment;

/// The shortest time for which it is worth putting a fault in again.
pub(super) const WORTH: Duration = Duration::from_secs(1);

/// How long what comes in lasts where so much is left; `None` where that is not worth it.
pub(super) fn terms(lease: Duration, left: Duration) -> Option<LeaseTerms> {
    let terms = LeaseTerms::new(lease.min(left), left).ok();
    terms.filter(|_| left >= WORTH)
}

/// How much is left on a node of whose clock this is known: less where that may be off.
pub(super) fn left(deadline: Moment, now: Moment, offset: Offset) -> Duration {
    deadline.saturating_sub(now).saturating_sub(offset.error)
}

/// From when on a fault of that length counts, by its node's clock, that is over by the deadline. What passes until it
/// is let act does not prolong it then.
pub(super) fn start(deadline: Moment, total: Duration, offset: Offset) -> BootTime {
    // Zero would be no start at all.
    offset.there(deadline.saturating_sub(offset.error + total)).max(BootTime::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_is_over_by_the_deadline_whatever_its_clock_is_off() {
        const SECOND: i128 = 1_000_000_000;
        let (millis, lease) = (Duration::from_millis, Duration::from_secs(3));
        // How much is left, in ms; by how much the clock is ahead, and how far that may be off, in ms.
        let table = [
            (60_000, 0, 0),
            (60_000, 5 * SECOND, 0),
            (60_000, 5 * SECOND, 40),
            (2_000, -4 * SECOND, 40),
            (1_040, SECOND, 40),
        ];
        for (ahead, nanos, error) in table {
            let (now, error) = (millis(10_000), millis(error));
            let (deadline, offset) = (now + millis(ahead), Offset { nanos, error });
            let terms = terms(lease, left(deadline, now, offset)).unwrap();
            let start = start(deadline, terms.total, offset);
            assert_eq!(start, offset.there(now), "it need not be waited for");
            let off = i128::try_from(error.as_nanos()).unwrap();
            for truth in [nanos - off, nanos, nanos + off] {
                let end = Offset { nanos: truth, error }.here(start + terms.total);
                assert!(end <= deadline, "{end:?} is after {deadline:?}");
                assert!(end + 2 * error >= deadline, "{end:?} is long before {deadline:?}");
            }
            assert!(terms.lease <= terms.total);
        }
    }

    #[test]
    fn what_is_not_worth_it_does_not_come_in() {
        let (millis, lease) = (Duration::from_millis, Duration::from_secs(3));
        let offset = Offset { nanos: 0, error: millis(40) };
        for (ahead, expected) in [(0, None), (1_000, None), (1_039, None), (1_040, Some(1_000))] {
            let now = millis(10_000);
            let found = terms(lease, left(now + millis(ahead), now, offset));
            assert_eq!(found.map(|terms| terms.total), expected.map(millis), "{ahead}");
        }
        assert_eq!(terms(lease, Duration::ZERO), None);
        assert_eq!(left(millis(1), millis(2), offset), Duration::ZERO);
    }
}

//! A node's boot clock, as it is known here by round trips. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use fault::BootTime;

use crate::sequence::Moment;

/// Round trips that are remembered.
const KEPT: usize = 16;
/// How far two clocks may come apart in a second (200 µs): a crystal is good to 100 ppm at worst.
const DRIFT: Duration = Duration::from_micros(200);

/// What round trips have told of a node's boot clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    round_trip: Duration,
    /// Its middle, on our clock.
    at: Moment,
    /// The node's clock minus ours, ns.
    offset: i128,
}

/// A node's boot clock against ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The node's clock minus ours, ns.
    pub nanos: i128,
    /// How far that can be off: half of a round trip, and what clocks drift apart since.
    pub error: Duration,
}

impl Clock {
    /// Takes a round trip that was sent and answered at these moments, and in which the node's clock said
    /// `there`.
    pub fn heard(&mut self, sent: Moment, answered: Moment, there: BootTime) {
        let round_trip = answered.saturating_sub(sent);
        let middle = sent + round_trip / 2;
        let ours = i128::try_from(middle.as_nanos()).unwrap_or(i128::MAX);
        let offset = i128::from(there.nanos()) - ours;
        self.samples.push_back(Sample { round_trip, at: middle, offset });
        if self.samples.len() > KEPT {
            self.samples.pop_front();
        }
    }

    /// By the round trip that tells most by now: the answer lies somewhere in it, and a long one of just
    /// now may be worth more than a short one of long ago.
    #[must_use]
    pub fn offset(&self, now: Moment) -> Option<Offset> {
        let offsets = self.samples.iter().map(|sample| sample.offset(now));
        offsets.min_by_key(|offset| offset.error)
    }
}

impl Sample {
    fn offset(&self, now: Moment) -> Offset {
        let age = now.saturating_sub(self.at);
        let half = (self.round_trip + Duration::from_nanos(1)) / 2;
        Offset { nanos: self.offset, error: half + age.mul_f64(DRIFT.as_secs_f64()) }
    }
}

impl Offset {
    /// Our moment on the node's clock.
    #[must_use]
    pub fn there(self, here: Moment) -> BootTime {
        let ours = i128::try_from(here.as_nanos()).unwrap_or(i128::MAX);
        BootTime::from_nanos(u64::try_from(ours.saturating_add(self.nanos)).unwrap_or(0))
    }

    /// The node's time on our clock; zero for what was before it began.
    #[must_use]
    pub fn here(self, there: BootTime) -> Moment {
        let ours = i128::from(there.nanos()) - self.nanos;
        Duration::from_nanos(u64::try_from(ours).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(nanos: u64) -> BootTime {
        BootTime::from_nanos(nanos)
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        assert_eq!(Clock::default().offset(Duration::ZERO), None);
    }

    #[test]
    fn the_shortest_round_trip_counts_until_a_longer_one_tells_more() {
        let mut clock = Clock::default();
        let millis = Duration::from_millis;
        clock.heard(millis(0), millis(10), at(5_000_000));
        clock.heard(millis(20), millis(22), at(1_021_000_000));
        let offset = clock.offset(millis(21)).unwrap();
        assert_eq!(offset, Offset { nanos: 1_000_000_000, error: millis(1) });
        clock.heard(millis(15_018), millis(15_024), at(1_000_000_000 + 15_021_500_000));
        let offset = clock.offset(millis(15_021)).unwrap();
        assert_eq!(offset, Offset { nanos: 1_000_500_000, error: millis(3) }, "after 15 s");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut clock = Clock::default();
        let millis = Duration::from_millis;
        clock.heard(millis(0), millis(0), at(0));
        for n in 0..KEPT as u64 {
            clock.heard(millis(100 + n), millis(106 + n), at(0));
        }
        assert!(clock.offset(millis(106)).unwrap().error >= millis(3));
    }

    proptest! {
        /// However the way there and back share a round trip, and however fast the node's clock goes, the
        /// error that is told holds.
        #[test]
        fn the_error_holds(
            skew in -1_000_000_000i64..1_000_000_000_000,
            drift in -200i64..=200,
            trips in proptest::collection::vec((0u64..50_000_000, 0u64..50_000_000, 0u64..9), 1..30),
        ) {
            let mut clock = Clock::default();
            let mut now = 5_000_000_000u64;
            let gained = |now: u64| skew + i64::try_from(now).unwrap() / 1_000_000 * drift;
            for (there, back, pause) in trips {
                let sent = Duration::from_nanos(now);
                let seen = (now + there).saturating_add_signed(gained(now + there));
                now += there + back;
                clock.heard(sent, Duration::from_nanos(now), at(seen));
                now += pause * 1_000_000_000;
            }
            let offset = clock.offset(Duration::from_nanos(now)).unwrap();
            let off = (offset.nanos - i128::from(gained(now))).unsigned_abs();
            // The drift is counted in steps of a millisecond here.
            prop_assert!(off <= offset.error.as_nanos() + 401, "{offset:?} of {skew}");
        }
    }
}

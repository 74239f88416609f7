//! A node's boot clock, as it is known here by round trips. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use fault::BootTime;

use crate::sequence::Moment;

/// Round trips that are remembered.
const KEPT: usize = 16;

/// What round trips have told of a node's boot clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    round_trip: Duration,
    /// The node's clock minus ours, ns.
    offset: i128,
}

/// A node's boot clock against ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The node's clock minus ours, ns.
    pub nanos: i128,
    /// How far that can be off: half of the shortest round trip.
    pub error: Duration,
}

impl Clock {
    /// Takes a round trip that was sent and answered at these moments, and in which the node's clock said
    /// `there`.
    pub fn heard(&mut self, sent: Moment, answered: Moment, there: BootTime) {
        let round_trip = answered.saturating_sub(sent);
        let middle = sent + round_trip / 2;
        let ours = i128::try_from(middle.as_nanos()).unwrap_or(i128::MAX);
        self.samples.push_back(Sample { round_trip, offset: i128::from(there.nanos()) - ours });
        if self.samples.len() > KEPT {
            self.samples.pop_front();
        }
    }

    /// By the shortest of the last round trips: the answer lies somewhere in it.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        let best = self.samples.iter().min_by_key(|sample| sample.round_trip)?;
        Some(Offset { nanos: best.offset, error: (best.round_trip + Duration::from_nanos(1)) / 2 })
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
        assert_eq!(Clock::default().offset(), None);
    }

    #[test]
    fn the_shortest_round_trip_counts_and_is_forgotten_in_time() {
        let mut clock = Clock::default();
        let millis = Duration::from_millis;
        clock.heard(millis(0), millis(10), at(5_000_000));
        clock.heard(millis(20), millis(22), at(1_021_000_000));
        let offset = clock.offset().unwrap();
        assert_eq!(offset, Offset { nanos: 1_000_000_000, error: millis(1) });
        for n in 0..KEPT as u64 {
            clock.heard(millis(100 + n), millis(106 + n), at(0));
        }
        assert_eq!(clock.offset().unwrap().error, millis(3));
    }

    proptest! {
        /// However the way there and back share a round trip, the error that is told holds.
        #[test]
        fn the_error_holds(
            skew in -1_000_000_000i64..1_000_000_000_000,
            trips in proptest::collection::vec((0u64..50_000_000, 0u64..50_000_000), 1..30),
        ) {
            let mut clock = Clock::default();
            let mut now = 5_000_000_000u64;
            for (there, back) in trips {
                let sent = Duration::from_nanos(now);
                let seen = (now + there).saturating_add_signed(skew);
                now += there + back;
                clock.heard(sent, Duration::from_nanos(now), at(seen));
            }
            let offset = clock.offset().unwrap();
            let off = (offset.nanos - i128::from(skew)).unsigned_abs();
            prop_assert!(off <= offset.error.as_nanos() + 1, "{offset:?} of {skew}");
        }
    }
}

//! Which skews are possible at all, and for which clocks.

use std::time::Duration;

use super::{Clock, Ending, Offset, Rate, Shape, Skew};
use crate::LeaseTerms;

/// A skew that is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkewError {
    /// Nothing would move.
    #[error("name at least one clock")]
    NoClock,
    /// Neither a distance nor a rate.
    #[error("the clocks would stay as they are; name an offset or a rate other than 0")]
    Nothing,
    /// The kernel's tick is not much shorter.
    #[error("a strobe's period is at least 20ms: coarse clocks move only with the kernel's tick")]
    Period,
    /// It would never come, or is longer than a fault may last.
    #[error("the step is to come within 7 days of the start")]
    Step,
    /// The fault is over before it.
    #[error("the step would come {} after the start, when the fault of {} is over; ask for a longer --for",
        humantime::format_duration(*.0), humantime::format_duration(*.1))]
    Late(Duration, Duration),
    /// Software relies on these clocks never going back.
    #[error("{0} would run backwards; {hint}", hint = backwards_hint(*.1))]
    Backwards(Clock, Backwards),
    /// The way back takes longer than a fault may last.
    #[error("the way back would take {}; come back faster, or in one step", humantime::format_duration(*.0))]
    SlowReturn(Duration),
}

/// By what a clock would run backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backwards {
    /// It would be set back when the fault begins.
    Start,
    /// It would be set back now and then.
    Turns,
    /// It would be set back when the fault ends.
    End,
}

const fn backwards_hint(when: Backwards) -> &'static str {
    match when {
        Backwards::Start => "let it run slow instead (--drift -100000ppm), or move it ahead",
        Backwards::Turns => "strobe only realtime",
        Backwards::End => {
            "end with --heal slew:1000000ppm, which lets it stand still until it is right"
        }
    }
}

impl Skew {
    /// Whether this can be done, and harms nobody more than it says.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, terms: LeaseTerms) -> Result<(), SkewError> {
        if self.clocks.iter().next().is_none() {
            return Err(SkewError::NoClock);
        }
        let (least, most) = self.shape.reach(terms.total);
        if least == 0 && most == 0 {
            return Err(SkewError::Nothing);
        }
        match self.shape {
            Shape::Strobe { period, .. } if period < Shape::SHORTEST_PERIOD => {
                return Err(SkewError::Period);
            }
            Shape::Strobe { period, .. } if period > LeaseTerms::LONGEST => {
                return Err(SkewError::Period);
            }
            Shape::Step { after, .. } if after >= LeaseTerms::LONGEST => {
                return Err(SkewError::Step);
            }
            Shape::Step { after, .. } if after >= terms.total => {
                return Err(SkewError::Late(after, terms.total));
            }
            Shape::Offset(_) | Shape::Step { .. } | Shape::Strobe { .. } | Shape::Drift { .. } => {}
        }
        for clock in self.clocks.iter().filter(|clock| *clock != Clock::Realtime) {
            if let Some(when) = self.backwards(least, most) {
                return Err(SkewError::Backwards(clock, when));
            }
        }
        match self.ending {
            Ending::Step => Ok(()),
            Ending::Slew(rate) => {
                let way = u128::from(most.max(0).unsigned_abs().max(least.min(0).unsigned_abs()));
                let time = way * 1_000_000_000 / u128::from(rate.billionths().unsigned_abs());
                let time = Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX));
                let longest = LeaseTerms::LONGEST;
                if time > longest { Err(SkewError::SlowReturn(time)) } else { Ok(()) }
            }
        }
    }

    fn backwards(&self, least: i64, most: i64) -> Option<Backwards> {
        let first = match self.shape {
            Shape::Strobe { first, second, .. } if first != second => {
                return Some(Backwards::Turns);
            }
            Shape::Step { offset, .. } => offset,
            Shape::Offset(_) | Shape::Strobe { .. } | Shape::Drift { .. } => self.shape.initial(),
        };
        if first < Offset::NONE {
            return Some(Backwards::Start);
        }
        // A clock that runs slow comes back by going ahead.
        debug_assert!(least <= most, "a reach has two ends");
        (most > 0 && self.ending == Ending::Step).then_some(Backwards::End)
    }
}

impl Shape {
    /// The least and the greatest distance within so much time, in nanoseconds.
    #[must_use]
    pub fn reach(&self, total: Duration) -> (i64, i64) {
        let (one, other) = match *self {
            Self::Offset(offset) => (offset, offset),
            Self::Step { offset, .. } => (Offset::NONE, offset),
            Self::Strobe { first, second, .. } => (first, second),
            Self::Drift { offset, rate } => (offset, drifted(offset, rate, total)),
        };
        (one.min(other).nanos(), one.max(other).nanos())
    }
}

fn drifted(offset: Offset, rate: Rate, time: Duration) -> Offset {
    let time = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX >> 32);
    let way = time * i128::from(rate.billionths()) / 1_000_000_000;
    Offset::saturating(i128::from(offset.nanos()) + way)
}

#[cfg(test)]
mod tests {
    use super::super::{Clocks, Extent};
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn offset(nanos: i64) -> Offset {
        Offset::from_nanos(nanos).unwrap()
    }

    fn rate(billionths: i32) -> Rate {
        Rate::from_billionths(billionths).unwrap()
    }

    fn check(shape: Shape, clock: Clock, ending: Ending) -> Result<(), SkewError> {
        let terms = LeaseTerms::new(Duration::from_secs(15), Duration::from_secs(300)).unwrap();
        Skew { shape, clocks: [clock].into_iter().collect(), ending, extent: Extent::Named }
            .check(terms)
    }

    #[test]
    fn realtime_may_go_either_way() {
        let shapes = [
            Shape::Offset(offset(HOUR)),
            Shape::Offset(offset(-HOUR)),
            Shape::Step { offset: offset(-HOUR), after: Duration::from_secs(30) },
            Shape::Strobe {
                first: Offset::NONE,
                second: offset(4_000_000),
                period: Duration::from_millis(200),
            },
            Shape::Drift { offset: Offset::NONE, rate: rate(-200_000) },
        ];
        for shape in shapes {
            assert_eq!(check(shape, Clock::Realtime, Ending::Step), Ok(()), "{shape:?}");
        }
    }

    #[test]
    fn monotonic_never_goes_back() {
        let back = |shape, ending| match check(shape, Clock::Monotonic, ending) {
            Err(SkewError::Backwards(Clock::Monotonic, when)) => Some(when),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        };
        let slew = Ending::Slew(Rate::FASTEST);
        let ahead = Shape::Offset(offset(HOUR));
        assert_eq!(back(ahead, Ending::Step), Some(Backwards::End));
        assert_eq!(back(ahead, slew), None);
        assert_eq!(back(Shape::Offset(offset(-1)), slew), Some(Backwards::Start));
        let slow = Shape::Drift { offset: Offset::NONE, rate: rate(-1_000_000_000) };
        assert_eq!(back(slow, Ending::Step), None);
        let fast = Shape::Drift { offset: Offset::NONE, rate: rate(1) };
        assert_eq!(back(fast, Ending::Step), Some(Backwards::End));
        let period = Duration::from_secs(1);
        let strobe = Shape::Strobe { first: offset(1), second: Offset::NONE, period };
        assert_eq!(back(strobe, slew), Some(Backwards::Turns));
        let late = Shape::Step { offset: offset(-5), after: period };
        assert_eq!(back(late, slew), Some(Backwards::Start));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let realtime = |shape, ending| check(shape, Clock::Realtime, ending);
        assert_eq!(realtime(Shape::Offset(Offset::NONE), Ending::Step), Err(SkewError::Nothing));
        let strobe = |period| Shape::Strobe { first: offset(1), second: Offset::NONE, period };
        let short = strobe(Duration::from_millis(19));
        assert_eq!(realtime(short, Ending::Step), Err(SkewError::Period));
        let slow = Ending::Slew(rate(500_000));
        assert!(matches!(
            realtime(Shape::Offset(offset(HOUR)), slow),
            Err(SkewError::SlowReturn(time)) if time == Duration::from_secs(7_200_000)
        ));
        assert_eq!(realtime(Shape::Offset(offset(1_000_000_000)), slow), Ok(()));
        let never = Shape::Step { offset: offset(1), after: LeaseTerms::LONGEST };
        assert_eq!(realtime(never, Ending::Step), Err(SkewError::Step));
        let terms = LeaseTerms::new(Duration::from_secs(1), Duration::from_secs(1)).unwrap();
        let none = Skew {
            shape: Shape::Offset(offset(1)),
            clocks: Clocks(0),
            ending: Ending::Step,
            extent: Extent::Named,
        };
        assert_eq!(none.check(terms), Err(SkewError::NoClock));
    }

    #[test]
    fn distances_and_rates_are_printed_for_people() {
        assert_eq!(offset(HOUR).to_string(), "+1h");
        assert_eq!(offset(-90_000_000_000).to_string(), "-1m30s");
        assert_eq!(rate(200_000).to_string(), "200ppm");
        assert_eq!(rate(-1_500).to_string(), "-1.5ppm");
        assert_eq!(Ending::Slew(rate(500_000)).to_string(), "slew:500ppm");
        let both: Clocks = [Clock::Boottime, Clock::Realtime].into_iter().collect();
        assert_eq!(both.to_string(), "realtime,boottime");
        assert_eq!(Offset::from_nanos(i64::MIN), None);
        assert_eq!(Offset::saturating(i128::MIN).nanos(), -Offset::FARTHEST.nanos());
    }
}

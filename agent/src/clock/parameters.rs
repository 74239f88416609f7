//! From a skew and its lease to the numbers that a stub computes an offset from.
//!
//! All times are nanoseconds of CLOCK_MONOTONIC as the target reads it, that is with the offset of its
//! time namespace.

use fault::{Ending, Offset, Shape, Skew};

/// Fractional bits of a rate. With 48, seven days are off by 2 ns at most, and 128 bits hold the product.
pub const RATE_BITS: u32 = 48;

/// One copy of the parameters: eight words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// First instant of the truth, or of the way back to it.
    pub end: i64,
    /// From when on time is counted.
    pub origin: i64,
    /// What that time is multiplied with: by turns, the sign of the product (modulo 2⁶⁴) says whose turn
    /// it is; growing, the product in 2⁻⁴⁸ is what is added.
    pub factor: i64,
    /// How far the clock is off before the end.
    pub distance: Distance,
    /// The distance at the end.
    pub back: i64,
    /// How fast it shrinks then, in 2⁻⁴⁸, until it is none.
    pub back_factor: i64,
}

/// How far a clock is off before the end of a lease: three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// The first while the product is not negative, the second while it is.
    Turns(Split, Split),
    /// So many nanoseconds at the origin.
    Grows(i64),
}

impl Default for Distance {
    fn default() -> Self {
        Self::Turns(Split::default(), Split::default())
    }
}

/// A distance as it is added to a time: no division is needed for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    seconds: i64,
    /// From 0 to 999,999,999.
    nanos: u32,
}

impl From<Offset> for Split {
    fn from(offset: Offset) -> Self {
        let nanos = u32::try_from(offset.nanos().rem_euclid(BILLION)).unwrap_or(0);
        Self { seconds: offset.nanos().div_euclid(BILLION), nanos }
    }
}

impl Split {
    /// In one number.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.seconds * BILLION + self.nanos as i64
    }
}

const BILLION: i64 = 1_000_000_000;

/// How the distance of a skew changes; the same for all of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Not at all.
    Constant,
    /// From time to time.
    Turns,
    /// With every nanosecond.
    Grows,
}

impl Pace {
    /// That of a shape.
    #[must_use]
    pub const fn of(shape: &Shape) -> Self {
        match shape {
            Shape::Offset(_) => Self::Constant,
            Shape::Step { .. } | Shape::Strobe { .. } => Self::Turns,
            Shape::Drift { .. } => Self::Grows,
        }
    }
}

/// From when to when a skew acts, in the target's CLOCK_MONOTONIC (ns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First instant.
    pub start: i64,
    /// First instant after it.
    pub end: i64,
}

impl Parameters {
    /// Bytes of one copy.
    pub const BYTES: usize = 64;

    /// What lets a stub do this from `span.start` to `span.end`.
    #[must_use]
    pub fn new(skew: &Skew, span: Span) -> Self {
        let Span { start, end } = span;
        let turns = |origin, factor, first: Offset, second: Offset| Self {
            end,
            origin,
            factor,
            distance: Distance::Turns(first.into(), second.into()),
            ..Self::default()
        };
        let mut parameters = match skew.shape {
            Shape::Offset(offset) => turns(start, 0, offset, Offset::NONE),
            // The sign of the time itself: before the origin it is the second's turn.
            Shape::Step { offset, after } => {
                let origin = start.saturating_add(nanos(after.as_nanos()));
                turns(origin, 1, offset, Offset::NONE)
            }
            Shape::Strobe { first, second, period } => {
                turns(start, frequency(nanos(period.as_nanos())), first, second)
            }
            Shape::Drift { offset, rate } => Self {
                end,
                origin: start,
                factor: fraction(rate.billionths()),
                distance: Distance::Grows(offset.nanos()),
                ..Self::default()
            },
        };
        if let Ending::Slew(rate) = skew.ending {
            parameters.back = parameters.acting(parameters.end);
            let speed = rate.billionths().saturating_abs();
            // Rounded down either way: the last step, to the truth, then goes ahead.
            parameters.back_factor = match parameters.back.signum() {
                0 => 0,
                sign if sign > 0 => fraction(-speed),
                _ => fraction(speed),
            };
        }
        parameters
    }

    /// Parameters of a skew that has ended: whoever reads them gets the truth.
    #[must_use]
    pub fn ended() -> Self {
        Self { end: i64::MIN, ..Self::default() }
    }

    /// The same for a stub of this pace: a constant distance is one that grows by nothing.
    #[must_use]
    pub fn paced(self, pace: Pace) -> Self {
        match (pace, self.distance) {
            (Pace::Grows, Distance::Turns(first, _)) if self.factor == 0 => {
                Self { distance: Distance::Grows(first.nanos()), ..self }
            }
            (Pace::Constant | Pace::Turns | Pace::Grows, _) => self,
        }
    }

    /// The offset at a time (ns): what a stub computes, bit by bit.
    #[must_use]
    pub fn offset(&self, now: i64) -> i64 {
        if now < self.end {
            return self.acting(now);
        }
        let left = grown(self.back, self.back_factor, now.wrapping_sub(self.end));
        // Past the truth.
        if left ^ self.back < 0 { 0 } else { left }
    }

    /// First instant at which nothing is left of it; the last that there is if that is too far.
    #[must_use]
    pub fn over(&self) -> i64 {
        let speed = u128::from(self.back_factor.unsigned_abs());
        let way = u128::from(self.back.unsigned_abs()) << RATE_BITS;
        // A distance of a nanosecond past the truth is none.
        let time = way.checked_div(speed).map_or(0, |time| time + 2);
        self.end.saturating_add(i64::try_from(time).unwrap_or(i64::MAX))
    }

    /// The offset at a time before the end.
    fn acting(&self, now: i64) -> i64 {
        let time = now.wrapping_sub(self.origin);
        match self.distance {
            Distance::Grows(first) => grown(first, self.factor, time),
            Distance::Turns(_, second) if time.wrapping_mul(self.factor) < 0 => second.nanos(),
            Distance::Turns(first, _) => first.nanos(),
        }
    }

    /// The eight words, as they stand in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let [first, second, nanos] = match self.distance {
            Distance::Turns(first, second) => {
                let nanos = u64::from(second.nanos) << 32 | u64::from(first.nanos);
                [first.seconds, second.seconds, nanos.cast_signed()]
            }
            Distance::Grows(first) => [first, 0, 0],
        };
        let words =
            [self.end, self.origin, self.factor, first, second, nanos, self.back, self.back_factor];
        let mut bytes = [0; Self::BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Nanoseconds of a length of time; the longest that there are for a longer one.
fn nanos(nanos: u128) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// 2⁶⁴ divided by a period: time multiplied by it, modulo 2⁶⁴, is how far the period has gone.
fn frequency(period: i64) -> i64 {
    let turns = (1_u128 << 64) / u128::from(period.max(2).unsigned_abs());
    u64::try_from(turns).unwrap_or(u64::MAX).cast_signed()
}

/// A rate in 2⁻⁴⁸, rounded down.
fn fraction(billionths: i32) -> i64 {
    let fraction = (i128::from(billionths) << RATE_BITS).div_euclid(1_000_000_000);
    i64::try_from(fraction).unwrap_or(0)
}

/// A distance that has grown for some time.
///
/// A rate of at most 1 keeps the way within 64 bits; a lease of at most 7 days keeps the sum there, since
/// [`fault::Offset::FARTHEST`] leaves 270 days.
fn grown(first: i64, factor: i64, time: i64) -> i64 {
    let way = (i128::from(factor) * i128::from(time)) >> RATE_BITS;
    first.wrapping_add(i64::try_from(way).unwrap_or(0))
}

#[cfg(test)]
mod tests;

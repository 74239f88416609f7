//! The skew: what a target reads from its clocks differs from the truth.

mod admission;
mod text;

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

pub use admission::{Backwards, SkewError};
pub use text::{ClockTextError, Strobe};

/// What a skew does to the clocks of a target's processes, as a function of the host's CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Skew {
    /// How far, and how that changes.
    pub shape: Shape,
    /// Which clocks.
    pub clocks: Clocks,
    /// How the target comes back to the truth.
    pub ending: Ending,
    /// Whose clocks.
    pub extent: Extent,
}

/// Which processes of a target are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// Those that it names: a process alone, or all that are in a container or a namespace.
    #[default]
    Named,
    /// The same with all their descendants.
    Tree,
}

/// How far a skewed clock is from the truth, from the start of the fault on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The same distance all the time.
    Offset(Offset),
    /// The truth at first, and a distance from some time on.
    Step {
        /// How far then.
        offset: Offset,
        /// How long after the start; in documents a number of seconds.
        #[serde(serialize_with = "seconds")]
        after: Duration,
    },
    /// Two distances by turns, half a period each.
    Strobe {
        /// In the first half of a period.
        first: Offset,
        /// In the second half.
        second: Offset,
        /// From one turn to the next but one; in documents a number of seconds.
        #[serde(serialize_with = "seconds")]
        period: Duration,
    },
    /// A distance that grows.
    Drift {
        /// How far at the start.
        offset: Offset,
        /// How fast it grows.
        rate: Rate,
    },
}

impl Shape {
    /// How far the clock is at the start.
    #[must_use]
    pub const fn initial(&self) -> Offset {
        match self {
            Self::Offset(offset) | Self::Drift { offset, .. } => *offset,
            Self::Step { .. } => Offset::NONE,
            Self::Strobe { first, .. } => *first,
        }
    }

    /// The shortest period of a strobe (20 ms): the coarse clocks that it goes by move only with the
    /// kernel's tick, 10 ms at worst.
    pub const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
}

/// A distance from the truth in nanoseconds, at most 291 years either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// The farthest ahead; back it is as far. Splitting into seconds has room for it in 64 bits.
    pub const FARTHEST: Self = Self(9_200_000_000_000_000_000);

    /// Takes nanoseconds; positive is ahead. `None` beyond [`Self::FARTHEST`].
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Option<Self> {
        if nanos.unsigned_abs() > Self::FARTHEST.0.unsigned_abs() {
            None
        } else {
            Some(Self(nanos))
        }
    }

    /// Takes nanoseconds; what lies beyond [`Self::FARTHEST`] becomes that.
    #[must_use]
    pub fn saturating(nanos: i128) -> Self {
        let farthest = i128::from(Self::FARTHEST.0);
        Self(i64::try_from(nanos.clamp(-farthest, farthest)).unwrap_or(0))
    }

    /// Nanoseconds; positive is ahead.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

/// How fast a distance grows, in parts per billion of the time that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i32);

impl Rate {
    /// As fast as the time that passes: growing by a second per second, or a clock that stands still.
    pub const FASTEST: Self = Self(1_000_000_000);

    /// Takes parts per billion; negative for a clock that goes slower than time. `None` for 0 and beyond
    /// [`Self::FASTEST`].
    #[must_use]
    pub const fn from_billionths(billionths: i32) -> Option<Self> {
        if billionths == 0 || billionths.unsigned_abs() > Self::FASTEST.0.unsigned_abs() {
            None
        } else {
            Some(Self(billionths))
        }
    }

    /// Parts per billion.
    #[must_use]
    pub const fn billionths(self) -> i32 {
        self.0
    }
}

/// A clock that can be moved; others follow the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// CLOCK_REALTIME, with REALTIME_COARSE, REALTIME_ALARM, TAI, `gettimeofday` and `time`.
    Realtime,
    /// CLOCK_MONOTONIC, with MONOTONIC_COARSE. Not MONOTONIC_RAW.
    Monotonic,
    /// CLOCK_BOOTTIME, with BOOTTIME_ALARM.
    Boottime,
}

impl Clock {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Realtime, Self::Monotonic, Self::Boottime];

    const fn bit(self) -> u8 {
        match self {
            Self::Realtime => 1,
            Self::Monotonic => 2,
            Self::Boottime => 4,
        }
    }
}

/// A set of clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clocks(u8);

impl Clocks {
    /// What people mean by the time.
    pub const REALTIME: Self = Self(Clock::Realtime.bit());

    /// Whether a clock is among them.
    #[must_use]
    pub const fn contains(self, clock: Clock) -> bool {
        self.0 & clock.bit() != 0
    }

    /// Those that are among them.
    pub fn iter(self) -> impl Iterator<Item = Clock> {
        Clock::ALL.into_iter().filter(move |clock| self.contains(*clock))
    }
}

impl FromIterator<Clock> for Clocks {
    fn from_iter<I: IntoIterator<Item = Clock>>(clocks: I) -> Self {
        Self(clocks.into_iter().fold(0, |bits, clock| bits | clock.bit()))
    }
}

/// How a clock comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// At once.
    #[default]
    Step,
    /// Bit by bit, from the end of the lease on, at this speed; its sign does not count.
    Slew(Rate),
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let length = Duration::from_nanos(self.0.unsigned_abs());
        f.pad(&format!("{sign}{}", humantime::format_duration(length).to_string().replace(' ', "")))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.unsigned_abs() / 1_000, self.0.unsigned_abs() % 1_000);
        let rest = format!(".{rest:03}");
        f.pad(&format!("{sign}{whole}{}ppm", rest.trim_end_matches('0').trim_end_matches('.')))
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Realtime => "realtime",
            Self::Monotonic => "monotonic",
            Self::Boottime => "boottime",
        })
    }
}

impl fmt::Display for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(|clock| clock.to_string()).collect();
        f.pad(&names.join(","))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step => f.pad("step"),
            Self::Slew(rate) => f.pad(&format!("slew:{rate}")),
        }
    }
}

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Clocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

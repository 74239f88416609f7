//! Moments of the wall clock, for people and journals.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A moment in UTC, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;

impl Timestamp {
    /// So many microseconds after the beginning of 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// A time later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// Year, month and day of a day since 1970, by the Gregorian calendar's cycle of 400 years, which here
/// begins with a March so that the leap day is the last of its year.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let cycle = day.div_euclid(146_097);
    let of_cycle = day.rem_euclid(146_097);
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = cycle * 400 + year + i64::from(month <= 2);
    (year, month, of_year - (153 * march + 2) / 5 + 1)
}

/// RFC 3339 with microseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(SECOND);
        let (year, month, day) = date(seconds.div_euclid(DAY));
        let of_day = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        write!(f, ".{:06}+00:00", self.0.rem_euclid(SECOND))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_people_count() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000+00:00"),
            (951_782_400, "2000-02-29T00:00:00.000000+00:00"),
            (1_795_315_425, "2026-11-22T02:43:45.000000+00:00"),
            (4_107_542_399, "2100-02-28T23:59:59.000000+00:00"),
            (-1, "1969-12-31T23:59:59.000000+00:00"),
        ] {
            assert_eq!(Timestamp::from_micros(seconds * SECOND).to_string(), text);
        }
        let later = Timestamp::from_micros(0).after(Duration::from_micros(1_000_007));
        assert_eq!(later.to_string(), "1970-01-01T00:00:01.000007+00:00");
    }
}

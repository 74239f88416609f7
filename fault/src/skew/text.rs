//! Skews as people type them: `+1h`, `200ppm`, `4ms:200ms`, `slew:500ppm`, `realtime,boottime`.

use std::str::FromStr;
use std::time::Duration;

use super::{Clock, Clocks, Ending, Offset, Rate};
use crate::{DurationError, Legible};

/// A text that says nothing of a clock.
#[derive(Debug, thiserror::Error)]
pub enum ClockTextError {
    /// No distance.
    #[error("write a distance from the truth, such as +1h, -90s or +250ms")]
    Offset,
    /// A distance beyond what a clock can show.
    #[error("a clock can be moved by 291 years at most")]
    Far,
    /// No rate.
    #[error("write a rate from 0.001ppm to 1000000ppm, such as 200ppm or -50ppm")]
    Rate,
    /// No strobe.
    #[error("write a distance and a period, such as 4ms:200ms")]
    Strobe,
    /// A length of time that is none.
    #[error("{0}")]
    Duration(#[from] DurationError),
    /// No way to end.
    #[error("write step, or slew and a rate, such as slew:500ppm")]
    Ending,
    /// No clock.
    #[error("there is no clock '{}'; there are realtime, monotonic and boottime", Legible(.0))]
    Clock(String),
}

/// By how much a clock is off by turns, beside what it is off at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strobe {
    /// So far.
    pub by: Offset,
    /// From one turn to the next but one.
    pub period: Duration,
}

/// Splits off a sign; nothing is a plus.
fn signed(text: &str) -> (i128, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

impl FromStr for Offset {
    type Err = ClockTextError;

    fn from_str(text: &str) -> Result<Self, ClockTextError> {
        let (sign, length) = signed(text);
        if !length.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(ClockTextError::Offset);
        }
        let length = humantime::parse_duration(length).map_err(|_| ClockTextError::Offset)?;
        let nanos = i128::try_from(length.as_nanos()).map_err(|_| ClockTextError::Far)?;
        let nanos = i64::try_from(sign * nanos).map_err(|_| ClockTextError::Far)?;
        Self::from_nanos(nanos).ok_or(ClockTextError::Far)
    }
}

impl FromStr for Rate {
    type Err = ClockTextError;

    fn from_str(text: &str) -> Result<Self, ClockTextError> {
        let (sign, rest) = signed(text);
        let number = rest.strip_suffix("ppm").ok_or(ClockTextError::Rate)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
            return Err(ClockTextError::Rate);
        }
        let billionths = format!("{whole}{fraction:0<3}").parse::<i128>();
        let billionths = billionths.map_err(|_| ClockTextError::Rate)?;
        let billionths = i32::try_from(sign * billionths).map_err(|_| ClockTextError::Rate)?;
        Self::from_billionths(billionths).ok_or(ClockTextError::Rate)
    }
}

impl FromStr for Strobe {
    type Err = ClockTextError;

    fn from_str(text: &str) -> Result<Self, ClockTextError> {
        let (by, period) = text.split_once(':').ok_or(ClockTextError::Strobe)?;
        Ok(Self { by: by.parse()?, period: crate::parse_duration(period)? })
    }
}

impl FromStr for Ending {
    type Err = ClockTextError;

    fn from_str(text: &str) -> Result<Self, ClockTextError> {
        match text.split_once(':') {
            None if text == "step" => Ok(Self::Step),
            Some(("slew", rate)) => rate.parse().map(Self::Slew),
            Some(_) | None => Err(ClockTextError::Ending),
        }
    }
}

impl FromStr for Clock {
    type Err = ClockTextError;

    fn from_str(text: &str) -> Result<Self, ClockTextError> {
        let found = Self::ALL.into_iter().find(|clock| clock.to_string() == text);
        found.ok_or_else(|| ClockTextError::Clock(text.to_owned()))
    }
}

impl FromStr for Clocks {
    type Err = ClockTextError;

    fn from_str(text: &str) -> Result<Self, ClockTextError> {
        text.split(',').map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            nanos in -9_200_000_000_000_000_000i64..=9_200_000_000_000_000_000,
            billionths in -1_000_000_000i32..=1_000_000_000,
        ) {
            let offset = Offset::from_nanos(nanos).unwrap();
            prop_assert_eq!(offset.to_string().parse::<Offset>().unwrap(), offset);
            if let Some(rate) = Rate::from_billionths(billionths) {
                prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
                let ending = Ending::Slew(rate);
                prop_assert_eq!(ending.to_string().parse::<Ending>().unwrap(), ending);
            }
        }
    }

    #[test]
    fn as_people_type() {
        let nanos = |text: &str| text.parse::<Offset>().map(Offset::nanos).ok();
        let table = [
            ("+1h", Some(3_600_000_000_000)),
            ("-90s", Some(-90_000_000_000)),
            ("1h 30m", Some(5_400_000_000_000)),
            ("0s", Some(0)),
            ("--1h", None),
            ("+-1h", None),
            ("1", None),
            ("", None),
            ("300years", None),
        ];
        for (text, expected) in table {
            assert_eq!(nanos(text), expected, "{text}");
        }
        let rate = |text: &str| text.parse::<Rate>().map(Rate::billionths).ok();
        let table = [
            ("200ppm", Some(200_000)),
            ("-50.5ppm", Some(-50_500)),
            ("1000000ppm", Some(1_000_000_000)),
            ("1000001ppm", None),
            ("0ppm", None),
            ("1.2345ppm", None),
            ("5", None),
            ("1.-5ppm", None),
        ];
        for (text, expected) in table {
            assert_eq!(rate(text), expected, "{text}");
        }
        let strobe: Strobe = "4ms:200ms".parse().unwrap();
        assert_eq!((strobe.by.nanos(), strobe.period.as_millis()), (4_000_000, 200));
        assert!("4ms".parse::<Strobe>().is_err() && "4ms:0s".parse::<Strobe>().is_err());
        assert_eq!("step".parse::<Ending>().unwrap(), Ending::Step);
        assert!("slow".parse::<Ending>().is_err() && "step:1ppm".parse::<Ending>().is_err());
        let both: Clocks = "boottime,realtime".parse().unwrap();
        assert_eq!(both.to_string(), "realtime,boottime");
        let unknown = "tai".parse::<Clocks>().unwrap_err().to_string();
        assert_eq!(unknown, "there is no clock 'tai'; there are realtime, monotonic and boottime");
    }
}

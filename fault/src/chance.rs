//! Probabilities of loss.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A probability in 1/2³², from just above 0 to 1.
///
/// Fixed point, so that the kernel, the wire and the record have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chance(u64);

impl Chance {
    /// Every time.
    pub const CERTAIN: Self = Self(1 << 32);

    /// Takes a number of 1/2³²; `None` for 0 and for more than 1.
    #[must_use]
    pub const fn from_fraction(fraction: u64) -> Option<Self> {
        if fraction == 0 || fraction > Self::CERTAIN.0 { None } else { Some(Self(fraction)) }
    }

    /// The number of 1/2³².
    #[must_use]
    pub const fn fraction(self) -> u64 {
        self.0
    }

    /// Whether it is 1.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        self.0 == Self::CERTAIN.0
    }
}

/// A text is no probability of loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChanceError {
    /// Not of the form `30%`.
    #[error("write a percentage such as 30% or 0.5%")]
    Form,
    /// Outside of what can happen.
    #[error("must be more than 0% and at most 100%")]
    Range,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the value is checked to lie in 0..=2^32, which f64 holds exactly"
)]
impl FromStr for Chance {
    type Err = ChanceError;

    fn from_str(text: &str) -> Result<Self, ChanceError> {
        let number = text.strip_suffix('%').ok_or(ChanceError::Form)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(ChanceError::Form);
        }
        let percent: f64 = number.parse().map_err(|_| ChanceError::Form)?;
        if !(percent > 0.0 && percent <= 100.0) {
            return Err(ChanceError::Range);
        }
        let fraction = (percent / 100.0 * Self::CERTAIN.0 as f64).round() as u64;
        Self::from_fraction(fraction.max(1)).ok_or(ChanceError::Range)
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 2^32, which f64 holds exactly")]
impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 as f64 / Self::CERTAIN.0 as f64 * 100.0;
        // The shortest decimal that reads back as the same fraction.
        let text = (0..=10)
            .map(|digits| format!("{percent:.digits$}%"))
            .find(|text| text.parse() == Ok(*self))
            .unwrap_or_else(|| format!("{percent}%"));
        f.pad(&text)
    }
}

impl Serialize for Chance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentages() {
        let table = [
            ("100%", Ok(1 << 32)),
            ("50%", Ok(1 << 31)),
            ("0.00000001%", Ok(1)),
            ("0%", Err(ChanceError::Range)),
            ("100.1%", Err(ChanceError::Range)),
            ("-1%", Err(ChanceError::Form)),
            ("NaN%", Err(ChanceError::Form)),
            ("%", Err(ChanceError::Form)),
            ("0.3", Err(ChanceError::Form)),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Chance>().map(Chance::fraction), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_percentage_is_printed_as_it_was_written(hundredths in 1u32..=10_000) {
            let text = format!("{}%", f64::from(hundredths) / 100.0);
            let chance: Chance = text.parse().unwrap();
            prop_assert_eq!(chance.to_string(), text);
        }

        #[test]
        fn parsing_a_printed_chance_gives_it_back(fraction in 1u64..=1 << 32) {
            let chance = Chance::from_fraction(fraction).unwrap();
            prop_assert_eq!(chance.to_string().parse(), Ok(chance));
        }
    }
}

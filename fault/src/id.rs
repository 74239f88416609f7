//! Names of faults.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What was asked for by one command or experiment step; all its faults share it.
///
/// 48 random bits, printed as 12 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId(u64);

impl IntentId {
    const BITS: u32 = 48;
    const DIGITS: usize = 12;

    /// Takes the low 48 bits of a random number.
    #[must_use]
    pub const fn from_random(random: u64) -> Self {
        Self(random & ((1 << Self::BITS) - 1))
    }

    /// The number behind the name.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// One fault of an intent: one effect on one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId {
    /// The request that it belongs to.
    pub intent: IntentId,
    /// Which of the intent's faults, from 0.
    pub part: u16,
}

/// The beginning of an [`IntentId`], as people type it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(String);

impl IdPrefix {
    /// Whether `id` begins like this.
    #[must_use]
    pub fn matches(&self, id: IntentId) -> bool {
        id.to_string().starts_with(&self.0)
    }
}

/// A text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Only hexadecimal digits stand in an id.
    #[error("an id has only the digits 0-9 and a-f")]
    Digit,
    /// Empty, or longer than an id.
    #[error("an id has 1 to 12 digits")]
    Length,
    /// What follows the dot is no number.
    #[error("the part after the dot is a number from 0 to 65535")]
    Part,
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0digits$x}", self.0, digits = Self::DIGITS)
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.intent, self.part)
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IdPrefix {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > IntentId::DIGITS {
            return Err(IdError::Length);
        }
        if !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(IdError::Digit);
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for IntentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let prefix: IdPrefix = text.parse()?;
        if prefix.0.len() != Self::DIGITS {
            return Err(IdError::Length);
        }
        u64::from_str_radix(&prefix.0, 16).map(Self).map_err(|_| IdError::Digit)
    }
}

impl FromStr for FaultId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (intent, part) = text.split_once('.').ok_or(IdError::Part)?;
        Ok(Self { intent: intent.parse()?, part: part.parse().map_err(|_| IdError::Part)? })
    }
}

impl Serialize for IntentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for FaultId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parsing_a_printed_id_gives_it_back(random: u64, part: u16) {
            let id = FaultId { intent: IntentId::from_random(random), part };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn every_prefix_of_an_id_matches_it(random: u64, length in 1usize..=12) {
            let id = IntentId::from_random(random);
            let prefix: IdPrefix = id.to_string()[..length].parse().unwrap();
            prop_assert!(prefix.matches(id));
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        assert_eq!("".parse::<IdPrefix>(), Err(IdError::Length));
        assert_eq!("0123456789abc".parse::<IdPrefix>(), Err(IdError::Length));
        assert_eq!("12G".parse::<IdPrefix>(), Err(IdError::Digit));
        assert_eq!("0123456789ab.x".parse::<FaultId>(), Err(IdError::Part));
    }
}

//! What faults are asked for by.

use std::fmt;
use std::str::FromStr;

use super::lot::mix;

/// What a fault is asked for by, wherever it is put in: no other fault of any run has it.
///
/// 48 random bits, printed as 12 hexadecimal digits. It is in the journal before anybody is asked for the
/// fault, so that another run can take it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultKey(u64);

/// A text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key of a fault")]
pub struct KeyError(String);

impl FaultKey {
    const BITS: u32 = 48;
    const DIGITS: usize = 12;

    /// The key of a run's fault, counted from 0.
    pub(super) const fn nth(identity: u64, number: u64) -> Self {
        Self(mix(identity, number) & ((1 << Self::BITS) - 1))
    }

    /// The number behind it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.0, width = Self::DIGITS)
    }
}

impl FromStr for FaultKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let is_one =
            text.len() == Self::DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_one);
        number.map(Self).ok_or_else(|| KeyError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_a_key_of_its_own_and_is_read_back() {
        let keys: BTreeSet<FaultKey> =
            (0..50).flat_map(|run| (0..50).map(move |number| FaultKey::nth(run, number))).collect();
        assert_eq!(keys.len(), 2_500);
        for key in keys {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for text in ["", "1", "0123456789ag", "+0123456789a", "0123456789abc"] {
            assert!(text.parse::<FaultKey>().is_err(), "{text}");
        }
    }
}

//! Partitions, the keys that tell of them, and what leads to one of them.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// How many bits of a key count within its partition; those above are the partition's number (Protocol.java).
const KEY_BITS: u32 = 51;

/// The highest number: 13 bits of a key.
const HIGHEST: u32 = 8192;

/// A partition by its number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PartitionId(u32);

/// A broker by its number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeId(u32);

/// The key of anything in Zeebe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(pub i64);

/// A text is no partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a partition is a number from 1 to {HIGHEST}")]
pub struct PartitionIdError;

impl PartitionId {
    /// The partition to which deployments go first.
    pub const DEPLOYMENT: Self = Self(1);

    /// Takes a number from 1 to 8192.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= HIGHEST { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The first of them, in order.
    pub fn first(count: u32) -> impl Iterator<Item = Self> + Clone {
        (1..=count.min(HIGHEST)).map(Self)
    }

    /// Where a message with this correlation key goes, of so many partitions.
    ///
    /// As SubscriptionUtil.java has it: the hash of Java's strings, but over the bytes of UTF-8, which are
    /// signed, and its remainder made positive.
    #[must_use]
    pub fn of_message(correlation_key: &str, count: u32) -> Self {
        let hash = correlation_key.as_bytes().iter().fold(0_i32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(i32::from(byte.cast_signed()))
        });
        let count = i64::from(count.clamp(1, HIGHEST));
        let remainder = (i64::from(hash) % count).unsigned_abs();
        Self(u32::try_from(remainder).unwrap_or_default() + 1)
    }

    /// A correlation key whose message goes to this one of so many partitions: the `nth` of those that are
    /// numbers. `None` where there is no such partition.
    #[must_use]
    pub fn correlation_key(self, count: u32, nth: u32) -> Option<String> {
        if self.0 > count {
            return None;
        }
        let numbers = (0_u64..).map(|number| number.to_string());
        let mut fitting = numbers.filter(|text| Self::of_message(text, count) == self);
        fitting.nth(usize::try_from(nth).ok()?)
    }
}

impl NodeId {
    /// The broker of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl Key {
    /// The partition in which it was made; `None` for what is no key.
    #[must_use]
    pub fn partition(self) -> Option<PartitionId> {
        PartitionId::new(u32::try_from(self.0 >> KEY_BITS).ok()?)
    }
}

impl FromStr for PartitionId {
    type Err = PartitionIdError;

    fn from_str(text: &str) -> Result<Self, PartitionIdError> {
        let number = text.parse().ok().filter(|_| !text.starts_with('+'));
        number.and_then(Self::new).ok_or(PartitionIdError)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u32) -> PartitionId {
        PartitionId::new(number).unwrap()
    }

    #[test]
    fn keys_tell_their_partition() {
        assert_eq!(Key(2_251_799_813_685_249).partition(), Some(partition(1)));
        assert_eq!(Key((3 << 51) | 7).partition(), Some(partition(3)));
        assert_eq!(Key(7).partition(), None);
        assert_eq!(Key(-1).partition(), None);
    }

    #[test]
    fn messages_go_where_zeebe_sends_them() {
        // By SubscriptionUtil's own hash: "0" is 48, "-1" is 45 * 31 + 49.
        for (text, count, expected) in
            [("0", 3, 1), ("1", 3, 2), ("2", 3, 3), ("3", 4, 4), ("", 3, 1), ("-1", 5, 5)]
        {
            assert_eq!(PartitionId::of_message(text, count), partition(expected), "{text}");
        }
        // Computed by Java. Of a negative hash the remainder is made positive, and so is that of the lowest.
        let long = "a correlation key that is long enough to overflow";
        for (text, count, expected) in [
            ("é", 3, 2),
            ("é", 7, 5),
            (long, 7, 6),
            ("日本", 5, 3),
            ("日本", 7, 7),
            ("polygenelubricants", 7, 3),
        ] {
            assert_eq!(PartitionId::of_message(text, count), partition(expected), "{text}");
        }
    }

    #[test]
    fn there_is_a_key_for_every_partition() {
        for count in [1, 3, 7, 100] {
            for one in PartitionId::first(count) {
                let [first, second] = [0, 1].map(|nth| one.correlation_key(count, nth).unwrap());
                assert_ne!(first, second);
                assert_eq!(PartitionId::of_message(&first, count), one);
                assert_eq!(PartitionId::of_message(&second, count), one);
            }
        }
        assert_eq!(partition(4).correlation_key(3, 0), None);
    }

    #[test]
    fn numbers_have_their_limits() {
        for text in ["0", "8193", "-1", "+1", "", "x"] {
            assert_eq!(text.parse::<PartitionId>(), Err(PartitionIdError), "{text}");
        }
        assert_eq!("8192".parse(), Ok(partition(8192)));
    }
}

//! How much may be hit at once.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A share of a group in percent, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u8);

/// A text or number is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a whole percentage from 1% to 100%; `schism halt` refuses all faults")]
pub struct ShareError;

impl Share {
    /// Takes a percentage. Nothing is no share: what refuses all faults is the brake.
    ///
    /// # Errors
    /// 0, and more than 100.
    pub const fn new(percent: u8) -> Result<Self, ShareError> {
        match percent {
            1..=100 => Ok(Self(percent)),
            _ => Err(ShareError),
        }
    }

    /// The percentage.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// How many of `size` it allows, rounded down: a share never allows more than itself.
    #[must_use]
    pub fn of(self, size: usize) -> usize {
        // Whole hundreds apart, so that no size overflows.
        let percent = usize::from(self.0);
        size / 100 * percent + size % 100 * percent / 100
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let digits = text.strip_suffix('%').ok_or(ShareError)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { Self::new(digits.parse().map_err(|_| ShareError)?) } else { Err(ShareError) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a percentage in quotes, such as \"30%\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Share, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Limits that hold for everything that is active together; without one there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all(deserialize = "kebab-case"))]
pub struct Limits {
    /// Targets in all.
    pub max_targets: Option<NonZeroU32>,
    /// Members of any one group.
    pub max_share: Option<Share>,
}

/// What would be hit: by the faults that are active and those that are asked for, each target once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Blast {
    /// Targets in all.
    pub targets: usize,
    /// The groups in which members would be hit.
    pub groups: Vec<Hit>,
}

/// What would be hit of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// How the group is called.
    pub group: String,
    /// Members that would be hit.
    pub members: usize,
    /// Members that there are.
    pub size: usize,
}

/// More would be hit than may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlastError {
    /// Too many targets.
    #[error("{targets} targets would be hit at once, and max-targets is {limit}")]
    Targets {
        /// How many would be.
        targets: usize,
        /// How many may be.
        limit: NonZeroU32,
    },
    /// Too many of one group.
    #[error(
        "{} of {} members of {} would be hit at once, and max-share, {limit}, allows {}",
        .hit.members, .hit.size, .hit.group, .limit.of(.hit.size)
    )]
    Share {
        /// What would be hit.
        hit: Hit,
        /// How much may be.
        limit: Share,
    },
}

impl Limits {
    /// Whether so much may be hit. Nothing may always be.
    ///
    /// # Errors
    /// The first limit that does not hold: targets, then groups in their order.
    pub fn admit(&self, blast: &Blast) -> Result<(), BlastError> {
        let targets = blast.targets;
        if let Some(limit) = self.max_targets
            && usize::try_from(limit.get()).is_ok_and(|most| targets > most)
        {
            return Err(BlastError::Targets { targets, limit });
        }
        let Some(limit) = self.max_share else { return Ok(()) };
        match blast.groups.iter().find(|hit| hit.members > limit.of(hit.size)) {
            Some(hit) => Err(BlastError::Share { hit: hit.clone(), limit }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares() {
        let table = [
            ("1%", Ok(1)),
            ("34%", Ok(34)),
            ("100%", Ok(100)),
            ("0%", Err(ShareError)),
            ("101%", Err(ShareError)),
            ("999%", Err(ShareError)),
            ("33.3%", Err(ShareError)),
            ("+5%", Err(ShareError)),
            ("-5%", Err(ShareError)),
            ("%", Err(ShareError)),
            ("5", Err(ShareError)),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse().map(Share::percent), expected, "{text}");
        }
    }

    #[test]
    fn a_share_is_rounded_down() {
        let table = [
            (33, 3, 0),
            (34, 3, 1),
            (66, 3, 1),
            (67, 3, 2),
            (50, 5, 2),
            (50, 1, 0),
            (99, 1, 0),
            (100, 1, 1),
            (100, 0, 0),
            (1, 99, 0),
            (1, 100, 1),
            (29, 100, 29),
            (100, usize::MAX, usize::MAX),
        ];
        for (percent, size, expected) in table {
            assert_eq!(Share::new(percent).unwrap().of(size), expected, "{percent}% of {size}");
        }
    }

    #[test]
    fn limits() {
        let none = Limits::default();
        let two = Limits { max_targets: NonZeroU32::new(2), max_share: None };
        let half = Limits { max_targets: None, max_share: Share::new(50).ok() };
        let hit = |members| Hit { group: "etcd".to_owned(), members, size: 5 };
        let blast = |targets, members| Blast { targets, groups: vec![hit(members)] };
        let share =
            Err("3 of 5 members of etcd would be hit at once, and max-share, 50%, allows 2");
        let table = [
            (none, blast(1_000, 1_000), Ok(())),
            (two, blast(0, 0), Ok(())),
            (two, blast(2, 5), Ok(())),
            (two, blast(3, 0), Err("3 targets would be hit at once, and max-targets is 2")),
            (half, Blast { targets: 9, groups: vec![] }, Ok(())),
            (half, blast(9, 0), Ok(())),
            (half, blast(9, 2), Ok(())),
            (half, blast(9, 3), share),
            (half, Blast { targets: 9, groups: vec![hit(1), hit(3)] }, share),
        ];
        for (limits, blast, expected) in table {
            let found = limits.admit(&blast).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(ToOwned::to_owned), "{limits:?} {blast:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_share_allows_is_the_most_that_is_no_more(percent in 1u8..=100, size in 0usize..10_000) {
            let share = Share::new(percent).unwrap();
            let most = share.of(size);
            prop_assert!(most * 100 <= size * usize::from(percent));
            prop_assert!((most + 1) * 100 > size * usize::from(percent));
        }

        #[test]
        fn parsing_a_printed_share_gives_it_back(percent in 1u8..=100) {
            let share = Share::new(percent).unwrap();
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }
    }
}

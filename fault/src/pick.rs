//! How many of several matches are meant.

use std::fmt;

use crate::lot::{STEP, mix};

/// The PICK of a selector. Without one, more than one match is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pick {
    /// Any one of them, by the seed.
    One,
    /// Every one.
    All,
    /// This many, by the seed.
    Count(u32),
    /// This share of them, rounded up, by the seed.
    Percent(u8),
}

impl Pick {
    /// Reads a PICK; `None` if the word is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        if let Some(digits) = word.strip_suffix('%') {
            return digits.parse().ok().filter(|n| (1..=100).contains(n)).map(Self::Percent);
        }
        match word {
            "one" => Some(Self::One),
            "all" => Some(Self::All),
            digits => digits.parse().ok().filter(|n| *n > 0).map(Self::Count),
        }
    }

    /// How many of `matches` are picked; `None` if there are too few.
    #[must_use]
    pub fn count(self, matches: usize) -> Option<usize> {
        let wanted = match self {
            Self::One => 1,
            Self::All => matches,
            Self::Count(count) => usize::try_from(count).ok()?,
            Self::Percent(percent) => (matches * usize::from(percent)).div_ceil(100),
        };
        (wanted <= matches && wanted > 0).then_some(wanted)
    }

    /// Which of `matches` sorted candidates are picked, in ascending order; only the seed decides. `None`
    /// if there are too few.
    ///
    /// The candidates' order must be one that everybody finds again (by name, not by arrival), or the
    /// same seed picks others.
    #[must_use]
    pub fn indices(self, matches: usize, seed: u64) -> Option<Vec<usize>> {
        let wanted = self.count(matches)?;
        let mut order: Vec<usize> = (0..matches).collect();
        order.sort_by_key(|index| mix(seed ^ (*index as u64).wrapping_mul(STEP)));
        order.truncate(wanted);
        order.sort_unstable();
        Some(order)
    }

    /// Picks from `matches` as [`Self::indices`] says; keeps their order.
    #[must_use]
    pub fn choose<T>(self, matches: Vec<T>, seed: u64) -> Option<Vec<T>> {
        let chosen = self.indices(matches.len(), seed)?;
        let kept = matches.into_iter().enumerate();
        Some(
            kept.filter(|(index, _)| chosen.binary_search(index).is_ok())
                .map(|(_, item)| item)
                .collect(),
        )
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("one"),
            Self::All => f.write_str("all"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts() {
        let table = [
            ("one", 3, Some(1)),
            ("one", 0, None),
            ("all", 3, Some(3)),
            ("2", 3, Some(2)),
            ("4", 3, None),
            ("50%", 3, Some(2)),
            ("1%", 3, Some(1)),
            ("100%", 3, Some(3)),
        ];
        for (word, matches, expected) in table {
            assert_eq!(Pick::parse(word).unwrap().count(matches), expected, "{word} of {matches}");
        }
        for word in ["0", "0%", "101%", "many", "", "-1"] {
            assert_eq!(Pick::parse(word), None, "{word}");
        }
    }

    #[test]
    fn a_seed_picks_the_same_on_every_machine() {
        let table = [
            (Pick::One, 5, 0, vec![0]),
            (Pick::One, 5, 1, vec![3]),
            (Pick::Count(2), 5, 42, vec![3, 4]),
            (Pick::Percent(50), 7, u64::MAX, vec![2, 4, 5, 6]),
            (Pick::All, 3, 9, vec![0, 1, 2]),
        ];
        for (pick, matches, seed, expected) in table {
            assert_eq!(
                pick.indices(matches, seed),
                Some(expected),
                "{pick} of {matches}, seed {seed}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_seed_alone_decides(matches in 1usize..50, wanted in 1u32..50, seed: u64) {
            let all: Vec<usize> = (0..matches).collect();
            let pick = Pick::Count(wanted);
            let first = pick.choose(all.clone(), seed);
            prop_assert_eq!(&first, &pick.choose(all, seed));
            if let Some(chosen) = first {
                prop_assert_eq!(chosen.len(), wanted as usize);
                prop_assert!(chosen.is_sorted());
            }
        }
    }
}

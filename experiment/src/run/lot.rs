//! From what the random choices of each step come: the seed of the run, and the step's place in it.

use serde_json::Value;

use super::progress::Section;

/// Where a step that chooses stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot<'s> {
    /// Of which part of the run.
    pub(super) section: Section,
    /// Which of its steps, counted from 0.
    pub(super) index: usize,
    /// What it is repeated for.
    pub(super) instance: Option<&'s Value>,
}

impl Lot<'_> {
    /// JSON's readers keep numbers as doubles.
    const BITS: u32 = 53;

    /// Its seed: the same whenever the step comes and however often it is tried, so that steps that go on at
    /// once have theirs in any order.
    pub(super) fn seed(self, run: u64) -> u64 {
        let section = match self.section {
            Section::Configuration => 0,
            Section::Before => 1,
            Section::Method => 2,
            Section::After => 3,
            Section::Rollbacks => 4,
            Section::During(number) => 5 + u64::from(number),
        };
        let mut word = mix(run, section);
        word = mix(word, self.index as u64);
        let instance = self.instance.map(ToString::to_string);
        for byte in instance.iter().flat_map(|text| text.bytes()) {
            word = mix(word, byte.into());
        }
        word & ((1 << Self::BITS) - 1)
    }
}

/// SplitMix64: neighbours have nothing in common.
pub(super) const fn mix(state: u64, number: u64) -> u64 {
    let mut word = state.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_has_its_own_seed_and_keeps_it() {
        let (one, other) = (json!("a"), json!("b"));
        let mut seeds = BTreeSet::new();
        for run in 0..4 {
            for section in [Section::Method, Section::Rollbacks, Section::During(0)] {
                for index in 0..4 {
                    for instance in [None, Some(&one), Some(&other)] {
                        let lot = Lot { section, index, instance };
                        assert_eq!(lot.seed(run), lot.seed(run));
                        assert!(lot.seed(run) < 1 << 53);
                        assert!(seeds.insert(lot.seed(run)), "{lot:?}");
                    }
                }
            }
        }
    }
}

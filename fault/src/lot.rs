//! What a seed decides, the same on every machine.

/// Numbers drawn one after the other from a seed: SplitMix64.
///
/// Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014. Whole numbers of
/// 64 bits and nothing else, so that neither the machine nor a library's version changes a choice.
pub(crate) struct Lots(u64);

/// By which the state steps: 2⁶⁴ over the golden ratio, made odd.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Lots {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `bound`, by the upper half of a 128-bit product; uneven by less than
    /// `bound` / 2⁶⁴.
    #[expect(clippy::cast_possible_truncation, reason = "it is less than a usize")]
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    /// Puts items into an order in which each is as likely as another (Fisher, Yates; Durstenfeld
    /// 1964).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A seed for each of several choices that one seed decides, none of which tells of another.
#[must_use]
pub fn seeds<const CHOICES: usize>(seed: u64) -> [u64; CHOICES] {
    let mut lots = Lots::new(seed);
    std::array::from_fn(|_| lots.draw())
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(crate) const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let table = [
            (0, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]),
            (
                1_234_567,
                [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423],
            ),
        ];
        for (seed, expected) in table {
            let mut lots = Lots::new(seed);
            assert_eq!([lots.draw(), lots.draw(), lots.draw()], expected, "{seed}");
        }
    }

    #[test]
    fn every_order_is_as_likely_as_another() {
        let mut counts = std::collections::BTreeMap::<[u8; 3], u32>::new();
        let mut lots = Lots::new(7);
        for _ in 0..6_000 {
            let mut items = [0, 1, 2];
            lots.shuffle(&mut items);
            *counts.entry(items).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| count.abs_diff(1_000) < 150), "{counts:?}");
    }
}

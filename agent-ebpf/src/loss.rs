//! Loss by lot: the same seed loses the same packets.

/// The lot of the packet with number `n`: an even 64-bit hash of both.
///
/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
/// 2014) over a state that steps by an odd constant.
#[inline(always)]
pub const fn draw(seed: u64, n: u64) -> u64 {
    let mut lot = seed ^ n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    lot = (lot ^ (lot >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    lot = (lot ^ (lot >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    lot ^ (lot >> 31)
}

/// Whether packet `n` of a fault is lost, with a probability of `chance` in 1/2³².
#[inline(always)]
pub const fn loses(seed: u64, n: u64, chance: u64) -> bool {
    draw(seed, n) >> 32 < chance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::CERTAIN;

    #[test]
    fn share_is_the_chance() {
        for seed in [0, 1, 42, u64::MAX] {
            for percent in [1u64, 30, 50, 99] {
                let chance = CERTAIN * percent / 100;
                let lost = (0..100_000).filter(|&n| loses(seed, n, chance)).count() as u64;
                assert!(lost.abs_diff(percent * 1000) < 600, "{seed} {percent} {lost}");
            }
        }
    }

    #[test]
    fn ends() {
        assert!((0..1000).all(|n| loses(7, n, CERTAIN)));
        assert!((0..1000).all(|n| !loses(7, n, 0)));
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let run = |seed| (0..64).map(|n| loses(seed, n, CERTAIN / 2)).collect::<Vec<_>>();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}

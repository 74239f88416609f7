//! The prefilter: one bit that says whether a network may be in `schism_peers`.

use crate::{
    abi::{Address, PREFILTER_BITS, Side},
    address::Ip,
};

/// Words of `schism_filter`.
pub const WORDS: u32 = PREFILTER_BITS / 64;

/// The network of this `length` (0 to 128, of the 16-byte form) that contains the address.
pub fn mask(address: &Address, length: u8) -> Address {
    Ip::from_bytes(address).masked(length).to_bytes()
}

/// Number of the bit for a masked address: bit `n % 64` of word `n / 64`, host order.
pub fn index(side: Side, length: u8, network: &Address) -> u32 {
    index_of(side, length, Ip::from_bytes(network))
}

/// [`index`] of an address in numbers.
#[inline(always)]
pub const fn index_of(side: Side, length: u8, network: Ip) -> u32 {
    // Multiplicative hashing: the top bits of the product depend on every bit below them.
    let salt = (((length as u64) << 1) | side as u64) << 40;
    let mix = network.high.wrapping_mul(0x9fb2_1c65_1e98_df25) ^ network.low ^ salt;
    (mix.wrapping_mul(0xd1b5_4a32_d192_ed03) >> (64 - PREFILTER_BITS.trailing_zeros())) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn neighbours_spread() {
        let v4: HashSet<_> =
            (0..10_000).map(|n| index_of(Side::Ingress, 128, Ip::v4(0x0a00_0000 + n))).collect();
        assert!(v4.len() > 9_700, "{}", v4.len());
        let v6: HashSet<_> = (0..10_000)
            .map(|n| index_of(Side::Ingress, 64, Ip { high: 0x2001_0db8_0000_0000 + n, low: 0 }))
            .collect();
        assert!(v6.len() > 9_700, "{}", v6.len());
        let sides: HashSet<_> = (0..=128)
            .flat_map(|length| {
                [Side::Ingress, Side::Egress].map(|side| index_of(side, length, Ip::v4(1)))
            })
            .collect();
        assert!(sides.len() > 255, "{}", sides.len());
    }

    #[test]
    fn strangers_are_kept_out() {
        let peers: HashSet<_> =
            (0..10_000).map(|n| index_of(Side::Ingress, 128, Ip::v4(0x0a00_0000 + n))).collect();
        let mistaken = (0..100_000)
            .filter(|n| peers.contains(&index_of(Side::Ingress, 128, Ip::v4(0xc0a8_0000 + n))))
            .count();
        assert!(mistaken < 4_500, "{mistaken}");
        assert!(peers.iter().all(|&bit| bit < PREFILTER_BITS));
    }

    #[test]
    fn bytes_and_numbers_agree() {
        let address = Ip::v4(0x0a01_0203).to_bytes();
        assert_eq!(
            index(Side::Egress, 120, &mask(&address, 120)),
            index_of(Side::Egress, 120, Ip::v4(0x0a01_0200))
        );
    }
}

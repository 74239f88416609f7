//! An IP address as two numbers, which is how it is masked, hashed and compared.

use crate::abi::Address;

/// An address in host order: IPv4 is `::ffff:a.b.c.d`, as in [`Address`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ip {
    /// The first 64 bits.
    pub high: u64,
    /// The last 64 bits.
    pub low: u64,
}

impl Ip {
    /// The IPv4 address with these 32 bits (host order).
    #[inline(always)]
    pub const fn v4(bits: u32) -> Self {
        Self { high: 0, low: 0xffff_0000_0000 | bits as u64 }
    }

    /// The address with these bytes (network order).
    #[inline(always)]
    pub const fn from_bytes(bytes: &Address) -> Self {
        let bits = u128::from_be_bytes(*bytes);
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// Its bytes in network order.
    #[inline(always)]
    pub fn to_bytes(self) -> Address {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.high.to_be_bytes());
        bytes[8..].copy_from_slice(&self.low.to_be_bytes());
        bytes
    }

    /// The network of this `length` (0 to 128, of the 16-byte form) that contains it.
    #[inline(always)]
    pub const fn masked(self, length: u8) -> Self {
        if length > 64 {
            Self {
                high: self.high,
                low: self.low & (u64::MAX << (128u8.wrapping_sub(length) & 63)),
            }
        } else if length > 0 {
            Self { high: self.high & (u64::MAX << ((64 - length) & 63)), low: 0 }
        } else {
            Self { high: 0, low: 0 }
        }
    }

    /// The same for an IPv4 address, whose lengths are from 96: one shift, no branch.
    #[inline(always)]
    pub const fn masked_v4(self, length: u8) -> Self {
        Self { high: 0, low: self.low & (u64::MAX << (128u8.wrapping_sub(length) & 63)) }
    }

    /// Whether it is IPv6 link-local unicast, fe80::/10 (RFC 4291 2.5.6).
    #[inline(always)]
    pub const fn is_link_local(self) -> bool {
        self.high >> 54 == 0xfe80 >> 6
    }

    /// Whether it is 224.0.0.0/4, ff00::/8 or 255.255.255.255: for every receiver on the link.
    #[inline(always)]
    pub const fn is_for_many(self) -> bool {
        self.high >> 56 == 0xff
            || (self.high == 0 && (self.low >> 28 == 0xf_fffe || self.low == 0xffff_ffff_ffff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn ip(text: &str) -> Ip {
        Ip::from_bytes(&text.parse::<Ipv6Addr>().unwrap().octets())
    }

    #[test]
    fn bytes_survive() {
        let bytes = "fe80:1:2:3:4:5:6:7".parse::<Ipv6Addr>().unwrap().octets();
        assert_eq!(Ip::from_bytes(&bytes).to_bytes(), bytes);
        assert_eq!(Ip::v4(0x0a00_0001), ip("::ffff:10.0.0.1"));
    }

    #[test]
    fn masks() {
        let address = ip("2001:db8:1:2:3:4:5:6");
        for (length, network) in [
            (0, "::"),
            (1, "::"),
            (32, "2001:db8::"),
            (63, "2001:db8:1:2::"),
            (64, "2001:db8:1:2::"),
            (65, "2001:db8:1:2::"),
            (80, "2001:db8:1:2:3::"),
            (127, "2001:db8:1:2:3:4:5:6"),
            (128, "2001:db8:1:2:3:4:5:6"),
        ] {
            assert_eq!(address.masked(length), ip(network), "/{length}");
        }
        assert_eq!(ip("::ffff:10.1.2.3").masked(96 + 24), ip("::ffff:10.1.2.0"));
        for length in 96..=128 {
            let address = ip("::ffff:255.254.253.251");
            assert_eq!(address.masked_v4(length), address.masked(length), "/{length}");
        }
    }

    #[test]
    fn classes() {
        assert!(ip("fe80::1").is_link_local() && ip("febf::1").is_link_local());
        assert!(!ip("fec0::1").is_link_local() && !ip("fe7f::1").is_link_local());
        for many in ["ff02::1", "::ffff:224.0.0.1", "::ffff:239.9.9.9", "::ffff:255.255.255.255"] {
            assert!(ip(many).is_for_many(), "{many}");
        }
        for one in ["fe80::1", "::ffff:223.0.0.1", "::ffff:240.0.0.1", "::e000:1", "::1"] {
            assert!(!ip(one).is_for_many(), "{one}");
        }
    }
}

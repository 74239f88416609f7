//! Sets of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Which link a link-local address belongs to.
///
/// The name is resolved in the target's namespace, where the index has its meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// An interface by name (`%eth0`).
    Name(String),
    /// An interface by index (`%2`).
    Index(u32),
}

/// An address prefix; a single address is one of full length.
///
/// One form for both families: 16 bytes, IPv4 mapped into `::ffff:0:0/96` (RFC 4291 2.5.5.2). Host bits
/// are zero.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    network: [u8; 16],
    length: u8,
    scope: Option<Scope>,
}

/// Length of the prefix under which IPv4 stands.
const MAPPED: u8 = 96;

impl Prefix {
    /// A single address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self { network: octets(address), length: 128, scope: None }
    }

    /// A single link-local address on one link.
    #[must_use]
    pub fn scoped(address: Ipv6Addr, scope: Scope) -> Self {
        Self { network: address.octets(), length: 128, scope: Some(scope) }
    }

    /// All addresses that share the first `length` bits of the 16-byte form; host bits are cleared.
    ///
    /// # Errors
    /// A length beyond 128.
    pub fn new(address: [u8; 16], length: u8, scope: Option<Scope>) -> Result<Self, AddressError> {
        if length > 128 {
            return Err(AddressError::Length(128));
        }
        let network = (u128::from_be_bytes(address) & mask(length)).to_be_bytes();
        Ok(Self { network, length, scope })
    }

    /// The first address, in the 16-byte form.
    #[must_use]
    pub const fn network(&self) -> [u8; 16] {
        self.network
    }

    /// Length in bits of the 16-byte form (an IPv4 /24 is 120).
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The link of a link-local prefix.
    #[must_use]
    pub const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// Whether this is IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.length >= MAPPED && Ipv6Addr::from(self.network).to_ipv4_mapped().is_some()
    }

    /// Whether all of it is link-local IPv6 (fe80::/10), which means something on one link only.
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        self.length >= 10 && self.network[0] == 0xfe && self.network[1] & 0xc0 == 0x80
    }

    /// Whether the address lies in it; the scope is not looked at.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same_family = address.is_ipv4() == self.is_ipv4();
        let bits = u128::from_be_bytes(octets(address)) & mask(self.length);
        same_family && bits.to_be_bytes() == self.network
    }

    /// Whether the two have an address in common; the scope is not looked at.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let bits = mask(self.length.min(other.length));
        let same = |prefix: &Self| u128::from_be_bytes(prefix.network) & bits;
        self.is_ipv4() == other.is_ipv4() && same(self) == same(other)
    }
}

const fn mask(length: u8) -> u128 {
    if length == 0 { 0 } else { u128::MAX << (128 - length as u32) }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// A text is no address or prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an IPv4 or IPv6 address.
    #[error("no IPv4 or IPv6 address; write one such as 10.0.0.7, 10.0.0.0/24 or fd00::/64")]
    Form,
    /// The prefix is longer than the address.
    #[error("a prefix length from 0 to {0} must follow the slash")]
    Length(u8),
    /// Only link-local IPv6 has a zone.
    #[error("only a link-local IPv6 address has a zone after %")]
    Zone,
    /// A link-local address alone names a host on every link.
    #[error("a link-local address needs its interface, such as fe80::1%eth0")]
    NoZone,
}

impl FromStr for Prefix {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, length) = match text.split_once('/') {
            Some((host, length)) => (host, Some(length)),
            None => (text, None),
        };
        let (host, zone) = match host.split_once('%') {
            Some((host, zone)) => (host, Some(zone)),
            None => (host, None),
        };
        let address: IpAddr = host.parse().map_err(|_| AddressError::Form)?;
        let (width, offset) = match address {
            IpAddr::V4(_) => (32, MAPPED),
            IpAddr::V6(_) => (128, 0),
        };
        let length = match length {
            None => width,
            Some(digits) => {
                digits.parse().ok().filter(|n| *n <= width).ok_or(AddressError::Length(width))?
            }
        };
        let scope = match zone {
            None => None,
            Some("") => return Err(AddressError::NoZone),
            Some(zone) => Some(match zone.parse() {
                Ok(0) => return Err(AddressError::NoZone),
                Ok(index) => Scope::Index(index),
                Err(_) => Scope::Name(zone.to_owned()),
            }),
        };
        let prefix = Self::new(octets(address), length + offset, scope)?;
        match (prefix.is_link_local(), &prefix.scope) {
            (true, None) => Err(AddressError::NoZone),
            (false, Some(_)) => Err(AddressError::Zone),
            (true, Some(_)) | (false, None) => Ok(prefix),
        }
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::host(address)
    }
}

impl From<Ipv4Addr> for Prefix {
    fn from(address: Ipv4Addr) -> Self {
        Self::host(address.into())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = Ipv6Addr::from(self.network);
        let (full, length) = match v6.to_ipv4_mapped() {
            Some(v4) if self.is_ipv4() => {
                write!(f, "{v4}")?;
                (32, self.length - MAPPED)
            }
            _ => {
                write!(f, "{v6}")?;
                (128, self.length)
            }
        };
        match &self.scope {
            Some(Scope::Name(name)) => write!(f, "%{name}")?,
            Some(Scope::Index(index)) => write!(f, "%{index}")?,
            None => {}
        }
        if length == full { Ok(()) } else { write!(f, "/{length}") }
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, AddressError> {
        text.parse::<Prefix>().map(|prefix| prefix.to_string())
    }

    #[test]
    fn forms() {
        let good = [
            ("10.0.0.7", "10.0.0.7"),
            ("10.0.0.7/24", "10.0.0.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("fd00::1/64", "fd00::/64"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("fe80::%2/64", "fe80::%2/64"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
        ];
        for (text, printed) in good {
            assert_eq!(parse(text), Ok(printed.to_owned()), "{text}");
        }
        let bad = [
            ("10.0.0", AddressError::Form),
            ("", AddressError::Form),
            ("10.0.0.7/33", AddressError::Length(32)),
            ("::1/129", AddressError::Length(128)),
            ("::1/x", AddressError::Length(128)),
            ("fe80::1", AddressError::NoZone),
            ("fe80::1%", AddressError::NoZone),
            ("10.0.0.7%eth0", AddressError::Zone),
        ];
        for (text, error) in bad {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn all_of_ipv6_is_not_ipv4() {
        let all: Prefix = "::/0".parse().unwrap();
        assert!(!all.contains("10.0.0.1".parse().unwrap()));
        assert!(all.contains("fd00::1".parse().unwrap()));
        assert!(!all.overlaps(&"0.0.0.0/0".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn parsing_a_printed_prefix_gives_it_back(bytes: [u8; 16], length in 0u8..=128) {
            let prefix = Prefix::new(bytes, length, None).unwrap();
            prop_assume!(!prefix.is_link_local());
            prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }

        #[test]
        fn parsing_a_printed_ipv4_prefix_gives_it_back(bytes: [u8; 4], length in 96u8..=128) {
            let mapped = Ipv4Addr::from(bytes).to_ipv6_mapped().octets();
            let prefix = Prefix::new(mapped, length, None).unwrap();
            prop_assert_eq!(prefix.to_string().parse(), Ok(prefix.clone()));
            prop_assert!(prefix.contains(Ipv4Addr::from(bytes).into()));
        }
    }
}

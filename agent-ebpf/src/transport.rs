//! The transport header: ports, TCP flags, ICMP type, and the packet that an ICMP error quotes.
//!
//! RFC 9293, RFC 768, RFC 792, RFC 4443, RFC 4861 (neighbour discovery).

use crate::{
    abi::{PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP},
    packet::{Bytes, Packet},
    parse::{self, Family, Fragment, HIDDEN, Header, Network, Upper},
};

/// ICMPv6 as a next header.
pub const ICMP_V6: u8 = 58;
/// TCP flag: synchronise.
pub const TCP_SYN: u8 = 0x02;
/// TCP flag: acknowledge.
pub const TCP_ACK: u8 = 0x10;

/// What a transport header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Cut short, hidden by extension headers, or in another fragment.
    Unreadable,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP: an echo request or anything else that its sender began.
    Request,
    /// ICMP: an answer; its receiver began.
    Reply,
    /// ICMP: an error about a packet that it quotes.
    Error,
    /// IPv6 neighbour discovery: router and neighbour messages and redirects (133 to 137).
    Discovery,
    /// Another protocol; its ports, if it has any, are not looked at.
    Other,
}

/// A transport header. One flat value without an undefined byte: the verifier rejects what LLVM
/// makes of undefined ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// What it is.
    pub kind: Kind,
    /// TCP: the eight flags from CWR to FIN.
    pub flags: u8,
    /// TCP and UDP: source port.
    pub source: u16,
    /// TCP and UDP: destination port.
    pub destination: u16,
    /// ICMP echo: the identifier.
    pub identifier: u16,
}

impl Transport {
    /// A header without fields.
    #[inline(always)]
    pub const fn bare(kind: Kind) -> Self {
        Self { kind, flags: 0, source: 0, destination: 0, identifier: 0 }
    }
}

/// Reads the transport header.
#[inline(always)]
pub fn read<P: Packet>(packet: &P, header: &Header, upper: &Upper) -> Transport {
    if upper.fragment == Fragment::Later {
        return Transport::bare(Kind::Unreadable);
    }
    if upper.protocol != PROTOCOL_TCP {
        return read_short(packet, header, upper.offset, upper.protocol);
    }
    // The least that a TCP header has.
    let mut room = Bytes::<20>::ROOM;
    let Some(bytes) = parse::load(packet, header, upper.offset, &mut room) else {
        return Transport::bare(Kind::Unreadable);
    };
    Transport {
        kind: Kind::Tcp,
        flags: bytes.0[13],
        source: bytes.u16(0),
        destination: bytes.u16(2),
        identifier: 0,
    }
}

/// Reads 8 bytes, as much as the smallest transport headers have and every ICMP error quotes.
#[inline(always)]
fn read_short<P: Packet>(packet: &P, header: &Header, offset: u32, protocol: u8) -> Transport {
    let icmp = is_icmp(header.family, protocol);
    if protocol == HIDDEN {
        return Transport::bare(Kind::Unreadable);
    }
    if !icmp && protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP {
        return Transport::bare(Kind::Other);
    }
    let mut room = Bytes::<8>::ROOM;
    let Some(bytes) = parse::load(packet, header, offset, &mut room) else {
        return Transport::bare(Kind::Unreadable);
    };
    if icmp {
        let kind = bytes.0[0];
        let identifier = if is_echo(header.family, kind) { bytes.u16(4) } else { 0 };
        return Transport { identifier, ..Transport::bare(meaning(header.family, kind)) };
    }
    let kind = if protocol == PROTOCOL_TCP { Kind::Tcp } else { Kind::Udp };
    Transport { source: bytes.u16(0), destination: bytes.u16(2), ..Transport::bare(kind) }
}

/// Reads the IP header that the ICMP error at `upper` quotes.
#[inline(always)]
pub fn quoted<P: Packet>(packet: &P, header: &Header, upper: &Upper) -> Option<Header> {
    let at = upper.offset + 8;
    let network = match header.family {
        Family::V4 => parse::read_v4(packet, at),
        Family::V6 => parse::read_v6(packet, at),
    };
    let Network::Ip(inner) = network else { return None };
    // The quotation is cut, its own length is not: what bounds it is the packet around it.
    Some(Header { end: header.end, ..inner })
}

/// Reads the transport header behind a quoted IP header, without TCP flags, which are not always
/// quoted.
#[inline(always)]
pub fn read_quoted<P: Packet>(packet: &P, inner: &Header) -> Transport {
    let inside = parse::upper(packet, inner);
    if inside.fragment == Fragment::Later {
        return Transport::bare(Kind::Unreadable);
    }
    read_short(packet, inner, inside.offset, inside.protocol)
}

/// Whether `protocol` is ICMP of the family.
#[inline(always)]
pub fn is_icmp(family: Family, protocol: u8) -> bool {
    match family {
        Family::V4 => protocol == PROTOCOL_ICMP,
        Family::V6 => protocol == ICMP_V6,
    }
}

#[inline(always)]
fn is_echo(family: Family, kind: u8) -> bool {
    match family {
        Family::V4 => matches!(kind, 0 | 8),
        Family::V6 => matches!(kind, 128 | 129),
    }
}

#[inline(always)]
fn meaning(family: Family, kind: u8) -> Kind {
    match (family, kind) {
        (Family::V4, 0 | 14 | 16 | 18) | (Family::V6, 129) => Kind::Reply,
        (Family::V4, 3 | 4 | 5 | 11 | 12) | (Family::V6, 1..=4) => Kind::Error,
        (Family::V6, 133..=137) => Kind::Discovery,
        (Family::V4 | Family::V6, _) => Kind::Request,
    }
}

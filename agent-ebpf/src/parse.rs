//! The IP header: addresses, protocol, fragment, and where the transport header begins.
//!
//! RFC 791, RFC 8200 4, RFC 4302 (AH), RFC 6275 6.1 (mobility), RFC 2675 (jumbograms).

use core::mem::MaybeUninit;

use crate::{
    address::Ip,
    packet::{Bytes, Packet},
};

/// EtherType of IPv4.
pub const ETHERTYPE_V4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_V6: u16 = 0x86dd;
/// The transport protocol where extension headers hide it (255 is reserved by IANA).
pub const HIDDEN: u8 = 255;
/// Extension headers that are read, at most.
pub const MAX_EXTENSIONS: usize = 8;
/// VLAN tags in the bytes that are read, at most.
pub const MAX_TAGS: usize = 2;

const TAG_C: u16 = 0x8100;
const TAG_S: u16 = 0x88a8;

/// IP version.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4 = 0,
    /// IPv6.
    V6 = 1,
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// All of it.
    Whole,
    /// The part with the transport header.
    First,
    /// A part without it.
    Later,
}

/// The fixed part of an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source.
    pub source: Ip,
    /// Destination.
    pub destination: Ip,
    /// First byte after it, IPv4 options included; offsets count from the network header.
    pub after: u32,
    /// First byte that is no longer of the IP packet: what follows is link-layer padding.
    /// `u32::MAX` where the header does not tell (jumbograms, BIG TCP).
    pub end: u32,
    /// IPv4: flags and fragment offset; IPv6: 0.
    pub fragment: u16,
    /// Protocol (IPv4) or next header (IPv6).
    pub next: u8,
    /// IP version.
    pub family: Family,
}

impl Header {
    /// The header of no packet.
    pub(crate) const NONE: Self = Self {
        source: Ip::v4(0),
        destination: Ip::v4(0),
        after: 0,
        end: 0,
        fragment: 0,
        next: HIDDEN,
        family: Family::V4,
    };
}

/// What [`header`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Not an IP packet.
    Other,
    /// Called IP, but its header is not one.
    Broken,
    /// An IP packet.
    Ip(Header),
}

/// What stands behind the IP header and its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// Where it begins, from the network header.
    pub offset: u32,
    /// Part of a datagram.
    pub fragment: Fragment,
    /// Transport protocol, or [`HIDDEN`].
    pub protocol: u8,
}

/// Reads the IP header of a packet, behind up to [`MAX_TAGS`] VLAN tags.
#[inline(always)]
pub fn header<P: Packet>(packet: &P) -> Network {
    match packet.ethertype() {
        ETHERTYPE_V4 => read_v4(packet, 0),
        ETHERTYPE_V6 => read_v6(packet, 0),
        TAG_C | TAG_S => behind_tags(packet),
        _ => Network::Other,
    }
}

/// A tag in the bytes is 4 of them: the tag and the EtherType of what follows (IEEE 802.1Q 9.6).
///
/// At egress of a VLAN device without REORDER_HDR the network header is the IP header already,
/// although the protocol is the tag's (vlan_dev_hard_header): then no known EtherType is where a
/// tag would have it, and the version tells the family.
#[inline(always)]
fn behind_tags<P: Packet>(packet: &P) -> Network {
    let mut offset = 0;
    for _ in 0..MAX_TAGS {
        let mut room = Bytes::<4>::ROOM;
        let Some(bytes) = packet.load(offset, &mut room) else { return Network::Broken };
        match bytes.u16(2) {
            ETHERTYPE_V4 => return read_v4(packet, offset + 4),
            ETHERTYPE_V6 => return read_v6(packet, offset + 4),
            TAG_C | TAG_S => offset += 4,
            _ if offset == 0 && bytes.0[0] >> 4 == 4 => return read_v4(packet, 0),
            _ if offset == 0 && bytes.0[0] >> 4 == 6 => return read_v6(packet, 0),
            _ => return Network::Other,
        }
    }
    Network::Other
}

/// Reads an IPv4 header at `at`.
#[inline(always)]
pub(crate) fn read_v4<P: Packet>(packet: &P, at: u32) -> Network {
    let mut room = Bytes::<20>::ROOM;
    let Some(bytes) = packet.load(at, &mut room) else { return Network::Broken };
    let first = bytes.0[0];
    let length = u32::from(first & 15) * 4;
    let total = u32::from(bytes.u16(2));
    // A total length of 0 is a GSO packet beyond 64 KiB (BIG TCP, kernel 6.3).
    if first >> 4 != 4 || length < 20 || (total != 0 && total < length) {
        return Network::Broken;
    }
    Network::Ip(Header {
        source: Ip::v4(bytes.u32(12)),
        destination: Ip::v4(bytes.u32(16)),
        after: at + length,
        end: if total == 0 { u32::MAX } else { at + total },
        fragment: bytes.u16(6),
        next: bytes.0[9],
        family: Family::V4,
    })
}

/// Reads an IPv6 header at `at`.
#[inline(always)]
pub(crate) fn read_v6<P: Packet>(packet: &P, at: u32) -> Network {
    let mut room = Bytes::<40>::ROOM;
    let Some(bytes) = packet.load(at, &mut room) else { return Network::Broken };
    if bytes.0[0] >> 4 != 6 {
        return Network::Broken;
    }
    let payload = u32::from(bytes.u16(4));
    Network::Ip(Header {
        source: Ip { high: bytes.u64(8), low: bytes.u64(16) },
        destination: Ip { high: bytes.u64(24), low: bytes.u64(32) },
        after: at + 40,
        end: if payload == 0 { u32::MAX } else { at + 40 + payload },
        fragment: 0,
        next: bytes.0[6],
        family: Family::V6,
    })
}

/// Copies N bytes from `offset`, if they belong to the IP packet.
#[inline(always)]
pub(crate) fn load<'a, P: Packet, const N: usize>(
    packet: &P,
    header: &Header,
    offset: u32,
    room: &'a mut MaybeUninit<Bytes<N>>,
) -> Option<&'a Bytes<N>> {
    if offset + N as u32 > header.end {
        return None;
    }
    packet.load(offset, room)
}

/// Walks to the transport header.
#[inline(always)]
pub fn upper<P: Packet>(packet: &P, header: &Header) -> Upper {
    match header.family {
        Family::V4 => Upper {
            offset: header.after,
            fragment: match (header.fragment & 0x1fff, header.fragment & 0x2000) {
                (0, 0) => Fragment::Whole,
                (0, _) => Fragment::First,
                _ => Fragment::Later,
            },
            protocol: header.next,
        },
        Family::V6 => {
            let mut upper =
                Upper { offset: header.after, fragment: Fragment::Whole, protocol: header.next };
            walk(packet, header, &mut upper);
            upper
        }
    }
}

/// Hop-by-hop options, routing, destination options and mobility have one form: the next header,
/// then the length in 8 bytes beyond the first 8; AH counts 4 bytes beyond the first 8.
#[inline(never)]
fn walk<P: Packet>(packet: &P, header: &Header, upper: &mut Upper) {
    let mut next = header.next;
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(next) {
            break;
        }
        let mut room = Bytes::<8>::ROOM;
        let Some(bytes) = load(packet, header, upper.offset, &mut room) else { break };
        let size = match next {
            44 => 8,
            51 => (u32::from(bytes.0[1]) + 2) * 4,
            _ => (u32::from(bytes.0[1]) + 1) * 8,
        };
        if next == 44 && bytes.u16(2) & 1 != 0 && upper.fragment == Fragment::Whole {
            upper.fragment = Fragment::First;
        }
        let later = next == 44 && bytes.u16(2) >> 3 != 0;
        next = bytes.0[0];
        upper.offset += size;
        if later {
            upper.fragment = Fragment::Later;
            break;
        }
    }
    upper.protocol = if is_extension(next) { HIDDEN } else { next };
}

/// Hop-by-hop 0, routing 43, fragment 44, AH 51, destination options 60, mobility 135.
#[inline(always)]
fn is_extension(next: u8) -> bool {
    matches!(next, 0 | 43 | 44 | 51 | 60 | 135)
}

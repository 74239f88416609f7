//! Hand-made frames: bytes as a device would receive them.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const RST: u8 = 4;

/// An Ethernet frame; a destination of zeros is the loopback device's own address.
pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The frame behind tags (EtherTypes, outermost first).
pub(crate) fn tagged(frame: &[u8], tags: &[u16]) -> Vec<u8> {
    let mut bytes = frame[..12].to_vec();
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend(7u16.to_be_bytes());
    }
    bytes.extend(&frame[12..]);
    bytes
}

/// IPv4 with options (a multiple of 4 bytes), flags and fragment offset.
pub(crate) fn v4_with(
    from: &str,
    to: &str,
    protocol: u8,
    fragment: u16,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let mut bytes = vec![0x40 | (header / 4) as u8, 0];
    bytes.extend(((header + payload.len()) as u16).to_be_bytes());
    bytes.extend([0, 9]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend(from.parse::<Ipv4Addr>().unwrap().octets());
    bytes.extend(to.parse::<Ipv4Addr>().unwrap().octets());
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

/// IPv6 with extension headers, given as (type, bytes behind the next-header byte).
pub(crate) fn v6_with(
    from: &str,
    to: &str,
    protocol: u8,
    extensions: &[(u8, Vec<u8>)],
    payload: &[u8],
) -> Vec<u8> {
    let types: Vec<u8> = extensions.iter().map(|&(kind, _)| kind).chain([protocol]).collect();
    let mut rest = Vec::new();
    for (index, (_, body)) in extensions.iter().enumerate() {
        rest.push(types[index + 1]);
        rest.extend(body);
    }
    rest.extend(payload);
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend([types[0], 64]);
    bytes.extend(from.parse::<Ipv6Addr>().unwrap().octets());
    bytes.extend(to.parse::<Ipv6Addr>().unwrap().octets());
    bytes.extend(rest);
    bytes
}

/// An IP packet of the family of its addresses.
pub(crate) fn ip(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    if from.contains(':') {
        v6_with(from, to, protocol, &[], payload)
    } else {
        v4_with(from, to, protocol, 0, &[], payload)
    }
}

/// The Ethernet frame around an IP packet.
pub(crate) fn frame(packet: &[u8]) -> Vec<u8> {
    ethernet(if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, packet)
}

pub(crate) fn tcp_header(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    bytes
}

pub(crate) fn udp_header(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend([0, 12, 0, 0, b'd', b'a', b't', b'a']);
    bytes
}

pub(crate) fn icmp_header(kind: u8, identifier: u16, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(rest);
    bytes
}

pub(crate) fn tcp(from: &str, source: u16, to: &str, destination: u16, flags: u8) -> Vec<u8> {
    frame(&ip(from, to, TCP, &tcp_header(source, destination, flags)))
}

pub(crate) fn udp(from: &str, source: u16, to: &str, destination: u16) -> Vec<u8> {
    frame(&ip(from, to, UDP, &udp_header(source, destination)))
}

pub(crate) fn icmp(from: &str, to: &str, kind: u8, identifier: u16, rest: &[u8]) -> Vec<u8> {
    let protocol = if from.contains(':') { 58 } else { 1 };
    frame(&ip(from, to, protocol, &icmp_header(kind, identifier, rest)))
}

/// The body of a fragment header: offset in 8 bytes, and whether more follow.
pub(crate) fn fragment(offset: u16, more: u16) -> (u8, Vec<u8>) {
    let mut body = vec![0];
    body.extend((offset << 3 | more).to_be_bytes());
    body.extend([0, 0, 0, 5]);
    (44, body)
}

/// A header of hop-by-hop's form: `kind`, with `extra` times 8 bytes beyond the first 8.
pub(crate) fn extension(kind: u8, extra: u8) -> (u8, Vec<u8>) {
    let mut body = vec![extra];
    body.resize(7 + usize::from(extra) * 8, 0);
    (kind, body)
}

/// An authentication header, `words` times 4 bytes beyond the first 8.
pub(crate) fn authentication(words: u8) -> (u8, Vec<u8>) {
    let mut body = vec![words];
    body.resize(7 + usize::from(words) * 4, 0);
    (51, body)
}

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use fault::NodeNetwork;
use proptest::prelude::*;

use super::*;

/// A packet from its network header on, and what the kernel knows of it.
#[derive(Clone)]
struct Sent {
    bytes: Vec<u8>,
    ether_type: u32,
    packet_type: u32,
    device_type: u32,
    payload: u32,
}

/// What a kernel does with a program: how many bytes it keeps, none for a load beyond the packet.
fn kept(program: &[Instruction], packet: &Sent) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    let word = |place: u32, length: usize| -> Option<u32> {
        let place = usize::try_from(place).unwrap();
        let bytes = packet.bytes.get(place..place.checked_add(length)?)?;
        Some(bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
    };
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let loaded = match (code, k) {
            (LOAD_WORD, ETHER_TYPE) => Some(packet.ether_type),
            (LOAD_WORD, PACKET_TYPE) => Some(packet.packet_type),
            (LOAD_WORD, DEVICE_TYPE) => Some(packet.device_type),
            (LOAD_WORD, PAYLOAD_OFFSET) => Some(packet.payload),
            (LOAD_WORD, place) => word(place, 4),
            (LOAD_HALF, place) => word(place, 2),
            (LOAD_BYTE, place) => word(place, 1),
            (LOAD_HALF_AT_X, place) => word(place + x, 2),
            (X_HEADER_LENGTH, place) => {
                let Some(byte) = word(place, 1) else { return 0 };
                x = 4 * (byte & 15);
                continue;
            }
            (AND, mask) => Some(a & mask),
            (JUMP, by) => {
                at += usize::try_from(by).unwrap();
                continue;
            }
            (JUMP_IF_EQUAL | JUMP_IF_ABOVE | JUMP_IF_ANY_BIT, value) => {
                let is = match code {
                    JUMP_IF_EQUAL => a == value,
                    JUMP_IF_ABOVE => a > value,
                    _ => a & value != 0,
                };
                at += usize::from(if is { jt } else { jf });
                continue;
            }
            (RETURN, length) => return length,
            (RETURN_A, _) => return a,
            (code, _) => panic!("unknown instruction {code:#x}"),
        };
        let Some(loaded) = loaded else { return 0 };
        a = loaded;
    }
}

fn capture(peers: &[&str], port: Option<u16>, kept: Kept) -> Capture {
    Capture {
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
        port,
        kept,
        total: Duration::from_secs(1),
        most: 1,
        node: NodeNetwork::Refused,
    }
}

/// A packet of a protocol between two addresses and two ports, with 100 bytes behind the ports.
fn packet(from: &str, to: &str, protocol: u8, ports: (u16, u16)) -> Sent {
    let addresses: [IpAddr; 2] = [from.parse().unwrap(), to.parse().unwrap()];
    let mut bytes = Vec::new();
    let ether_type = match addresses {
        [IpAddr::V4(from), IpAddr::V4(to)] => {
            bytes.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
            bytes.extend(from.octets().into_iter().chain(to.octets()));
            IPV4
        }
        [IpAddr::V6(from), IpAddr::V6(to)] => {
            bytes.extend([0x60, 0, 0, 0, 0, 0, protocol, 64]);
            bytes.extend(from.octets().into_iter().chain(to.octets()));
            IPV6
        }
        other => panic!("two families: {other:?}"),
    };
    let payload = u32::try_from(bytes.len()).unwrap() + 8;
    bytes.extend(ports.0.to_be_bytes().into_iter().chain(ports.1.to_be_bytes()));
    bytes.extend([0; 100]);
    Sent { bytes, ether_type, packet_type: 0, device_type: 1, payload }
}

fn is_wanted(capture: &Capture, packet: &Sent) -> bool {
    kept(&program(capture), packet) != 0
}

#[test]
fn packets_of_peers_and_ports_are_wanted_in_both_directions_and_no_others() {
    let table = [
        (vec![], None, true, true),
        (vec!["10.0.0.7"], None, true, false),
        (vec!["10.0.0.0/24"], None, true, false),
        (vec!["10.0.0.0/29"], None, true, false),
        (vec!["10.0.0.8/29"], None, false, false),
        (vec!["0.0.0.0/0"], None, true, false),
        (vec!["::/0"], None, false, true),
        (vec!["fd00::7"], None, false, true),
        (vec!["fd00::/64"], None, false, true),
        (vec!["fd00::/127"], None, false, false),
        (vec!["fd00::6/127"], None, false, true),
        (vec!["10.1.0.7", "fd01::7"], None, false, false),
        (vec!["10.1.0.7", "10.0.0.7", "fd01::7", "fd00::7"], None, true, true),
        (vec![], Some(80), true, true),
        (vec![], Some(81), false, false),
        (vec!["10.0.0.7"], Some(80), true, false),
        (vec!["10.0.0.7"], Some(8080), true, false),
        (vec!["10.0.0.7"], Some(81), false, false),
        (vec!["10.0.0.8"], Some(80), false, false),
    ];
    for (peers, port, v4, v6) in table {
        let capture = capture(&peers, port, Kept::Bytes(100));
        for (from, to, expected) in [("10.0.0.7", "10.9.0.1", v4), ("fd00::7", "fd09::1", v6)] {
            for sent in [
                packet(from, to, 6, (80, 8080)),
                packet(to, from, 6, (8080, 80)),
                packet(from, to, 17, (80, 8080)),
            ] {
                let told = format!("{peers:?} {port:?} {from}");
                assert_eq!(is_wanted(&capture, &sent), expected, "{told}");
            }
        }
    }
}

#[test]
fn what_has_no_ports_is_not_wanted_where_one_is_named() {
    let http = capture(&[], Some(80), Kept::Headers);
    let icmp = packet("10.0.0.7", "10.0.0.8", 1, (80, 80));
    assert!(!is_wanted(&http, &icmp));
    assert!(is_wanted(&capture(&["10.0.0.7"], None, Kept::Headers), &icmp));
    let mut arp = icmp.clone();
    arp.ether_type = ARP;
    assert!(!is_wanted(&http, &arp));
    assert!(is_wanted(&capture(&[], None, Kept::Headers), &arp));
    // Behind the first fragment stands payload, which may look like ports.
    let mut fragment = packet("10.0.0.7", "10.0.0.8", 17, (80, 80));
    assert!(is_wanted(&http, &fragment));
    fragment.bytes[6..8].copy_from_slice(&[0x20, 0]);
    assert!(is_wanted(&http, &fragment), "the first of several");
    fragment.bytes[6..8].copy_from_slice(&[0x20, 185]);
    assert!(!is_wanted(&http, &fragment));
    // Options of IPv4 move the ports.
    let mut long = packet("10.0.0.7", "10.0.0.8", 6, (9, 9));
    long.bytes[0] = 0x46;
    assert!(!is_wanted(&http, &long));
    long.bytes[26..28].copy_from_slice(&80_u16.to_be_bytes());
    assert!(is_wanted(&http, &long));
    // One that ends before its ports has none.
    let mut short = packet("10.0.0.7", "10.0.0.8", 6, (80, 80));
    short.bytes.truncate(21);
    assert!(!is_wanted(&http, &short));
}

#[test]
fn without_a_length_no_payload_is_kept() {
    let headers = program(&capture(&[], None, Kept::Headers));
    let mut sent = packet("10.0.0.7", "10.0.0.8", 17, (1, 2));
    assert_eq!(kept(&headers, &sent), 28);
    sent.payload = 120;
    assert_eq!(kept(&headers, &sent), 120);
    sent.payload = 400;
    assert_eq!(kept(&headers, &sent), 128, "no headers are as long");
    sent.payload = 0;
    assert_eq!(kept(&headers, &sent), 20, "what the kernel cannot tell is the network's alone");
    let mut v6 = packet("fd00::1", "fd00::2", 6, (1, 2));
    v6.payload = 0;
    assert_eq!(kept(&headers, &v6), 40);
    v6.ether_type = ARP;
    assert_eq!(kept(&headers, &v6), 128);
    // EtherCAT, and whatever else.
    v6.ether_type = 0x88a4;
    assert_eq!(kept(&headers, &v6), 8, "nobody knows where its payload begins");
    assert_eq!(kept(&program(&capture(&[], None, Kept::Bytes(7))), &sent), 7);
}

#[test]
fn what_a_loopback_device_sends_is_told_once() {
    let everything = program(&capture(&[], None, Kept::Headers));
    let on = |device_type, packet_type| {
        let sent = packet("127.0.0.1", "127.0.0.1", 6, (1, 2));
        kept(&everything, &Sent { device_type, packet_type, ..sent })
    };
    assert_eq!([on(LOOPBACK, OUTGOING), on(LOOPBACK, 0)], [0, 28]);
    assert_eq!([on(1, OUTGOING), on(1, 0)], [28, 28]);
}

/// What a kernel checks before it takes a program (bpf_check_classic), as far as this one can go wrong.
fn is_sound(program: &[Instruction]) -> bool {
    let within = |at: usize, by: u32| at + 1 + (by as usize) < program.len();
    program.len() <= 4096
        && matches!(program.last(), Some(Instruction { code: RETURN | RETURN_A, .. }))
        && program.iter().enumerate().all(|(at, one)| match one.code {
            JUMP => within(at, one.k),
            JUMP_IF_EQUAL | JUMP_IF_ABOVE | JUMP_IF_ANY_BIT => {
                within(at, one.jt.into()) && within(at, one.jf.into())
            }
            _ => true,
        })
}

fn prefixes() -> impl Strategy<Value = Vec<Prefix>> {
    let v4 = (any::<u32>(), 96..=128_u8).prop_map(|(address, length)| {
        let mapped = Ipv4Addr::from_bits(address).to_ipv6_mapped().octets();
        Prefix::new(mapped, length, None).unwrap()
    });
    // Not ::ffff:0:0/96, where the other family stands.
    let v6 = (any::<u128>(), 0..=128_u8).prop_map(|(address, length)| {
        Prefix::new((address | 1 << 127).to_be_bytes(), length, None).unwrap()
    });
    proptest::collection::vec(prop_oneof![v4, v6], 0..=Capture::MOST_PEERS)
}

proptest! {
    #[test]
    fn a_program_says_what_the_prefixes_say(
        peers in prefixes(),
        pair in (any::<u128>(), any::<u128>()),
        near in any::<proptest::sample::Index>(),
        port in proptest::option::of(1..=u16::MAX),
    ) {
        let mut asked = capture(&[], None, Kept::Headers);
        asked.peers = peers;
        let [mut from, to] = [pair.0, pair.1].map(Ipv6Addr::from_bits);
        if !asked.peers.is_empty() {
            // An address of one of them, so that something matches.
            from = asked.peers[near.index(asked.peers.len())].network().into();
        }
        let v4 = |address: Ipv6Addr| address.to_ipv4_mapped();
        let ends: [IpAddr; 2] = match v4(from) {
            Some(from) => [from.into(), Ipv4Addr::from_bits(pair.1 as u32).into()],
            None => [from.into(), to.into()],
        };
        // What is mapped is never on the wire as it is.
        prop_assume!(ends[0].is_ipv4() || v4(to).is_none());
        let expected = asked.peers.is_empty()
            || asked.peers.iter().any(|peer| ends.iter().any(|end| peer.contains(*end)));
        let sent = packet(&ends[0].to_string(), &ends[1].to_string(), 6, (80, 443));
        prop_assert!(is_sound(&program(&asked)));
        prop_assert_eq!(is_wanted(&asked, &sent), expected);
        asked.port = port;
        prop_assert!(is_sound(&program(&asked)));
        let expected = expected && port.is_none_or(|port| port == 80 || port == 443);
        prop_assert_eq!(is_wanted(&asked, &sent), expected);
    }
}

//! The parser over arbitrary bytes, and over frames that are known.

#[expect(dead_code, reason = "the rows of the table are not run here")]
mod cases;
mod memory;

use agent_ebpf::{
    abi::{FlowKey, Side},
    address::Ip,
    decide::{Outcome, decide},
    packet::Tag,
    parse::{self, Fragment, HIDDEN, Network},
    transport::{self, Kind},
};
use cases::{CUT, INITIATOR, frames, world, world::World};
use memory::{Memory, Skb};
use proptest::prelude::*;

/// Addresses of one family, as text.
fn addresses() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        any::<[std::net::Ipv4Addr; 2]>().prop_map(|[a, b]| (a.to_string(), b.to_string())),
        any::<[std::net::Ipv6Addr; 2]>().prop_map(|[a, b]| (text(a), text(b))),
    ]
}

/// Never in the mixed notation, which the builders would take for IPv4.
fn text(address: std::net::Ipv6Addr) -> String {
    address.segments().map(|part| format!("{part:x}")).join(":")
}

/// Up to eight extension headers; none is a later fragment.
fn extensions() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let one = prop_oneof![
        (prop::sample::select(vec![0, 43, 60, 135]), 0u8..4)
            .prop_map(|(kind, extra)| { frames::extension(kind, extra) }),
        (0u8..9).prop_map(frames::authentication),
        (0u16..2).prop_map(|more| frames::fragment(0, more)),
    ];
    prop::collection::vec(one, 0..=8)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        start in prop::sample::select(vec![
            vec![8, 0, 0x45], vec![8, 0, 0x4f], vec![0x86, 0xdd, 0x60], vec![0x81, 0], vec![0x88, 0xa8],
        ]),
        mut next in prop::sample::select(vec![vec![], vec![0], vec![44], vec![51], vec![58], vec![1]]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        side in prop::sample::select(vec![Side::Ingress, Side::Egress]),
    ) {
        let mut frame = vec![0; 12];
        frame.extend(start);
        frame.extend(&bytes);
        if let (Some(next), Some(at)) = (next.pop(), frame.get_mut(14 + 6)) {
            *at = next;
        }
        let mut world = World::new()
            .fault(0, INITIATOR, &["0.0.0.0/0", "::/0"])
            .fault(1, CUT, &["0.0.0.0/0", "::/0"]);
        // The addresses of the frame itself, so that it gets through to the transport header.
        let packet = Skb { frame: &frame, tag: Tag::None };
        if let Network::Ip(header) = parse::header(&packet) {
            world.local = vec![header.source.to_bytes(), header.destination.to_bytes()];
            let outcome = decide(&packet, &Memory::new(&world), side);
            prop_assert!(outcome == Outcome::Lose || outcome == Outcome::Pass);
        }
    }

    #[test]
    fn what_was_built_is_what_is_read(
        (from, to) in addresses(),
        chain in extensions(),
        ports in any::<(u16, u16)>(),
        flags: u8,
        options in 0usize..=10,
        tags in prop::collection::vec(prop::sample::select(vec![0x8100u16, 0x88a8]), 0..=2),
        padding in 0usize..40,
    ) {
        let payload = frames::tcp_header(ports.0, ports.1, flags);
        let six = from.contains(':');
        let packet = if six {
            frames::v6_with(&from, &to, frames::TCP, &chain, &payload)
        } else {
            frames::v4_with(&from, &to, frames::TCP, 0, &vec![1; options * 4], &payload)
        };
        let mut frame = frames::tagged(&frames::frame(&packet), &tags);
        frame.extend(vec![0; padding]);
        let skb = Skb { frame: &frame, tag: Tag::None };
        let Network::Ip(header) = parse::header(&skb) else { panic!("no header") };
        prop_assert_eq!(header.source, Ip::from_bytes(&world::address(&from)));
        prop_assert_eq!(header.destination, Ip::from_bytes(&world::address(&to)));
        let upper = parse::upper(&skb, &header);
        prop_assert_eq!(upper.protocol, frames::TCP);
        prop_assert_eq!(upper.offset as usize, packet.len() - payload.len() + tags.len() * 4);
        let parts = six && chain.iter().any(|(kind, body)| *kind == 44 && body[2] & 1 != 0);
        prop_assert_eq!(upper.fragment, if parts { Fragment::First } else { Fragment::Whole });
        let transport = transport::read(&skb, &header, &upper);
        prop_assert_eq!(transport.kind, Kind::Tcp);
        prop_assert_eq!((transport.source, transport.destination), ports);
        prop_assert_eq!(transport.flags, flags);
    }

    #[test]
    fn a_later_fragment_has_no_transport(offset in 1u16..0x1fff, next in any::<u8>()) {
        let chain = [frames::fragment(offset, 1)];
        let packet = frames::v6_with("fd00::2", "fd00::1", next, &chain, &[0; 32]);
        let frame = frames::frame(&packet);
        let skb = Skb { frame: &frame, tag: Tag::None };
        let Network::Ip(header) = parse::header(&skb) else { panic!("no header") };
        let upper = parse::upper(&skb, &header);
        prop_assert_eq!(upper.fragment, Fragment::Later);
        let hidden = matches!(next, 0 | 43 | 44 | 51 | 60 | 135);
        prop_assert_eq!(upper.protocol, if hidden { HIDDEN } else { next });
        prop_assert_eq!(transport::read(&skb, &header, &upper).kind, Kind::Unreadable);
    }
}

#[test]
fn flows_have_no_hidden_padding() {
    assert_eq!(size_of::<FlowKey>(), 40);
}

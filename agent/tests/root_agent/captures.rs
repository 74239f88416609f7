//! Packets of real namespaces, as a packet socket hears them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use agent::kernel::{Kernel as _, KernelError, Place, Tap};
use fault::{Capture, Cut, Kept, NodeNetwork, Packet, Protocol, Side};
use lab::topology::{DEVICE, Family, Node};
use nix::poll::{PollFd, PollFlags, poll};

use crate::rig::{Rig, idler, packet_cut};

/// Longer than anything here takes (ms).
const LIMIT: u16 = 5_000;
/// A port that nobody else uses.
const PORT: u16 = 7_007;

fn everything() -> Capture {
    Capture {
        peers: Vec::new(),
        port: Some(PORT),
        kept: Kept::Headers,
        total: Duration::from_secs(60),
        most: 1 << 30,
        node: NodeNetwork::Refused,
    }
}

fn place(rig: &Rig, label: &str) -> Place {
    let target = rig.target(label);
    Place { selector: target.selector, identity: target.identity }
}

fn tap(rig: &Rig, label: &str, capture: &Capture) -> Box<dyn Tap> {
    rig.kernel.capture(&place(rig, label), capture).unwrap()
}

/// The next packet; `None` where nothing comes any more.
fn next(tap: &mut dyn Tap, limit: u16) -> Option<Packet> {
    loop {
        if let Some(packet) = tap.take().unwrap() {
            return Some(packet);
        }
        let mut interest = [PollFd::new(tap.as_fd(), PollFlags::POLLIN)];
        if poll(&mut interest, limit).unwrap() == 0 {
            return None;
        }
    }
}

/// So many packets that come.
fn come(tap: &mut dyn Tap, count: usize) -> Vec<Packet> {
    (0..count).map(|_| next(tap, LIMIT).expect("a packet within 5 s")).collect()
}

fn socket(node: &Node, family: Family, port: u16) -> UdpSocket {
    node.udp_socket(node.socket_address(family, port)).unwrap()
}

/// A datagram that arrives.
fn say(from: &UdpSocket, to: &UdpSocket, text: &[u8]) {
    to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    from.send_to(text, to.local_addr().unwrap()).unwrap();
    let mut heard = [0; 2_000];
    assert_eq!(to.recv(&mut heard).unwrap(), text.len());
}

/// Source, destination and the two ports.
fn ends(packet: &Packet) -> [SocketAddr; 2] {
    let bytes = &packet.bytes;
    let address = |at: usize, length: usize| -> IpAddr {
        match length {
            4 => <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap().into(),
            _ => <[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap().into(),
        }
    };
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let (first, length, ports) = match packet.protocol {
        0x0800 => (12, 4, 20),
        0x86dd => (8, 16, 40),
        other => panic!("EtherType {other:#x}"),
    };
    [
        (address(first, length), port(ports)).into(),
        (address(first + length, length), port(ports + 2)).into(),
    ]
}

/// How many packet sockets there are in a node's namespace: the file has a line of titles.
fn listening(node: &Node) -> usize {
    let read = || std::fs::read_to_string("/proc/thread-self/net/packet").unwrap();
    node.namespace.inside(read).unwrap().lines().count() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_heard_in_both_directions_and_no_payload() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    for (family, headers) in [(Family::V4, 28), (Family::V6, 48)] {
        let (here, there) = (socket(a, family, 0), socket(b, family, PORT));
        assert_eq!(listening(b), 0);
        let mut heard = tap(&rig, "b", &everything());
        assert_eq!(listening(b), 1);
        say(&here, &there, &[b'x'; 900]);
        say(&there, &here, b"y");
        let packets = come(heard.as_mut(), 2);
        let own = [here.local_addr().unwrap(), there.local_addr().unwrap()];
        assert_eq!(ends(&packets[0]), own);
        assert_eq!(ends(&packets[1]), [own[1], own[0]]);
        assert_eq!(
            packets.iter().map(|one| one.way.is_inward()).collect::<Vec<_>>(),
            [true, false]
        );
        let lengths = packets.iter().map(|one| (one.length, one.bytes.len()));
        let expected = [(headers as u32 + 900, headers), (headers as u32 + 1, headers)];
        assert_eq!(lengths.collect::<Vec<_>>(), expected);
        assert!(packets[0].time <= packets[1].time && packets[0].time > 1_600_000_000_000_000_000);
        assert_eq!(heard.device(packets[0].interface), DEVICE);
        assert_eq!(heard.passed().unwrap(), 2);
        drop(heard);
        assert_eq!(listening(b), 0, "nothing remains");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_asked_for_is_not_heard() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let of = |label: &str, port| socket(rig.node(label), Family::V4, port);
    let (a, b, c, other) = (of("a", 0), of("b", PORT), of("c", 0), of("b", PORT + 1));
    let from_a = Capture { peers: vec![rig.node("a").v4.into()], ..everything() };
    let whole = Capture { kept: Kept::Bytes(1_000), ..from_a };
    let mut heard = tap(&rig, "b", &whole);
    say(&c, &b, b"of somebody else");
    say(&a, &other, b"to another port");
    say(&a, &b, b"this");
    let packet = next(heard.as_mut(), LIMIT).unwrap();
    assert_eq!(ends(&packet)[0], a.local_addr().unwrap());
    assert_eq!(packet.bytes[28..], *b"this", "as much as was asked for");
    assert_eq!(heard.passed().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_loses_is_heard_where_it_is_lost_on_its_way_in_only() {
    let rig = Rig::pair();
    let (a, b) = (socket(rig.node("a"), Family::V4, 0), socket(rig.node("b"), Family::V4, PORT));
    let to = b.local_addr().unwrap();
    b.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let udp = Cut { protocol: Some(Protocol::Udp), ..packet_cut() };
    for (side, at_a, at_b) in [(Side::Ingress, 5, 5), (Side::Egress, 0, 0)] {
        let id = rig.cut("a", "b", Cut { side, ..udp }).await;
        let mut taps = [tap(&rig, "a", &everything()), tap(&rig, "b", &everything())];
        for _ in 0..5 {
            a.send_to(b"lost", to).unwrap();
        }
        assert!(b.recv(&mut [0; 9]).is_err(), "it is cut");
        let heard = taps.each_mut().map(|tap| tap.passed().unwrap());
        assert_eq!(heard, [at_a, at_b], "{side:?}");
        drop(taps);
        rig.heal(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_lost_and_counted() {
    let rig = Rig::pair();
    let (a, b) = (socket(rig.node("a"), Family::V4, 0), socket(rig.node("b"), Family::V4, PORT));
    let mut heard = tap(&rig, "b", &everything());
    let to = b.local_addr().unwrap();
    for _ in 0..100_000 {
        a.send_to(b"x", to).unwrap();
    }
    let mut taken = 0;
    while heard.take().unwrap().is_some() {
        taken += 1;
    }
    let passed = heard.passed().unwrap();
    assert!(taken > 100 && taken < passed, "{taken} of {passed}");
    a.send_to(b"x", to).unwrap();
    assert!(next(heard.as_mut(), LIMIT).is_some(), "there is room again");
    assert_eq!(heard.passed().unwrap(), passed + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_is_refused_unless_it_is_meant_and_a_target_that_is_gone_in_any_case() {
    let rig = Rig::pair();
    let node = format!("host:{}", agent::kernel::node_name()).parse().unwrap();
    let target = rig.named(&node);
    let host = Place { selector: target.selector, identity: target.identity };
    let refused = rig.kernel.capture(&host, &everything()).err().unwrap();
    assert!(matches!(refused, KernelError::Refused { .. }), "{refused}");
    let meant = Capture { node: NodeNetwork::Meant, ..everything() };
    assert!(rig.kernel.capture(&host, &meant).is_ok());
    let process = idler(rig.node("a"));
    let place_of = |selector: String| {
        let target = rig.named(&selector.parse().unwrap());
        Place { selector: target.selector, identity: target.identity }
    };
    assert!(rig.kernel.capture(&place_of(format!("pid:{}", process.id())), &everything()).is_ok());
    let mut gone = place(&rig, "a");
    gone.identity.namespace = fault::NamespaceCookie::new(u64::MAX);
    let refused = rig.kernel.capture(&gone, &everything()).err().unwrap();
    assert!(matches!(refused, KernelError::Gone(_)), "{refused}");
}

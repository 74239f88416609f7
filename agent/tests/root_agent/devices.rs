//! Devices of every kind, and what is not unicast: each packet is judged once, and others pass.

mod kinds;
mod peers;
mod reach;
mod sizes;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use fault::{Cut, Effect, Prefix, Protocol};
use lab::topology::{Family, Node};

use crate::rig::packet_cut;

/// How long is waited for what must not arrive.
const LIMIT: Duration = Duration::from_millis(150);
/// How long is waited for what must.
const PATIENCE: Duration = Duration::from_secs(5);
/// Datagrams of a measurement.
const COUNT: u32 = 20;

/// Of UDP only, so that what was sent and what was judged can be compared: reports of multicast
/// groups (RFC 3810) come when they like.
fn udp_cut() -> Cut {
    Cut { protocol: Some(Protocol::Udp), ..packet_cut() }
}

/// What is sent in one measurement: how many datagrams of how many bytes.
#[derive(Clone, Copy, Debug)]
struct Burst {
    count: u32,
    size: usize,
}

impl Burst {
    const SMALL: Self = Self { count: COUNT, size: 64 };
}

/// A socket inside a node.
fn socket(node: &Node, address: IpAddr) -> UdpSocket {
    node.udp_socket(SocketAddr::new(address, 0)).unwrap()
}

/// Sends a burst and says how many of it arrived. Waits for what is missing for as long as told.
fn arrived(
    from: &UdpSocket,
    to: &UdpSocket,
    there: SocketAddr,
    burst: Burst,
    limit: Duration,
) -> u32 {
    let mut heard = [0; 65_536];
    let mut arrived = 0;
    to.set_nonblocking(true).unwrap();
    for number in 0..burst.count {
        let mut datagram = vec![0; burst.size];
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        assert_eq!(from.send_to(&datagram, there).unwrap(), burst.size);
        // Taken at once, so that the receiver's buffer never overflows.
        while to.recv(&mut heard).is_ok() {
            arrived += 1;
        }
    }
    to.set_nonblocking(false).unwrap();
    let deadline = Instant::now() + limit;
    while arrived < burst.count {
        let left = deadline.saturating_duration_since(Instant::now());
        to.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
        match to.recv(&mut heard) {
            Ok(_) => arrived += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    arrived
}

/// A measurement between two addresses of two nodes.
fn between(from: (&Node, IpAddr), to: (&Node, IpAddr), burst: Burst, limit: Duration) -> u32 {
    let receiver = socket(to.0, to.1);
    let there = receiver.local_addr().unwrap();
    arrived(&socket(from.0, from.1), &receiver, there, burst, limit)
}

fn is_whole(from: (&Node, IpAddr), to: (&Node, IpAddr), burst: Burst) -> bool {
    between(from, to, burst, PATIENCE) == burst.count
}

fn is_lost(from: (&Node, IpAddr), to: (&Node, IpAddr), burst: Burst) -> bool {
    between(from, to, burst, LIMIT) == 0
}

/// Waits until two addresses of two nodes can talk both ways.
fn acquaint(a: (&Node, IpAddr), b: (&Node, IpAddr)) {
    for (from, to) in [(a, b), (b, a)] {
        let deadline = Instant::now() + PATIENCE;
        let one = Burst { count: 1, size: 64 };
        while between(from, to, one, Duration::from_millis(50)) == 0 {
            assert!(Instant::now() < deadline, "{} does not reach {}", from.1, to.1);
        }
    }
}

fn at(node: &Node, family: Family) -> (&Node, IpAddr) {
    (node, node.address(family))
}

/// The effect of a cut that has met just these packets, and has lost them all.
fn assert_all_lost(effect: &Effect, sent: u32, what: &str) {
    let counted = (effect.matched, effect.lost, effect.spared);
    assert_eq!(counted, (sent.into(), sent.into(), 0), "{what}: {effect:?}");
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

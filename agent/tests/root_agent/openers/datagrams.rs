//! UDP and ICMP: the first datagram's sender opened the flow, and an error belongs to what it quotes.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::Output;
use std::time::{Duration, Instant};

use fault::{Cut, Prefix, Protocol, Side};
use lab::topology::Family;

use super::call::{End, LIMIT, PATIENCE};
use crate::rig::{Rig, initiator_cut};

/// Below the range from which the kernel takes ports, as servers are.
const PORT: u16 = 7500;

fn bound(rig: &Rig, end: End, family: Family, port: u16) -> UdpSocket {
    let node = end.node(rig);
    node.udp_socket(node.socket_address(family, port)).unwrap()
}

/// A socket that talks to one address only.
fn connected(rig: &Rig, end: End, family: Family, port: u16, to: &UdpSocket) -> UdpSocket {
    let socket = bound(rig, end, family, port);
    socket.connect(to.local_addr().unwrap()).unwrap();
    socket
}

/// Whether a datagram from one socket arrives at another.
fn arrives(from: &UdpSocket, to: &UdpSocket, limit: Duration) -> bool {
    let stamp = Instant::now();
    let text = format!("{stamp:?}");
    let there = to.local_addr().unwrap();
    let sent = if from.peer_addr().is_ok() {
        from.send(text.as_bytes())
    } else {
        from.send_to(text.as_bytes(), there)
    };
    assert_eq!(sent.unwrap(), text.len());
    let mut heard = [0; 128];
    loop {
        let left = limit.saturating_sub(stamp.elapsed());
        to.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
        match to.recv(&mut heard) {
            Ok(length) if &heard[..length] == text.as_bytes() => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn passes(from: &UdpSocket, to: &UdpSocket) -> bool {
    arrives(from, to, PATIENCE)
}

fn is_lost(from: &UdpSocket, to: &UdpSocket) -> bool {
    !arrives(from, to, LIMIT)
}

/// Of UDP only: a's reports of its multicast groups (RFC 3810) are a's, too.
fn udp_cut(side: Side) -> Cut {
    Cut { side, protocol: Some(Protocol::Udp), ..initiator_cut() }
}

/// Each side and each family once, for what can't depend on how they meet.
const CORNERS: [(Side, Family); 2] = [(Side::Ingress, Family::V6), (Side::Egress, Family::V4)];

fn variants() -> impl Iterator<Item = (Side, Family)> {
    [Side::Ingress, Side::Egress]
        .into_iter()
        .flat_map(|side| Family::ALL.into_iter().map(move |family| (side, family)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_datagram_decides() {
    let rig = Rig::pair();
    for (side, family) in CORNERS {
        let what = format!("{side} {family:?}");
        let server_a = bound(&rig, End::A, family, PORT);
        let server_b = bound(&rig, End::B, family, PORT);
        let id = rig.cut("a", "b", udp_cut(side)).await;
        // Sockets that were made during the cut, for which nothing stands in the dump.
        let client_a = connected(&rig, End::A, family, 0, &server_b);
        let client_b = connected(&rig, End::B, family, 0, &server_a);
        assert!(is_lost(&client_a, &server_b), "{what}: a asks");
        assert!(passes(&client_b, &server_a), "{what}: b asks");
        assert!(passes(&server_a, &client_b), "{what}: a answers");
        assert!(passes(&server_b, &client_a), "{what}: b sends");
        let effect = rig.heal(id).await.effect;
        assert_eq!((effect.lost, effect.matched), (1, 1), "{what}: {effect:?}");
        assert_eq!(effect.other_opener, 1, "{what}: {effect:?}");
        assert_eq!((effect.opener_guessed, effect.opener_unknown), (0, 0), "{what}: {effect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connected_sockets_that_stood_before_the_cut_opened_their_flows() {
    let rig = Rig::pair();
    for (side, family) in variants() {
        let what = format!("{side} {family:?}");
        let server_a = bound(&rig, End::A, family, PORT);
        let server_b = bound(&rig, End::B, family, PORT);
        let client_a = connected(&rig, End::A, family, 0, &server_b);
        let client_b = connected(&rig, End::B, family, 0, &server_a);
        for (client, server) in [(&client_a, &server_b), (&client_b, &server_a)] {
            assert!(passes(client, server) && passes(server, client), "{what}");
        }
        let id = rig.cut("a", "b", udp_cut(side)).await;
        // The first datagram that the cut sees of b's flow is a's answer.
        assert!(passes(&server_a, &client_b), "{what}: a answers");
        assert!(passes(&client_b, &server_a), "{what}: b asks");
        assert!(is_lost(&client_a, &server_b), "{what}: a asks");
        assert!(passes(&server_b, &client_a), "{what}: b sends");
        let effect = rig.heal(id).await.effect;
        assert_eq!((effect.lost, effect.matched), (1, 1), "{what}: {effect:?}");
        assert_eq!(effect.other_opener, 1, "{what}: {effect:?}");
        // At a that b asked is not known but concluded: a's server speaks from its own port.
        let guessed = u64::from(side == Side::Egress);
        assert_eq!(effect.opener_guessed, guessed, "{what}: {effect:?}");
        assert_eq!(effect.opener_unknown, 0, "{what}: {effect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_server_was_called_and_where_it_speaks_first_that_is_a_guess() {
    let rig = Rig::pair();
    for family in Family::ALL {
        let what = format!("{family:?}");
        let server_b = bound(&rig, End::B, family, PORT);
        let client_a = bound(&rig, End::A, family, PORT + 1);
        let other_a = bound(&rig, End::A, family, PORT + 2);
        assert!(passes(&client_a, &server_b) && passes(&server_b, &client_a), "{what}");
        let id = rig.cut("a", "b", udp_cut(Side::Ingress)).await;
        assert!(is_lost(&client_a, &server_b), "{what}: a asks");
        assert!(passes(&server_b, &client_a), "{what}: b answers");
        let effect = rig.status(id).await.effect;
        assert_eq!((effect.lost, effect.opener_guessed), (1, 0), "{what}: {effect:?}");
        // From the server's port to somebody new: that may be an answer from before the cut.
        assert!(passes(&server_b, &other_a), "{what}: b sends");
        assert!(is_lost(&other_a, &server_b), "{what}: a sends");
        let effect = rig.heal(id).await.effect;
        assert_eq!((effect.lost, effect.opener_guessed), (2, 1), "{what}: {effect:?}");
        assert_eq!(effect.opener_unknown, 0, "{what}: {effect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_nobody_knows_passes_and_is_counted() {
    let rig = Rig::pair();
    for family in Family::ALL {
        let what = format!("{family:?}");
        let id = rig.cut("a", "b", udp_cut(Side::Ingress)).await;
        // No socket had this port when the sockets were read, so it could be an answer to one
        // that is gone: only when flows were observed for 30 s is that out of the question.
        let late_b = bound(&rig, End::B, family, PORT);
        let client_a = bound(&rig, End::A, family, 0);
        assert!(passes(&client_a, &late_b), "{what}");
        assert!(passes(&late_b, &client_a), "{what}");
        let effect = rig.heal(id).await.effect;
        assert_eq!((effect.lost, effect.opener_unknown), (0, 1), "{what}: {effect:?}");
    }
}

/// Three echo requests, and what ping(8) says about them.
fn ping(rig: &Rig, from: End, family: Family) -> Output {
    let mut command = from.node(rig).namespace.exec("ping");
    command.args(["-n", "-c", "3", "-i", "0.05", "-W", "0.3"]);
    command.arg(from.other().node(rig).address(family).to_string());
    command.output().expect("ping of iputils-ping must be installed")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_belongs_to_who_asks() {
    let rig = Rig::pair();
    for (side, family) in variants() {
        let cut = Cut { side, protocol: Some(Protocol::Icmp), ..initiator_cut() };
        // Without link-local addresses, from which a reports its multicast groups by ICMPv6.
        let (target, peer) = match side {
            Side::Ingress => ("b", rig.node("a")),
            Side::Egress => ("a", rig.node("b")),
        };
        let peers = Family::ALL.map(|family| Prefix::host(peer.address(family)));
        let id = rig.begin(rig.fixed(target, peers.to_vec(), cut)).await.fault.id;
        let from_b = ping(&rig, End::B, family);
        assert!(from_b.status.success(), "{side} {family:?}: {from_b:?}");
        let effect = rig.status(id).await.effect;
        assert_eq!((effect.matched, effect.other_opener), (0, 3), "{side} {family:?}: {effect:?}");
        let from_a = ping(&rig, End::A, family);
        assert_eq!(from_a.status.code(), Some(1), "{side} {family:?}: {from_a:?}");
        let effect = rig.heal(id).await.effect;
        assert_eq!((effect.matched, effect.lost), (3, 3), "{side} {family:?}: {effect:?}");
        assert_eq!((effect.opener_guessed, effect.opener_unknown), (0, 0), "{effect:?}");
    }
}

/// What a connected socket is told after it has sent: an ICMP error that arrived, or nothing.
fn told(socket: &UdpSocket, limit: Duration) -> Option<io::ErrorKind> {
    socket.set_read_timeout(Some(limit)).unwrap();
    socket.send(b"is anybody there?").unwrap();
    let error = socket.recv(&mut [0; 64]).unwrap_err().kind();
    (error != io::ErrorKind::WouldBlock).then_some(error)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_follows_the_flow_that_it_quotes() {
    let rig = Rig::pair();
    for (side, family) in CORNERS {
        let what = format!("{side} {family:?}");
        // A flow of a, whose socket is then closed.
        let server_b = bound(&rig, End::B, family, PORT);
        let client_a = connected(&rig, End::A, family, PORT + 1, &server_b);
        let address_a: SocketAddr = client_a.local_addr().unwrap();
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        assert!(is_lost(&client_a, &server_b), "{what}");
        drop(client_a);
        server_b.connect(address_a).unwrap();
        assert_eq!(told(&server_b, LIMIT), None, "{what}: an error about a's flow");
        // A flow of b to the same closed port.
        let client_b = bound(&rig, End::B, family, PORT + 2);
        client_b.connect(address_a).unwrap();
        let error = told(&client_b, PATIENCE);
        assert_eq!(error, Some(io::ErrorKind::ConnectionRefused), "{what}: about b's flow");
        let effect = rig.heal(id).await.effect;
        // At a nobody ever had the closed port: b's datagram could be an answer, and the error
        // passes for that reason.
        let passed = match side {
            Side::Ingress => (1, 0),
            Side::Egress => (0, 1),
        };
        assert!(effect.lost >= 2, "{what}: {effect:?}");
        assert_eq!((effect.other_opener, effect.opener_unknown), passed, "{what}: {effect:?}");
        assert_eq!(effect.opener_guessed, 0, "{what}: {effect:?}");
        // Without the cut it is told about both.
        let error = told(&server_b, PATIENCE);
        assert_eq!(error, Some(io::ErrorKind::ConnectionRefused), "{what}: healed");
    }
}

//! Connections that applications really make, old and new.

use std::net::TcpListener;

use fault::{Cut, Side};
use lab::topology::Family;

use super::call::{
    Call, End, LIMIT, PATIENCE, accept, all_heard, await_state, heal_sure, listener, netstat,
    new_calls, socket, told_apart,
};
use crate::rig::{Rig, initiator_cut};

const PORT: u16 = 7400;
/// FIN_WAIT2 of include/net/tcp_states.h: our FIN was acknowledged.
const FIN_WAIT2: u8 = 5;

/// Every side of enforcement with every family.
fn variants() -> impl Iterator<Item = (Side, Family)> {
    [Side::Ingress, Side::Egress]
        .into_iter()
        .flat_map(|side| Family::ALL.into_iter().map(move |family| (side, family)))
}

/// Each side and each family once, for what can't depend on how they meet.
const CORNERS: [(Side, Family); 2] = [(Side::Ingress, Family::V4), (Side::Egress, Family::V6)];

/// A port that no other variant of the test uses: the last ones may be in TIME_WAIT.
fn port(side: Side, family: Family) -> u16 {
    PORT + match side {
        Side::Ingress => 0,
        Side::Egress => 10,
    } + match family {
        Family::V4 => 0,
        Family::V6 => 100,
    }
}

/// So many listeners of each node on one port.
fn listeners(rig: &Rig, family: Family, port: u16, count: usize) -> [Vec<TcpListener>; 2] {
    End::BOTH.map(|end| (0..count).map(|_| listener(end, rig, family, port)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_listen_on_one_port_and_call_each_other() {
    let rig = Rig::pair();
    for (side, family) in variants() {
        let context = format!("{side} {family:?}");
        let [at_a, at_b] = listeners(&rig, family, port(side, family), 1);
        let mut calls = [
            Call::open(&rig, End::A, 0, &at_b, "any source port"),
            Call::open(&rig, End::B, 0, &at_a, "any source port"),
        ];
        all_heard(&mut calls, &context);
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        told_apart(&mut calls, &context);
        new_calls(&rig, [0, 0], &at_a, &at_b);
        heal_sure(&rig, id, &context).await;
        all_heard(&mut calls, &context);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn source_ports_say_nothing_about_who_called() {
    let rig = Rig::pair();
    for (side, family) in CORNERS {
        let context = format!("{side} {family:?}");
        let first = port(side, family);
        // Both listen on all four ports, and every caller calls from the port that it calls.
        let all: Vec<_> = (0..4).map(|number| listeners(&rig, family, first + number, 1)).collect();
        let mut calls = [
            Call::open(&rig, End::A, first, &all[0][1], "the callee's port as source"),
            Call::open(&rig, End::B, first + 1, &all[1][0], "the callee's port as source"),
        ];
        all_heard(&mut calls, &context);
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        told_apart(&mut calls, &context);
        new_calls(&rig, [first + 2, first + 3], &all[3][0], &all[2][1]);
        heal_sure(&rig, id, &context).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_listeners_share_a_port() {
    let rig = Rig::pair();
    for (side, family) in CORNERS {
        let context = format!("{side} {family:?}");
        let [at_a, at_b] = listeners(&rig, family, port(side, family), 2);
        let mut calls = Vec::new();
        for number in 0..4 {
            let what = format!("call {number}");
            calls.push(Call::open(&rig, End::A, 0, &at_b, &what));
            calls.push(Call::open(&rig, End::B, 0, &at_a, &what));
        }
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        told_apart(&mut calls, &context);
        new_calls(&rig, [0, 0], &at_a, &at_b);
        heal_sure(&rig, id, &context).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_listener_does_not_turn_its_connections_around() {
    let rig = Rig::pair();
    for (side, family) in CORNERS {
        let context = format!("{side} {family:?}");
        let [at_a, at_b] = listeners(&rig, family, port(side, family), 1);
        let mut calls = [
            Call::open(&rig, End::A, 0, &at_b, "the listener closed"),
            Call::open(&rig, End::B, 0, &at_a, "the listener closed"),
        ];
        all_heard(&mut calls, &context);
        drop((at_a, at_b));
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        told_apart(&mut calls, &context);
        heal_sure(&rig, id, &context).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_closed_connections_are_told_apart() {
    let rig = Rig::pair();
    for (side, family) in CORNERS {
        let context = format!("{side} {family:?}");
        let [at_a, at_b] = listeners(&rig, family, port(side, family), 1);
        let open = |opener, what: &str| {
            let callee = if opener == End::A { &at_b } else { &at_a };
            Call::open(&rig, opener, 0, callee, what)
        };
        // The end that closed its direction can still hear, and no more.
        for closer in End::BOTH {
            let context = format!("{context}, closed by {closer:?}");
            let mut calls = [open(End::A, "half-closed"), open(End::B, "half-closed")];
            all_heard(&mut calls, &context);
            for call in &calls {
                call.shut(closer);
                await_state(&rig, family, call, closer, |(state, _)| state == FIN_WAIT2);
            }
            let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
            for call in &mut calls {
                // From b everything arrives; from a what belongs to a call of b.
                let expected = closer == End::A || call.opener == End::B;
                let limit = if expected { PATIENCE } else { LIMIT };
                let passed = call.passes(closer.other(), limit);
                assert_eq!(passed, expected, "{context}, opened by {:?}", call.opener);
            }
            heal_sure(&rig, id, &context).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_open_does_not_blur_who_called() {
    let rig = Rig::pair();
    // Client and server, without cookies, and every listener.
    let all = "1543";
    for end in End::BOTH {
        let node = end.node(&rig);
        node.namespace.sysctl("net/ipv4/tcp_fastopen", all).unwrap();
        let path = "/proc/sys/net/ipv4/tcp_fastopen";
        let set = node.namespace.inside(|| std::fs::read_to_string(path)).unwrap().unwrap();
        assert_eq!(set.trim(), all, "this kernel has no TCP_FASTOPEN");
    }
    for (side, family) in CORNERS {
        let context = format!("{side} {family:?}");
        let [at_a, at_b] = listeners(&rig, family, port(side, family), 1);
        let fast = |opener: End, at: &TcpListener| {
            let node = opener.node(&rig);
            let socket = socket(node, node.socket_address(family, 0)).unwrap();
            let to = at.local_addr().unwrap().into();
            // Without waiting, else it returns when the handshake is done.
            let flags = libc::MSG_FASTOPEN | libc::MSG_DONTWAIT;
            let sent = socket.send_to_with_flags(&[0; 8], &to, flags).unwrap();
            assert_eq!(sent, 8);
            socket.into()
        };
        let before = End::BOTH.map(|end| netstat(end.node(&rig), "TCPFastOpenPassive"));
        let from_a = fast(End::A, &at_b[0]);
        let from_b = fast(End::B, &at_a[0]);
        let mut calls = [
            Call::new(End::A, "fast open", from_a, accept(&at_b)),
            Call::new(End::B, "fast open", from_b, accept(&at_a)),
        ];
        all_heard(&mut calls, &context);
        let after = End::BOTH.map(|end| netstat(end.node(&rig), "TCPFastOpenPassive"));
        assert!(after[0] > before[0] && after[1] > before[1], "no fast open happened: {after:?}");

        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        told_apart(&mut calls, &context);
        // b's call with data in its SYN is served, a's is not even seen.
        let lost = fast(End::A, &at_b[0]);
        let from_b = fast(End::B, &at_a[0]);
        let mut calls = [Call::new(End::B, "new fast open", from_b, accept(&at_a))];
        told_apart(&mut calls, &context);
        at_b[0].set_nonblocking(true).unwrap();
        let nobody = at_b[0].accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "{context}");
        drop::<std::net::TcpStream>(lost);
        heal_sure(&rig, id, &context).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_made_by_syn_cookies_are_told_apart() {
    let rig = Rig::pair();
    for end in End::BOTH {
        // Cookies for every SYN, not only when the queue is full.
        end.node(&rig).namespace.sysctl("net/ipv4/tcp_syncookies", "2").unwrap();
    }
    for (side, family) in CORNERS {
        let context = format!("{side} {family:?}");
        let [at_a, at_b] = listeners(&rig, family, port(side, family), 1);
        let before = End::BOTH.map(|end| netstat(end.node(&rig), "SyncookiesRecv"));
        let mut calls = [
            Call::open(&rig, End::A, 0, &at_b, "by cookie"),
            Call::open(&rig, End::B, 0, &at_a, "by cookie"),
        ];
        let after = End::BOTH.map(|end| netstat(end.node(&rig), "SyncookiesRecv"));
        assert!(after[0] > before[0] && after[1] > before[1], "no cookie was used: {after:?}");
        // Not a byte was sent before the cut: the dump has nothing but the handshake to go by.
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        told_apart(&mut calls, &context);
        new_calls(&rig, [0, 0], &at_a, &at_b);
        heal_sure(&rig, id, &context).await;
        let mut calls = [
            Call::open(&rig, End::A, 0, &at_b, "by cookie, after the cut"),
            Call::open(&rig, End::B, 0, &at_a, "by cookie, after the cut"),
        ];
        all_heard(&mut calls, &context);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_sockets_are_the_ipv4_flows_that_they_make() {
    let rig = Rig::pair();
    for side in [Side::Ingress, Side::Egress] {
        let context = side.to_string();
        let port = port(side, Family::V4);
        let any = |end: End| {
            let socket = socket(end.node(&rig), format!("[::]:{port}").parse().unwrap());
            let socket = socket.unwrap();
            socket.listen(16).unwrap();
            vec![TcpListener::from(socket)]
        };
        let (at_a, at_b) = (any(End::A), any(End::B));
        let dial = |opener: End| {
            let to = opener.other().node(&rig).v4.to_ipv6_mapped();
            let caller = socket(opener.node(&rig), "[::]:0".parse().unwrap()).unwrap();
            let to = std::net::SocketAddr::from((to, port));
            caller.connect_timeout(&to.into(), LIMIT)?;
            Ok::<_, std::io::Error>(caller.into())
        };
        let from_a = dial(End::A).unwrap();
        let from_b = dial(End::B).unwrap();
        let mut calls = [
            Call::new(End::A, "mapped", from_a, accept(&at_b)),
            Call::new(End::B, "mapped", from_b, accept(&at_a)),
        ];
        all_heard(&mut calls, &context);
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        told_apart(&mut calls, &context);
        let lost: std::io::Result<std::net::TcpStream> = dial(End::A);
        assert_eq!(lost.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        let from_b = dial(End::B).unwrap();
        let mut calls = [Call::new(End::B, "new, mapped", from_b, accept(&at_a))];
        told_apart(&mut calls, &context);
        heal_sure(&rig, id, &context).await;
    }
}

//! What is for many, what is for a link, and what must get through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use fault::{Cut, Side};
use lab::topology::{DEVICE, Family, Node};

use super::{
    Burst, COUNT, LIMIT, PATIENCE, acquaint, arrived, assert_all_lost, at, is_lost, is_whole,
    socket, udp_cut,
};
use crate::rig::{Rig, packet_cut};

fn index(node: &Node) -> u32 {
    let links = node.namespace.links().unwrap();
    links.into_iter().find(|link| link.name == DEVICE).unwrap().index
}

/// The link-local address of a node's device, with the node's own index as scope.
fn link_local(node: &Node) -> Ipv6Addr {
    let text = node.namespace.ip(&["-6", "-o", "addr", "show", "dev", DEVICE, "scope", "link"]);
    let text = text.unwrap();
    let word = text.split_whitespace().find(|word| word.starts_with("fe80:")).unwrap();
    word.split('/').next().unwrap().parse().unwrap()
}

fn scoped(node: &Node, address: Ipv6Addr, port: u16) -> SocketAddr {
    SocketAddrV6::new(address, port, 0, index(node)).into()
}

/// A socket of b that hears a group or a broadcast, and where a node sends to reach it.
fn ear(b: &Node, what: &str) -> (UdpSocket, IpAddr) {
    let group: IpAddr = what.parse().unwrap();
    let socket = match group {
        IpAddr::V4(v4) => {
            let socket = b.udp_socket(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)).unwrap();
            if v4.is_multicast() {
                socket.join_multicast_v4(&v4, &b.v4).unwrap();
            }
            socket
        }
        IpAddr::V6(v6) => {
            let socket = b.udp_socket(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)).unwrap();
            socket.join_multicast_v6(&v6, index(b)).unwrap();
            socket
        }
    };
    (socket, group)
}

/// Sends from a node to a group, through its device.
fn to_many(from: &Node, ear: &(UdpSocket, IpAddr), limit: std::time::Duration) -> u32 {
    let family = if ear.1.is_ipv4() { Family::V4 } else { Family::V6 };
    let sender = socket(from, from.address(family));
    let port = ear.0.local_addr().unwrap().port();
    let there = match ear.1 {
        IpAddr::V4(_) => {
            sender.set_broadcast(true).unwrap();
            SocketAddr::new(ear.1, port)
        }
        IpAddr::V6(v6) => scoped(from, v6, port),
    };
    arrived(&sender, &ear.0, there, Burst::SMALL, limit)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sends_to_many_is_lost_at_b_and_what_others_send_is_not() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let (a, b, c) = (rig.node("a"), rig.node("b"), rig.node("c"));
    for node in [a, c] {
        let lines = format!(
            "route add 239.0.0.0/8 dev {DEVICE}\nroute add 255.255.255.255/32 dev {DEVICE}\n"
        );
        node.namespace.batch(&lines).unwrap();
    }
    let [x, y, z, _] = b.v4.octets();
    // The lab's addresses have no broadcast address of their own, as those of `ip addr add` have not:
    // the kernel knows the network's all the same.
    let directed = Ipv4Addr::new(x, y, z, 255).to_string();
    for group in ["239.1.2.3", "ff02::1:beef", "255.255.255.255", &directed] {
        let ear = ear(b, group);
        assert_eq!(to_many(a, &ear, PATIENCE), COUNT, "{group} before");
        let id = rig.cut("a", "b", udp_cut()).await;
        assert_eq!(to_many(a, &ear, LIMIT), 0, "{group} from a");
        assert_eq!(to_many(c, &ear, PATIENCE), COUNT, "{group} from c");
        assert_all_lost(&rig.heal(id).await.effect, COUNT, group);
        assert_eq!(to_many(a, &ear, PATIENCE), COUNT, "{group} after");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_are_found_while_all_addresses_are_cut() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    for side in [Side::Ingress, Side::Egress] {
        let id = rig.cut("a", "b", Cut { side, ..packet_cut() }).await;
        for node in [a, b] {
            node.namespace.ip(&["neigh", "flush", "dev", DEVICE]).unwrap();
            let left = node.namespace.ip(&["neigh", "show", "dev", DEVICE]).unwrap();
            assert!(!left.contains("lladdr"), "not flushed: {left}");
        }
        for family in Family::ALL {
            // b asks who a is, and a answers; a asks who b is, and b answers.
            assert!(is_whole(at(b, family), at(a, family), Burst::SMALL), "{side} {family:?}");
            assert!(is_lost(at(a, family), at(b, family), Burst::SMALL), "{side} {family:?}");
        }
        for (node, other) in [(a, b), (b, a)] {
            for address in [IpAddr::from(other.v4), other.v6.into()] {
                let text = node.namespace.ip(&["neigh", "show", &address.to_string()]).unwrap();
                assert!(text.contains("lladdr"), "{side}: {address} is not resolved: {text}");
            }
        }
        let effect = rig.heal(id).await.effect;
        assert!(effect.exempt > 0, "{side}: {effect:?}");
        assert!(effect.lost >= u64::from(2 * COUNT), "{side}: {effect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn link_local_addresses_are_cut_on_the_one_link() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let (a, b, c) = (rig.node("a"), rig.node("b"), rig.node("c"));
    let bind = |node: &Node| node.udp_socket(scoped(node, link_local(node), 0)).unwrap();
    let (at_a, at_b, at_c) = (bind(a), bind(b), bind(c));
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let send = |from: (&Node, &UdpSocket), to: (&Node, &UdpSocket), limit| {
        let there = scoped(from.0, link_local(to.0), port(to.1));
        arrived(from.1, to.1, there, Burst::SMALL, limit)
    };
    let (a, b, c) = ((a, &at_a), (b, &at_b), (c, &at_c));
    assert_eq!(send(a, b, PATIENCE), COUNT);
    for side in [Side::Ingress, Side::Egress] {
        let id = rig.cut("a", "b", Cut { side, ..udp_cut() }).await;
        assert_eq!(send(a, b, LIMIT), 0, "{side}: a to b");
        assert_eq!(send(b, a, PATIENCE), COUNT, "{side}: b to a");
        assert_eq!(send(c, b, PATIENCE), COUNT, "{side}: c to b");
        assert_eq!(send(a, c, PATIENCE), COUNT, "{side}: a to c");
        assert_all_lost(&rig.heal(id).await.effect, COUNT, &side.to_string());
    }
    acquaint(at(a.0, Family::V6), at(b.0, Family::V6));
}

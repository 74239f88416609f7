//! Kinds of devices.

use std::net::IpAddr;

use fault::{Chance, Cut, Side};
use lab::topology::{DEVICE, Family, Node};

use super::{
    Burst, COUNT, LIMIT, acquaint, assert_all_lost, at, between, is_lost, is_whole, prefix, udp_cut,
};
use crate::rig::Rig;

const SIDES: [Side; 2] = [Side::Ingress, Side::Egress];

/// Puts a node's addresses on a bridge of which its device becomes a port.
fn bridged(node: &Node) {
    let Node { v4, v6, .. } = node;
    let lines = format!(
        "link add br1 type bridge forward_delay 0 mcast_snooping 0\n\
         addr flush dev {DEVICE}\nlink set {DEVICE} master br1\n\
         addr add {v4}/24 dev br1\naddr add {v6}/64 dev br1 nodad\nlink set br1 up\n"
    );
    node.namespace.batch(&lines).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_bridge_of_its_own_a_target_judges_each_packet_once() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    bridged(b);
    for family in Family::ALL {
        acquaint(at(a, family), at(b, family));
    }
    for side in SIDES {
        // At egress b is the one that sends: the bridge is in the target.
        let (from, to) = match side {
            Side::Ingress => (a, b),
            Side::Egress => (b, a),
        };
        let id = rig.cut(&from.label, &to.label, Cut { side, ..udp_cut() }).await;
        for family in Family::ALL {
            let (here, there) = (at(from, family), at(to, family));
            assert!(is_lost(here, there, Burst::SMALL), "{side} {family:?}");
            assert!(is_whole(there, here, Burst::SMALL), "{side} {family:?}");
        }
        assert_all_lost(&rig.heal(id).await.effect, 2 * COUNT, &side.to_string());

        for family in Family::ALL {
            let what = format!("{side} {family:?}");
            let (here, there) = (at(from, family), at(to, family));
            let loss = "50%".parse::<Chance>().unwrap();
            let id =
                rig.cut(&from.label, &to.label, Cut { side, loss, seed: 7, ..udp_cut() }).await;
            let burst = Burst { count: 1_000, size: 64 };
            let passed = between(here, there, burst, LIMIT);
            let effect = rig.heal(id).await.effect;
            assert_eq!(effect.matched, 1_000, "{what}: {effect:?}");
            assert_eq!(effect.lost + u64::from(passed), 1_000, "{what}: {effect:?}");
            assert!((440..560).contains(&passed), "{what}: {passed} of 1000 with a loss of 50 %");
        }
    }
}

/// A device of b that shares eth0 with it: own hardware address, own networks.
fn macvlan(rig: &Rig) -> [(IpAddr, IpAddr); 2] {
    let (a, b) = (rig.node("a"), rig.node("b"));
    // eth0 must not answer for what belongs to the device above it.
    b.namespace.sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
    let lines = format!(
        "link add link {DEVICE} name mv0 type macvlan mode bridge\nlink set mv0 up\n\
         addr add 10.88.0.2/24 dev mv0\naddr add fd88::2/64 dev mv0 nodad\n"
    );
    b.namespace.batch(&lines).unwrap();
    let lines =
        format!("addr add 10.88.0.1/24 dev {DEVICE}\naddr add fd88::1/64 dev {DEVICE} nodad\n");
    a.namespace.batch(&lines).unwrap();
    [("10.88.0.1", "10.88.0.2"), ("fd88::1", "fd88::2")]
        .map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_macvlan_device_and_the_one_below_judge_each_packet_once() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let above = macvlan(&rig);
    for (at_a, at_b) in above {
        acquaint((a, at_a), (b, at_b));
    }
    for side in SIDES {
        let (from, to) = match side {
            Side::Ingress => (a, b),
            Side::Egress => (b, a),
        };
        for (family, (at_a, at_b)) in Family::ALL.into_iter().zip(above) {
            let what = format!("{side} {family:?}");
            let (here, there) = match side {
                Side::Ingress => ((a, at_a), (b, at_b)),
                Side::Egress => ((b, at_b), (a, at_a)),
            };
            let id = rig.cut(&from.label, &to.label, Cut { side, ..udp_cut() }).await;
            assert!(is_lost(here, there, Burst::SMALL), "{what}: above");
            assert!(is_lost(at(from, family), at(to, family), Burst::SMALL), "{what}: below");
            assert!(is_whole(there, here, Burst::SMALL), "{what}: above");
            assert!(is_whole(at(to, family), at(from, family), Burst::SMALL), "{what}: below");
            assert_all_lost(&rig.heal(id).await.effect, 2 * COUNT, &what);

            // At egress a packet that is spared above is drawn for once more below, so a share is
            // asked for at ingress only.
            if side == Side::Ingress {
                let loss = "50%".parse::<Chance>().unwrap();
                let cut = Cut { side, loss, seed: 7, ..udp_cut() };
                let id = rig.cut(&from.label, &to.label, cut).await;
                let passed = between(here, there, Burst { count: 1_000, size: 64 }, LIMIT);
                let effect = rig.heal(id).await.effect;
                assert_eq!(effect.matched, 1_000, "{what}: {effect:?}");
                assert_eq!(effect.lost + u64::from(passed), 1_000, "{what}: {effect:?}");
            }
        }
    }
}

/// A tunnel of a VXLAN device in generic mode, which carries IP packets without Ethernet headers.
/// The kernels that we build on have neither ipip nor sit nor gre.
fn tunnel(node: &Node, other: &Node, ends: [&str; 2], far: [&str; 2]) {
    let outer = other.v4;
    let lines = format!(
        "link add vx0 type vxlan dstport 4790 external gpe\nlink set vx0 up\n\
         addr add {}/32 dev vx0\naddr add {}/128 dev vx0 nodad\n\
         route add {}/32 encap ip id 7 dst {outer} dev vx0 src {}\n\
         route add {}/128 encap ip id 7 dst {outer} dev vx0 src {}\n",
        ends[0], ends[1], far[0], ends[0], far[1], ends[1]
    );
    node.namespace.batch(&lines).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_ethernet_headers_is_cut_like_any_other() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let (of_a, of_b) = (["10.66.0.1", "fd66::1"], ["10.66.0.2", "fd66::2"]);
    tunnel(a, b, of_a, of_b);
    tunnel(b, a, of_b, of_a);
    let links = b.namespace.ip(&["-o", "link", "show", "vx0"]).unwrap();
    assert!(links.contains("link/none"), "the device has a link layer: {links}");
    for (number, family) in Family::ALL.into_iter().enumerate() {
        let inner_a: IpAddr = of_a[number].parse().unwrap();
        let inner_b: IpAddr = of_b[number].parse().unwrap();
        acquaint((a, inner_a), (b, inner_b));
        for side in SIDES {
            let what = format!("{side} {family:?}");
            // Only the inner address is a peer: what carries it is not cut.
            let (target, peer) = match side {
                Side::Ingress => ("b", of_a[number]),
                Side::Egress => ("a", of_b[number]),
            };
            let cut = Cut { side, ..udp_cut() };
            let id = rig.begin(rig.fixed(target, vec![prefix(peer)], cut)).await.fault.id;
            assert!(is_lost((a, inner_a), (b, inner_b), Burst::SMALL), "{what}: inner");
            assert!(is_whole((b, inner_b), (a, inner_a), Burst::SMALL), "{what}: inner, back");
            assert!(is_whole(at(a, family), at(b, family), Burst::SMALL), "{what}: outer");
            assert!(is_whole(at(b, family), at(a, family), Burst::SMALL), "{what}: outer, back");
            assert_all_lost(&rig.heal(id).await.effect, COUNT, &what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_forwards_does_not_cut_what_it_forwards() {
    let rig = Rig::hub(&["a", "r", "c"]);
    let (a, r, c) = (rig.node("a"), rig.node("r"), rig.node("c"));
    // One wire, two networks, and r between them.
    let device = DEVICE;
    for (node, number) in [(a, 1), (c, 2)] {
        let other = 3 - number;
        let lines = format!(
            "addr add 10.99.{number}.1/24 dev {device}\n\
             addr add fd99:{number}::1/64 dev {device} nodad\n\
             route add 10.99.{other}.0/24 via 10.99.{number}.254\n\
             route add fd99:{other}::/64 via fd99:{number}::fe\n"
        );
        node.namespace.batch(&lines).unwrap();
        let lines = format!(
            "addr add 10.99.{number}.254/24 dev {device}\n\
             addr add fd99:{number}::fe/64 dev {device} nodad\n"
        );
        r.namespace.batch(&lines).unwrap();
    }
    for (path, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/eth0/send_redirects", "0"),
    ] {
        r.namespace.sysctl(path, value).unwrap();
    }
    let addresses =
        [["10.99.1.1", "10.99.1.254", "10.99.2.1"], ["fd99:1::1", "fd99:1::fe", "fd99:2::1"]];
    for (family, [at_a, at_r, at_c]) in Family::ALL.into_iter().zip(addresses) {
        let at_a = (a, at_a.parse().unwrap());
        let at_r = (r, at_r.parse().unwrap());
        let at_c = (c, at_c.parse().unwrap());
        acquaint(at_a, at_c);
        acquaint(at_a, at_r);
        for side in SIDES {
            let what = format!("{side} {family:?}");
            // r is the target on both sides: as the receiver from a, as the sender to a.
            let (from, to) = match side {
                Side::Ingress => ("a", "r"),
                Side::Egress => ("r", "a"),
            };
            let id = rig.cut(from, to, Cut { side, ..udp_cut() }).await;
            assert!(is_whole(at_a, at_c, Burst::SMALL), "{what}: a to c, through r");
            assert!(is_whole(at_c, at_a, Burst::SMALL), "{what}: c to a, through r");
            let (lost, whole) = match side {
                Side::Ingress => ((at_a, at_r), (at_r, at_a)),
                Side::Egress => ((at_r, at_a), (at_a, at_r)),
            };
            assert!(is_lost(lost.0, lost.1, Burst::SMALL), "{what}");
            assert!(is_whole(whole.0, whole.1, Burst::SMALL), "{what}");
            assert_all_lost(&rig.heal(id).await.effect, COUNT, &what);
        }
    }
}

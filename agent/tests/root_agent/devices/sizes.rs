//! Packets in pieces, and many in one.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use fault::{Chance, Cut, Protocol, Side, Verdict};
use lab::topology::Family;

use super::{
    Burst, LIMIT, PATIENCE, arrived, assert_all_lost, at, is_lost, is_whole, socket, udp_cut,
};
use crate::rig::{Rig, packet_cut};

/// Three fragments over an MTU of 1500, in either family.
const IN_PIECES: Burst = Burst { count: 5, size: 4_000 };
const PIECES: u32 = 15;

#[tokio::test(flavor = "multi_thread")]
async fn every_fragment_is_lost_where_addresses_alone_decide() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    for side in [Side::Ingress, Side::Egress] {
        for family in Family::ALL {
            let what = format!("{side} {family:?}");
            let id = rig.cut("a", "b", Cut { side, ..udp_cut() }).await;
            assert!(is_lost(at(a, family), at(b, family), IN_PIECES), "{what}");
            assert!(is_whole(at(b, family), at(a, family), IN_PIECES), "{what}");
            let effect = rig.heal(id).await.effect;
            assert_all_lost(&effect, PIECES, &what);
            assert_eq!(effect.fragment, 0, "{what}: {effect:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_in_pieces_is_lost_by_its_port_with_the_first_of_them() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    for family in Family::ALL {
        let what = format!("{family:?}");
        let (to, other) = (socket(b, b.address(family)), socket(b, b.address(family)));
        let from = socket(a, a.address(family));
        let there = to.local_addr().unwrap();
        let port = Some(there.port());
        let id = rig.cut("a", "b", Cut { port, ..udp_cut() }).await;
        assert_eq!(arrived(&from, &to, there, IN_PIECES, LIMIT), 0, "{what}");
        let effect = rig.status(id).await.effect;
        assert_eq!((effect.lost, effect.fragment), (5, 10), "{what}: {effect:?}");
        // Of another port all pieces pass, the later ones counted since nobody knows their port.
        let elsewhere = other.local_addr().unwrap();
        assert_eq!(arrived(&from, &other, elsewhere, IN_PIECES, PATIENCE), 5, "{what}");
        let back = from.local_addr().unwrap();
        assert_eq!(arrived(&to, &from, back, IN_PIECES, PATIENCE), 5, "{what}");
        let effect = rig.heal(id).await.effect;
        assert_eq!((effect.matched, effect.lost), (5, 5), "{what}: {effect:?}");
        assert_eq!(effect.fragment, 20, "{what}: {effect:?}");
    }
}

/// Bytes of a transfer.
const BULK: usize = 4_000_000;

/// Sends them from a to b and waits until b has them all.
fn transfer(rig: &Rig, family: Family) {
    let (a, b) = (rig.node("a"), rig.node("b"));
    let listener = b.tcp_listener(b.socket_address(family, 0)).unwrap();
    let mut sender = a.tcp_connect(listener.local_addr().unwrap(), PATIENCE).unwrap();
    let mut receiver = listener.accept().unwrap().0;
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| sender.write_all(&vec![0; BULK]).unwrap());
        receiver.read_exact(&mut vec![0; BULK]).unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_and_bytes_of_jumbo_packets_are_counted() {
    let rig = Rig::pair();
    for family in Family::ALL {
        let what = format!("{family:?}");
        let tcp = Cut { protocol: Some(Protocol::Tcp), ..packet_cut() };
        // What would be lost is all that a sends, and b has it all.
        let id = rig.cut("a", "b", Cut { verdict: Verdict::Count, ..tcp }).await;
        transfer(&rig, family);
        let effect = rig.heal(id).await.effect;
        let bulk = BULK as u64;
        assert_eq!(effect.lost, effect.matched, "{what}: {effect:?}");
        assert!(effect.lost_segments >= bulk / 1_460, "{what}: {effect:?}");
        assert!(effect.lost_segments > 4 * effect.lost, "no jumbo packets: {what}: {effect:?}");
        // A header of at most 100 bytes for each packet, and a little sent twice.
        let headers = 100 * effect.lost;
        let plausible = bulk..bulk + bulk / 10 + headers;
        assert!(plausible.contains(&effect.lost_bytes), "{what}: {effect:?}");

        // With real loss the transfer is completed, and whole packets are lost.
        let loss = "5%".parse::<Chance>().unwrap();
        let id = rig.cut("a", "b", Cut { loss, seed: 3, ..tcp }).await;
        transfer(&rig, family);
        let effect = rig.heal(id).await.effect;
        assert!(effect.lost > 0 && effect.spared > effect.lost, "{what}: {effect:?}");
        assert!(effect.lost_segments >= effect.lost, "{what}: {effect:?}");
        let (least, most) = (60 * effect.lost, 1_514 * effect.lost_segments);
        assert!((least..=most).contains(&effect.lost_bytes), "{what}: {effect:?}");
    }
}

//! Addresses that come and go on either side.

use std::net::Ipv4Addr;
use std::time::Duration;

use fault::State;
use lab::clock::BootTime;
use lab::topology::{DEVICE, Family};
use lab::traffic::{Probe, Protocol};

use crate::rig::{Rig, at, last_arrival, next_arrival, packet_cut, stream};

/// By an event. The timer of a second can be the reason for one of several within a second, not for all.
const SOON: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);

/// Other addresses in the node's own subnet.
fn others(v4: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
    let [a, b, c, host] = v4.octets();
    [100, 110, 120].into_iter().map(move |more| Ipv4Addr::new(a, b, c, host + more))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_to_the_receiver_is_cut_too() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let id = rig.cut("a", "b", packet_cut()).await;
    let mut streams = Vec::new();
    let began = BootTime::now();
    for v4 in others(b.v4) {
        let new = at(b, v4);
        b.namespace.batch(&format!("addr add {v4}/24 dev {DEVICE}\n")).unwrap();
        let added = BootTime::now();
        let there = stream(a, &new);
        let late = last_arrival(&there, added);
        assert!(late < SOON, "after {late:?}");
        streams.push((there, new));
    }
    assert!(began.elapsed() < SECOND, "they took {:?}", began.elapsed());
    // It is silent because the cut loses it.
    rig.until(id, |status| status.effect.lost >= 60).await;
    for (_, new) in &streams {
        next_arrival(&stream(new, a), BootTime::now());
    }
    let healed = BootTime::now();
    rig.heal(id).await;
    for (there, _) in &streams {
        next_arrival(there, healed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_to_the_sender_is_followed() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let id = rig.cut("a", "b", packet_cut()).await;
    let before = rig.status(id).await.peers;
    let mut streams = Vec::new();
    let began = BootTime::now();
    for v4 in others(a.v4) {
        a.namespace.batch(&format!("addr add {v4}/24 dev {DEVICE}\n")).unwrap();
        let added = BootTime::now();
        let there = stream(&at(a, v4), b);
        let late = last_arrival(&there, added);
        assert!(late < SOON, "after {late:?}");
        streams.push(there);
    }
    assert!(began.elapsed() < SECOND, "they took {:?}", began.elapsed());
    let status = rig.until(id, |status| status.effect.lost >= 60).await;
    assert_eq!(status.peers.len(), before.len() + 3, "{:?}", status.peers);
    let healed = BootTime::now();
    rig.heal(id).await;
    for there in &streams {
        next_arrival(there, healed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_goes_from_the_sender_to_a_third_is_cut_no_longer() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let (a, b, c) = (rig.node("a"), rig.node("b"), rig.node("c"));
    let id = rig.cut("a", "b", packet_cut()).await;
    assert!(Probe::new(a, b, Protocol::Udp).run().unwrap().is_lost());
    a.namespace.batch(&format!("addr del {}/24 dev {DEVICE}\n", a.v4)).unwrap();
    c.namespace.batch(&format!("addr add {}/24 dev {DEVICE}\n", a.v4)).unwrap();
    let given = BootTime::now();
    let innocent = stream(&at(c, a.v4), b);
    let late = next_arrival(&innocent, given);
    assert!(late < SOON, "after {late:?}");
    let lost = rig.status(id).await.effect.lost;
    next_arrival(&innocent, BootTime::now());
    assert_eq!(rig.status(id).await.effect.lost, lost, "the third's packets are lost");
    drop(innocent);
    // What the sender still has is cut as before.
    let v6 = || Probe::new(a, b, Protocol::Udp).family(Family::V6).run().unwrap();
    assert!(v6().is_lost());

    // And a sender that has nothing left cuts nobody.
    a.namespace.batch(&format!("addr flush dev {DEVICE}\n")).unwrap();
    let status = rig.until(id, |status| status.peers.is_empty()).await;
    assert_eq!(status.state, State::Active);
    c.namespace.batch(&format!("addr add {}/64 dev {DEVICE} nodad\n", a.v6)).unwrap();
    let third = lab::topology::Node { v6: a.v6, ..c.clone() };
    let probe = Probe::new(&third, b, Protocol::Udp).family(Family::V6);
    assert!(probe.limit(Duration::from_secs(3)).run().unwrap().is_whole());
    assert_eq!(rig.heal(id).await.state, State::Healed);
}

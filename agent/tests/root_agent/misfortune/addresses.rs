//! Addresses that come and go on either side.

use std::net::Ipv4Addr;
use std::time::Duration;

use fault::State;
use lab::clock::BootTime;
use lab::topology::{DEVICE, Family};
use lab::traffic::{Probe, Protocol};

use crate::rig::{Rig, at, last_arrival, next_arrival, packet_cut, stream};

/// By an event, not by the timer of a second.
const SOON: Duration = Duration::from_millis(200);

/// Another address in the node's own subnet.
fn another(v4: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, host] = v4.octets();
    Ipv4Addr::new(a, b, c, host + 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_to_the_receiver_is_cut_too() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let id = rig.cut("a", "b", packet_cut()).await;
    let new = at(b, another(b.v4));
    b.namespace.batch(&format!("addr add {}/24 dev {DEVICE}\n", new.v4)).unwrap();
    let added = BootTime::now();
    let there = stream(a, &new);
    let back = stream(&new, a);
    let late = last_arrival(&there, added);
    assert!(late < SOON, "after {late:?}");
    next_arrival(&back, BootTime::now());
    // It is silent because the cut loses it.
    rig.until(id, |status| status.effect.lost >= 20).await;
    let healed = BootTime::now();
    rig.heal(id).await;
    next_arrival(&there, healed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_to_the_sender_is_followed() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let id = rig.cut("a", "b", packet_cut()).await;
    let before = rig.status(id).await.peers;
    let new = at(a, another(a.v4));
    a.namespace.batch(&format!("addr add {}/24 dev {DEVICE}\n", new.v4)).unwrap();
    let added = BootTime::now();
    let there = stream(&new, b);
    let late = last_arrival(&there, added);
    assert!(late < SOON, "after {late:?}");
    let status = rig.until(id, |status| status.effect.lost >= 20).await;
    assert_eq!(status.peers.len(), before.len() + 1, "{:?}", status.peers);
    let healed = BootTime::now();
    rig.heal(id).await;
    next_arrival(&there, healed);
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

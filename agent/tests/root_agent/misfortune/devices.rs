//! Interfaces that are renamed, made anew, added, and moved away in mid-cut.

use std::time::Duration;

use agent::kernel::bpf;
use fault::{Drift, Side, State};
use lab::clock::BootTime;
use lab::topology::{BRIDGE, DEVICE, Node};
use lab::traffic::{Probe, Protocol};

use crate::rig::{
    Rig, at, eventually, last_arrival, next_arrival, packet_cut, second_address, stream,
};

/// By an event, not by the timer of a second.
const SOON: Duration = Duration::from_millis(200);

fn index_of(node: &Node, name: &str) -> u32 {
    let links = node.namespace.links().unwrap();
    links.into_iter().find(|link| link.name == name).unwrap().index
}

/// A second link between two nodes, with addresses of its own.
fn link(a: &Node, b: &Node) {
    let (of_a, of_b) = (second_address(a), second_address(b));
    let other = b.namespace.name();
    // Unlike indices, as for the first link: see `Topology::pair`.
    let lines = format!(
        "link add eth1 index 21 type veth peer name eth1 index 31 netns {other}\n\
         addr add {of_a}/24 dev eth1\nlink set eth1 up\n"
    );
    a.namespace.batch(&lines).unwrap();
    b.namespace.batch(&format!("addr add {of_b}/24 dev eth1\nlink set eth1 up\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_interface_stays_cut() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let id = rig.cut("a", "b", packet_cut()).await;
    let there = stream(a, b);
    let before = rig.until(id, |status| status.effect.lost >= 20).await.effect.lost;
    b.namespace.batch(&format!("link set {DEVICE} name eth9\n")).unwrap();
    let status = rig.until(id, |status| status.effect.lost >= before + 200).await;
    assert_eq!(status.state, State::Active);
    assert_eq!(status.drifts, []);
    assert_eq!(there.finish().delivered(), 0);
    assert_eq!(rig.heal(id).await.state, State::Healed);
    assert!(Probe::new(a, b, Protocol::Udp).run().unwrap().is_whole());
}

async fn made_anew(index: Option<u32>) -> (u32, u32, Vec<Drift>) {
    let rig = Rig::hub(&["a", "b"]);
    let (a, b) = (rig.node("a"), rig.node("b"));
    let hub = &rig.lab.hub_node().unwrap().namespace;
    let old = index_of(b, DEVICE);
    let new = index.unwrap_or(old);
    let id = rig.cut("a", "b", packet_cut()).await;
    let (v4, v6, netns) = (b.v4, b.v6, b.namespace.name());
    hub.batch(&format!(
        "link del v1\n\
         link add v1 index 50 type veth peer name {DEVICE} index {new} netns {netns}\n\
         link set v1 master {BRIDGE} up\n"
    ))
    .unwrap();
    b.namespace
        .batch(&format!(
            "addr add {v4}/24 dev {DEVICE}\naddr add {v6}/64 dev {DEVICE} nodad\n\
             link set {DEVICE} up\n"
        ))
        .unwrap();
    // It has another hardware address.
    a.namespace.batch(&format!("neigh flush dev {DEVICE}\n")).unwrap();
    let up = BootTime::now();
    let there = stream(a, b);
    let late = last_arrival(&there, up);
    assert!(late < SOON, "after {late:?}");
    let status = rig.until(id, |status| status.effect.lost >= 20).await;
    assert_eq!(status.state, State::Active);
    let healed = BootTime::now();
    rig.heal(id).await;
    next_arrival(&there, healed);
    (old, new, status.drifts)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_was_made_anew_is_cut_again() {
    let (old, new, drifts) = made_anew(Some(77)).await;
    assert_eq!(drifts, [Drift::DeviceLeft(old), Drift::DeviceJoined(new)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_was_made_anew_with_its_old_index_is_cut_again() {
    let (old, _, drifts) = made_anew(None).await;
    // Whether a look fell between the two is chance.
    let seen = [Drift::DeviceLeft(old), Drift::DeviceJoined(old)];
    assert!(drifts == [Drift::Detached(old)] || drifts == seen, "{drifts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_interface_is_cut_as_the_others() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let id = rig.cut("a", "b", packet_cut()).await;
    link(a, b);
    let added = BootTime::now();
    let (a1, b1) = (at(a, second_address(a)), at(b, second_address(b)));
    let there = stream(&a1, &b1);
    let back = stream(&b1, &a1);
    let late = last_arrival(&there, added);
    assert!(late < SOON, "after {late:?}");
    let status = rig.until(id, |status| status.effect.lost >= 20).await;
    assert_eq!(status.drifts, [Drift::DeviceJoined(31)]);
    next_arrival(&back, BootTime::now());
    let healed = BootTime::now();
    rig.heal(id).await;
    next_arrival(&there, healed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cut_does_not_follow_an_interface_to_another_namespace() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let (a, b, c) = (rig.node("a"), rig.node("b"), rig.node("c"));
    link(a, b);
    let (a1, b1) = (at(a, second_address(a)), at(b, second_address(b)));
    let id = rig.cut("a", "b", packet_cut()).await;
    let there = stream(&a1, &b1);
    rig.until(id, |status| status.effect.lost >= 20).await;
    drop(there);
    let mut transitions = rig.agent.transitions();
    let moved = BootTime::now();
    b.namespace.batch(&format!("link set eth1 netns {}\n", c.namespace.name())).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let agent::worker::Transition::Changed(status) = transitions.recv().await.unwrap()
            else {
                continue;
            };
            if status.drifts.contains(&Drift::DeviceLeft(31)) {
                return status;
            }
        }
    });
    let status = told.await.unwrap();
    assert!(moved.elapsed() < SOON, "after {:?}", moved.elapsed());
    assert_eq!(status.state, State::Active);
    // Nothing of ours goes on acting there.
    let index = index_of(c, "eth1");
    eventually("our link is off the interface that was moved", || {
        let chain = c.namespace.inside(|| bpf::chain(index, Side::Ingress));
        chain.unwrap().unwrap().is_empty()
    });

    let address = b1.v4;
    c.namespace.batch(&format!("addr add {address}/24 dev eth1\nlink set eth1 up\n")).unwrap();
    let up = BootTime::now();
    let through = stream(&a1, &at(c, address));
    next_arrival(&through, up);
    let lost = rig.status(id).await.effect.lost;
    next_arrival(&through, BootTime::now());
    assert_eq!(rig.status(id).await.effect.lost, lost, "what goes to c is lost");
    // The interface that stayed is cut as before.
    assert!(Probe::new(a, b, Protocol::Udp).run().unwrap().is_lost());
    assert_eq!(rig.heal(id).await.state, State::Healed);
    assert!(Probe::new(a, b, Protocol::Udp).run().unwrap().is_whole());
}

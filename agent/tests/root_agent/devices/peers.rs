//! Many peers, many faults, and no more than there is room for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use agent::worker::{AgentError, Earnest};
use fault::{Prefix, State};
use lab::topology::{Family, Node};

use super::{Burst, COUNT, assert_all_lost, at, is_lost, is_whole, prefix, udp_cut};
use crate::rig::Rig;

fn host(node: &Node) -> [Prefix; 2] {
    Family::ALL.map(|family| Prefix::host(node.address(family)))
}

/// a's datagrams to b are lost, and b's to a and c's to b are not.
fn only_a_is_cut(rig: &Rig, what: &str) {
    let (a, b, c) = (rig.node("a"), rig.node("b"), rig.node("c"));
    for family in Family::ALL {
        let what = format!("{what}, {family:?}");
        assert!(is_lost(at(a, family), at(b, family), Burst::SMALL), "{what}: a to b");
        assert!(is_whole(at(b, family), at(a, family), Burst::SMALL), "{what}: b to a");
        assert!(is_whole(at(c, family), at(b, family), Burst::SMALL), "{what}: c to b");
    }
}

fn nobody_is_cut(rig: &Rig) {
    let (a, b) = (rig.node("a"), rig.node("b"));
    for family in Family::ALL {
        assert!(is_whole(at(a, family), at(b, family), Burst::SMALL), "{family:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_cuts_whom_it_contains() {
    // Hosts .10, .11 and .12: a and b share the first 126 bits, c does not.
    let rig = Rig::hub(&["a", "b", "c"]);
    let (a, c) = (rig.node("a"), rig.node("c"));
    let peers = vec![prefix(&format!("{}/30", a.v4)), prefix(&format!("{}/126", a.v6))];
    for (peer, family) in peers.iter().zip(Family::ALL) {
        assert!(peer.contains(a.address(family)) && !peer.contains(c.address(family)));
    }
    let id = rig.begin(rig.fixed("b", peers, udp_cut())).await.fault.id;
    only_a_is_cut(&rig, "prefix");
    assert_all_lost(&rig.heal(id).await.effect, 2 * COUNT, "prefix");
    nobody_is_cut(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_peers_are_one_fault() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let mut peers: Vec<Prefix> = (0..5_000_u16)
        .flat_map(|number| {
            let [high, low] = number.to_be_bytes();
            let v6 = Ipv6Addr::new(0xfd10, 0, 0, 0, 0, 0, 0, number);
            [IpAddr::from(Ipv4Addr::new(172, 16, high, low)), v6.into()].map(Prefix::host)
        })
        .collect();
    peers.extend(host(rig.node("a")));
    let status = rig.begin(rig.fixed("b", peers, udp_cut())).await;
    assert_eq!(status.state, State::Active, "{:?}", status.drifts);
    only_a_is_cut(&rig, "10,000 peers");
    assert_all_lost(&rig.heal(status.fault.id).await.effect, 2 * COUNT, "10,000 peers");
    nobody_is_cut(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_takes_sixty_four_faults_and_refuses_one_more() {
    let rig = Rig::hub(&["a", "b", "c"]);
    // The last one is a's; the others are of addresses that nobody has.
    let stranger = |number| vec![Prefix::host(Ipv4Addr::new(172, 16, 0, number).into())];
    let mut ids = Vec::new();
    for number in 0..63 {
        let status = rig.begin(rig.fixed("b", stranger(number), udp_cut())).await;
        assert_eq!(status.state, State::Active, "{number}: {:?}", status.drifts);
        ids.push(status.fault.id);
    }
    let last = rig.begin(rig.fixed("b", host(rig.node("a")).to_vec(), udp_cut())).await;
    let refused = rig.fixed("b", stranger(64), udp_cut());
    let error = rig.agent.prepare(vec![refused], Earnest::Real, None).await.unwrap_err();
    assert!(matches!(error, AgentError::Limit { most: 64, .. }), "{error:?}");
    only_a_is_cut(&rig, "64 faults");
    assert_all_lost(&rig.heal(last.fault.id).await.effect, 2 * COUNT, "64 faults");
    nobody_is_cut(&rig);
    // There is room again, and in it a is cut again.
    let again = rig.begin(rig.fixed("b", host(rig.node("a")).to_vec(), udp_cut())).await;
    only_a_is_cut(&rig, "in a slot that was used");
    ids.push(again.fault.id);
    for healed in rig.agent.heal(ids).await.unwrap() {
        assert_eq!(healed.state, State::Healed);
    }
    nobody_is_cut(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seventeenth_prefix_length_is_refused_and_leaves_nothing() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let a = rig.node("a");
    // a's own address is one of the lengths.
    let lengths = |count: u8| -> Vec<Prefix> {
        let mut all = host(a).to_vec();
        all.extend((0..count).map(|number| prefix(&format!("172.16.0.0/{}", 12 + number))));
        all
    };
    let refused = rig.fixed("b", lengths(16), udp_cut());
    let error = rig.agent.prepare(vec![refused], Earnest::Real, None).await.unwrap_err();
    assert!(matches!(error, AgentError::Limit { most: 16, .. }), "{error:?}");
    nobody_is_cut(&rig);
    let status = rig.begin(rig.fixed("b", lengths(15), udp_cut())).await;
    assert_eq!(status.state, State::Active, "{:?}", status.drifts);
    only_a_is_cut(&rig, "16 lengths");
    // A second fault of the same target may add none.
    let other = rig.fixed("b", vec![prefix("172.16.0.0/31")], udp_cut());
    let error = rig.agent.prepare(vec![other], Earnest::Real, None).await.unwrap_err();
    assert!(matches!(error, AgentError::Limit { most: 16, .. }), "{error:?}");
    only_a_is_cut(&rig, "after a refusal");
    let effect = rig.heal(status.fault.id).await.effect;
    assert_all_lost(&effect, 4 * COUNT, "16 lengths");
    nobody_is_cut(&rig);
}

//! A cut loses what one side sends to the other and nothing else: real packets in real namespaces.

use std::sync::Arc;
use std::time::Duration;

use agent::brake::Brake;
use agent::kernel::{Kernel, Linux};
use agent::worker::{Agent, AgentError};
use fault::{Chance, Cut, FlowAge, Mode, Protocol, Side, State, Verdict};
use lab::topology::Family;
use lab::traffic::{EchoConnection, EchoServer, Probe, Protocol as Wire};

use crate::driven::Driven;
use crate::rig::{Rig, initiator_cut, packet_cut};

const LIMIT: Duration = Duration::from_millis(300);

fn datagrams(rig: &Rig, from: &str, to: &str, family: Family) -> lab::traffic::Delivery {
    let probe = Probe::new(rig.node(from), rig.node(to), Wire::Udp);
    probe.family(family).count(20).limit(LIMIT).run().unwrap()
}

fn calls(rig: &Rig, from: &str, to: &str, family: Family) -> lab::traffic::Delivery {
    let probe = Probe::new(rig.node(from), rig.node(to), Wire::Tcp);
    probe.family(family).count(2).limit(LIMIT).run().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_cut_loses_one_direction_of_datagrams_and_all_of_tcp() {
    let rig = Rig::hub(&["a", "b", "c"]);
    for side in [Side::Ingress, Side::Egress] {
        let id = rig.cut("a", "b", Cut { side, ..packet_cut() }).await;
        for family in Family::ALL {
            assert!(datagrams(&rig, "a", "b", family).is_lost(), "{side} {family:?}");
            assert!(datagrams(&rig, "b", "a", family).is_whole(), "{side} {family:?}");
            assert!(datagrams(&rig, "c", "b", family).is_whole(), "{side} {family:?}");
            assert!(datagrams(&rig, "a", "c", family).is_whole(), "{side} {family:?}");
            assert!(calls(&rig, "a", "b", family).is_lost(), "{side} {family:?}");
            assert!(calls(&rig, "b", "a", family).is_lost(), "{side} {family:?}");
        }
        let healed = rig.heal(id).await;
        assert_eq!(healed.state, State::Healed);
        assert!(healed.effect.lost >= 40, "{:?}", healed.effect);
        assert_eq!(healed.effect.lost, healed.effect.matched);
        assert!(healed.effect.first_loss <= healed.effect.last_loss);
        for family in Family::ALL {
            assert!(datagrams(&rig, "a", "b", family).is_whole(), "{side} {family:?}");
            assert!(calls(&rig, "a", "b", family).is_whole(), "{side} {family:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initiator_cut_leaves_the_other_sides_calls_alone() {
    let rig = Rig::pair();
    for side in [Side::Ingress, Side::Egress] {
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        for family in Family::ALL {
            assert!(calls(&rig, "a", "b", family).is_lost(), "{side} {family:?}");
            assert!(calls(&rig, "b", "a", family).is_whole(), "{side} {family:?}");
        }
        let healed = rig.heal(id).await;
        assert!(healed.effect.lost > 0 && healed.effect.other_opener > 0, "{:?}", healed.effect);
        assert_eq!(healed.effect.opener_guessed, 0, "{:?}", healed.effect);
        assert_eq!(healed.effect.opener_unknown, 0, "{:?}", healed.effect);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_connections_are_told_apart_by_who_opened_them() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    for family in Family::ALL {
        let at_a = EchoServer::start(a, a.socket_address(family, 0)).unwrap();
        let at_b = EchoServer::start(b, b.socket_address(family, 0)).unwrap();
        let limit = Duration::from_secs(1);
        let mut from_a = EchoConnection::open(a, at_b.address().unwrap(), limit).unwrap();
        let mut from_b = EchoConnection::open(b, at_a.address().unwrap(), limit).unwrap();
        for round in 0..3 {
            from_a.round_trip(limit).unwrap_or_else(|error| panic!("{round}: {error}"));
            from_b.round_trip(limit).unwrap();
        }
        let id = rig.cut("a", "b", initiator_cut()).await;
        assert!(from_a.round_trip(LIMIT).is_err(), "{family:?}");
        from_b.round_trip(limit).unwrap();
        let healed = rig.heal(id).await;
        assert_eq!(healed.effect.opener_guessed, 0, "{:?}", healed.effect);
        assert_eq!(healed.effect.opener_unknown, 0, "{:?}", healed.effect);
        from_a.round_trip(Duration::from_secs(3)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn selection_by_protocol_and_port() {
    let rig = Rig::pair();
    let id = rig.cut("a", "b", Cut { protocol: Some(Protocol::Tcp), ..packet_cut() }).await;
    assert!(datagrams(&rig, "a", "b", Family::V4).is_whole());
    assert!(calls(&rig, "a", "b", Family::V4).is_lost());
    rig.heal(id).await;

    let cut = Cut { protocol: Some(Protocol::Tcp), port: Some(7001), ..initiator_cut() };
    let id = rig.cut("a", "b", cut).await;
    let call = |port| {
        let probe = Probe::new(rig.node("a"), rig.node("b"), Wire::Tcp);
        probe.port(port).count(2).limit(LIMIT).run().unwrap()
    };
    assert!(call(7001).is_lost());
    assert!(call(7002).is_whole());
    rig.heal(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn established_flows_stop_and_new_ones_go_on_or_the_other_way() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let server = EchoServer::start(b, b.socket_address(Family::V4, 0)).unwrap();
    let limit = Duration::from_secs(3);
    for (flows, old_lives) in [(FlowAge::New, true), (FlowAge::Established, false)] {
        let mut old = EchoConnection::open(a, server.address().unwrap(), limit).unwrap();
        old.round_trip(limit).unwrap();
        let id = rig.cut("a", "b", Cut { flows, ..packet_cut() }).await;
        assert_eq!(old.round_trip(LIMIT).is_ok(), old_lives, "{flows}");
        assert_eq!(calls(&rig, "a", "b", Family::V4).is_whole(), !old_lives, "{flows}");
        rig.heal(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_lost_and_the_seed_decides_which() {
    let rig = Rig::pair();
    let cut = Cut { loss: "30%".parse::<Chance>().unwrap(), seed: 42, ..packet_cut() };
    let mut shares = Vec::new();
    for _ in 0..2 {
        let id = rig.cut("a", "b", Cut { protocol: Some(Protocol::Udp), ..cut }).await;
        let probe = Probe::new(rig.node("a"), rig.node("b"), Wire::Udp).count(1_000).limit(LIMIT);
        let delivered = probe.run().unwrap();
        let healed = rig.heal(id).await;
        assert_eq!(healed.effect.matched, 1_000);
        assert_eq!(healed.effect.lost + healed.effect.spared, 1_000);
        assert!((250..350).contains(&healed.effect.lost), "{:?}", healed.effect);
        shares.push(delivered.arrived);
    }
    assert_eq!(shares[0], shares[1], "the same datagrams must be lost by the same seed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_counts_and_loses_nothing() {
    let rig = Rig::pair();
    let id = rig.cut("a", "b", Cut { verdict: Verdict::Count, ..packet_cut() }).await;
    assert!(datagrams(&rig, "a", "b", Family::V4).is_whole());
    let healed = rig.heal(id).await;
    assert_eq!(healed.effect.lost, 20, "{:?}", healed.effect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_without_traffic_has_no_effect_and_says_so() {
    let rig = Rig::pair();
    let id = rig.cut("a", "b", Cut { mode: Mode::Packet, ..packet_cut() }).await;
    assert!(!rig.heal(id).await.effect.happened());
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_one_target_are_independent() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let first = rig.cut("a", "b", packet_cut()).await;
    let second = rig.cut("c", "b", packet_cut()).await;
    rig.heal(first).await;
    assert!(datagrams(&rig, "a", "b", Family::V6).is_whole());
    assert!(datagrams(&rig, "c", "b", Family::V6).is_lost());
    rig.heal(second).await;
    assert!(datagrams(&rig, "c", "b", Family::V6).is_whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_a_network_of_its_own_does_not_cut_itself_off() {
    let rig = Rig::pair();
    let inside = rig.node("b").namespace.inside(|| Linux::new(agent::kernel::node_name()));
    let kernel: Arc<dyn Kernel> = Arc::new(inside.unwrap().unwrap());
    assert_eq!(kernel.own_network(), Some(rig.target("b").identity.namespace));
    assert_eq!(rig.kernel.own_network(), None, "it is the node's");
    let driven = Driven(Agent::start(kernel, Brake::in_memory()));
    for cut in [packet_cut(), Cut { side: Side::Egress, ..packet_cut() }] {
        let (from, to) = if cut.side == Side::Ingress { ("a", "b") } else { ("b", "a") };
        let refused = driven.try_begin(rig.fault(from, to, cut)).await.unwrap_err();
        assert!(matches!(refused, AgentError::OwnBranch(_)), "{refused}");
        assert!(refused.to_string().contains("the agent's own network namespace"), "{refused}");
        assert!(datagrams(&rig, "a", "b", Family::V4).is_whole());
    }
    // What it sends is lost at the other end.
    let status = driven.begin(rig.fault("b", "a", packet_cut())).await;
    assert_eq!(status.state, State::Active, "{:?}", status.drifts);
    assert!(datagrams(&rig, "b", "a", Family::V4).is_lost());
    driven.heal(status.fault.id).await;
}

//! Cuts over two nodes, as they should go.

use std::time::Duration;

use agent::fake::Call;
use agent::kernel::Step;
use proto::control::{Spec, Stage};

use crate::rig::{Fleet, spec, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_put_in_at_the_receiver_and_healed() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let intent = fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    assert_eq!(intent.stage(), Stage::Active, "{intent:?}");
    assert_eq!(fleet.nodes["b"].acting().await, 1);
    assert_eq!(fleet.nodes["a"].living().await, 0, "the sender is not touched");
    let fault = &intent.parts[0].fault.as_ref().unwrap();
    assert_eq!(fault.peers.len(), 1, "the sender's address, as another node knows it");
    let healed = fleet.heal(1).await;
    assert_eq!(healed.stage(), Stage::Healed);
    assert_eq!(fleet.nodes["b"].living().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_nodes_both_sides_lose_what_may_be_translated_on_its_way() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let plain = |from, to| Spec { enforcement: 0, ..spec(from, to) };
    fleet.ask(1, plain("netns:a@a", "netns:b@b")).await.unwrap();
    assert_eq!((fleet.nodes["a"].acting().await, fleet.nodes["b"].acting().await), (1, 1));
    fleet.heal(1).await;
    let mut share = plain("netns:a@a", "netns:b@b");
    share.cut.as_mut().unwrap().loss = 1 << 31;
    fleet.ask(2, share).await.unwrap();
    assert_eq!(fleet.nodes["a"].living().await, 0, "a share would be drawn twice");
    fleet.heal(2).await;
    fleet.ask(3, plain("addr:10.0.0.1", "netns:b@b")).await.unwrap();
    assert_eq!((fleet.nodes["a"].living().await, fleet.nodes["b"].acting().await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_fault_is_heard_of_whatever_was_put_in_before_it() {
    /// Sooner than the next heartbeat, of which there is one in five seconds.
    const SOONER: Duration = Duration::from_secs(4);
    let fleet = Fleet::of(&["a"]).await;
    let long = |from: &str| Spec { lease_ns: 60_000_000_000, ..spec(from, "netns:a@a") };
    for (id, from) in [(1, "addr:10.0.0.7"), (2, "addr:10.0.0.8"), (3, "addr:10.0.0.9")] {
        fleet.ask(id, long(from)).await.unwrap();
    }
    fleet.nodes["a"].kernel.node(|world| world.remove_namespace("a"));
    let over = async {
        for id in [1, 2, 3] {
            fleet.comes_to(id, Stage::Failed).await;
        }
    };
    tokio::time::timeout(SOONER, over).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_begin_at_one_time_and_the_spread_is_told() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let mut asked = spec("netns:a@a", "netns:b@b");
    let Some(proto::control::spec::What::Pair(pair)) = &mut asked.what else { panic!() };
    pair.direction = proto::control::Direction::BothWays.into();
    let intent = fleet.ask(2, asked).await.unwrap();
    assert_eq!(intent.stage(), Stage::Active, "{intent:?}");
    assert_eq!((fleet.nodes["a"].acting().await, fleet.nodes["b"].acting().await), (1, 1));
    let spread = intent.spread.unwrap();
    assert!(spread.achieved_ns <= spread.error_ns.max(1), "{spread:?}");
    assert!(spread.error_ns < 1_000_000_000, "{spread:?}");
    // Who is told that it acts can rely on it, and so can who asks right then.
    for told in [&intent, &fleet.intent(2).await] {
        for part in &told.parts {
            let status = fault::Status::try_from(part.status.clone().unwrap()).unwrap();
            assert_eq!(status.standing(), fault::State::Active, "{status:?}");
            assert!(part.heard > told.asked, "{part:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_kept_apart_in_every_direction_and_nobody_from_his_own() {
    let fleet = Fleet::of(&["a", "b", "c", "d"]).await;
    let group = |names: &[&str]| proto::control::Group {
        members: names
            .iter()
            .map(|name| {
                (&format!("netns:{name}@{name}").parse::<fault::Selector>().unwrap()).into()
            })
            .collect(),
    };
    let groups = vec![group(&["a", "b"]), group(&["c"]), group(&["d"])];
    let mut asked = spec("netns:a@a", "netns:b@b");
    asked.what =
        Some(proto::control::spec::What::Groups(proto::control::Groups { groups: groups.clone() }));
    let intent = fleet.ask(2, asked.clone()).await.unwrap();
    assert_eq!(intent.stage(), Stage::Active, "{intent:?}");
    // Each of a and b with c and d, and c with d, both ways.
    assert_eq!(intent.cuts.len(), 10, "{:?}", intent.cuts);
    assert!(intent.cuts.iter().all(|cut| (cut.from.min(cut.to), cut.from.max(cut.to)) != (0, 1)));
    for (name, count) in [("a", 2), ("b", 2), ("c", 3), ("d", 3)] {
        assert_eq!(fleet.nodes[name].acting().await, count, "{name}");
    }
    asked.what = Some(proto::control::spec::What::Groups(proto::control::Groups {
        groups: groups[..1].to_vec(),
    }));
    let refused = fleet.ask(3, asked).await.unwrap_err();
    assert!(refused.to_string().contains("are not from 2"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_has_the_same_answer_and_another_one_is_refused() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let first = fleet.cut(3, "netns:a@a", "netns:b@b").await.unwrap();
    let again = fleet.cut(3, "netns:a@a", "netns:b@b").await.unwrap();
    assert_eq!(first.parts[0].fault, again.parts[0].fault);
    assert_eq!(fleet.nodes["b"].acting().await, 1, "injected once");
    let other = fleet.cut(3, "netns:b@b", "netns:a@a").await.unwrap_err();
    assert!(other.to_string().contains("is the id of another intent"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_acts_already_is_not_put_in_twice() {
    let fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(4, "netns:a@a", "netns:b@b").await.unwrap();
    let refused = fleet.cut(5, "netns:a@a", "netns:b@b").await.unwrap_err();
    assert!(refused.to_string().contains("does the same"), "{refused}");
    assert_eq!(fleet.nodes["b"].living().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_looked_for_on_every_node() {
    let fleet = Fleet::of(&["a", "b", "c"]).await;
    let intent = fleet.cut(6, "netns:c", "netns:a").await.unwrap();
    assert_eq!(intent.ends[0].node, "c");
    assert_eq!(fleet.nodes["a"].acting().await, 1);
    let nothing = fleet.cut(7, "netns:nobody", "netns:a").await.unwrap_err();
    assert!(nothing.to_string().contains("names nothing on a, b, c"), "{nothing}");
    let absent = fleet.cut(8, "netns:a@z", "netns:b").await.unwrap_err();
    assert!(absent.to_string().contains("the agent of node z is not connected"), "{absent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_heals_everything_and_refuses_until_it_is_released() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(9, "netns:a@a", "netns:b@b").await.unwrap();
    let brake =
        |on| proto::control::Brake { on, reason: "enough".to_owned(), ..Default::default() };
    fleet.control.brake(brake(true)).await.unwrap();
    fleet.comes_to(9, Stage::Healed).await;
    assert_eq!(fleet.nodes["b"].living().await, 0);
    fleet.restart().await;
    for name in ["a", "b"] {
        fleet.connect(name).await;
    }
    let refused = fleet.cut(10, "netns:a@a", "netns:b@b").await.unwrap_err();
    assert!(refused.to_string().contains("the brake is on: enough"), "{refused}");
    fleet.control.brake(brake(false)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_when_the_brake_is_taken_off_is_told_when_it_is_back() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    let brake =
        |on| proto::control::Brake { on, reason: "enough".to_owned(), ..Default::default() };
    fleet.control.brake(brake(true)).await.unwrap();
    fleet.disconnect("b").await;
    let braked = fleet.control.brake(brake(false)).await.unwrap();
    assert_eq!(braked.untold, [fault::NodeName::new("b").unwrap()]);
    // Also by the controller's next life, which has never seen it.
    fleet.restart().await;
    fleet.connect("a").await;
    fleet.connect("b").await;
    let node = fleet.nodes["b"].agent.clone();
    until(async || node.standing().await.unwrap() == agent::brake::Standing::Off).await;
    fleet.cut(11, "netns:a@a", "netns:b@b").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_nodes_that_are_away_are_told_as_unheard() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(12, "netns:a@a", "netns:b@b").await.unwrap();
    let unheard = async |fleet: &Fleet| {
        let (intents, _) = fleet.control.list().await.unwrap();
        let parts = intents.into_iter().flat_map(|intent| intent.parts);
        parts.filter(|part| part.unheard).map(|part| part.node).collect::<Vec<String>>()
    };
    assert!(unheard(&fleet).await.is_empty());
    fleet.disconnect("b").await;
    until(async || unheard(&fleet).await == ["b"]).await;
}

#[tokio::test]
async fn the_error_of_a_common_start_is_small_however_long_nothing_was_heard() {
    let fleet = Fleet::of(&["a", "b"]).await;
    // Most of the time between two heartbeats of idle agents.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_millis(4_500)).await;
    tokio::time::resume();
    let error = |node: &str| {
        let node = fault::NodeName::new(node).unwrap();
        fleet.control.agents().offset(&node).unwrap().error
    };
    let before = error("a").min(error("b"));
    assert!(before.as_micros() >= 900, "{before:?}: 200 ppm of 4.5 s");
    let mut asked = spec("netns:a@a", "netns:b@b");
    let Some(proto::control::spec::What::Pair(pair)) = &mut asked.what else { panic!() };
    pair.direction = proto::control::Direction::BothWays.into();
    let load = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Load));
    let gate = fleet.nodes["a"].kernel.gate(load);
    let asking = fleet.asking(1, asked);
    // While it is prepared: nothing is renewed yet.
    until(async || error("a").max(error("b")) < before).await;
    gate.open();
    asking.await.unwrap();
    fleet.comes_to(1, Stage::Active).await;
}

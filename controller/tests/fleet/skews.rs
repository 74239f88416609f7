//! Clocks that are moved through a controller.

use proto::agent as agent_wire;
use proto::agent::measured::Kind;
use proto::control::spec::What;
use proto::control::{Skew, Spec, Stage};

use crate::rig::{Fleet, spec};

const HOUR: i64 = 3_600_000_000_000;

/// An hour ahead.
fn ahead(target: &str) -> Spec {
    let selector: fault::Selector = target.parse().unwrap();
    let skew = agent_wire::Skew {
        shape: Some(agent_wire::skew::Shape::Offset(HOUR)),
        clocks: vec![agent_wire::Clock::Realtime.into()],
        slew: 0,
        extent: agent_wire::Extent::Named.into(),
    };
    let what = Skew { targets: vec![(&selector).into()], skew: Some(skew) };
    Spec { what: Some(What::Skew(what)), cut: None, ..spec("netns:a", "netns:b") }
}

/// A process in the namespace of a node.
fn inhabit(fleet: &Fleet, name: &str) {
    fleet.nodes[name].kernel.node(|node| {
        let namespace = node.named(name).unwrap();
        node.spawn(4711, namespace, None)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_moved_on_their_node_measured_and_healed() {
    let fleet = Fleet::of(&["a", "b"]).await;
    inhabit(&fleet, "a");
    let intent = fleet.ask(1, ahead("netns:a@a")).await.unwrap();
    assert_eq!(intent.stage(), Stage::Active, "{intent:?}");
    assert_eq!((fleet.nodes["a"].acting().await, fleet.nodes["b"].living().await), (1, 0));
    let status = intent.parts[0].status.as_ref().unwrap();
    let Some(Kind::Clock(clock)) = status.measured.as_ref().and_then(|one| one.kind.clone()) else {
        panic!("{status:?}")
    };
    assert!(clock.readings.iter().all(|reading| reading.as_asked), "{clock:?}");
    let healed = fleet.heal(1).await;
    assert_eq!(healed.stage(), Stage::Healed);
    assert_eq!(fleet.nodes["a"].living().await, 0);
    assert!(fleet.nodes["a"].kernel.skewed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_processes_and_what_is_skewed_already_is_refused() {
    let fleet = Fleet::of(&["a"]).await;
    inhabit(&fleet, "a");
    for (target, why) in [("host:a", "own clock is never"), ("addr:10.0.0.1", "no processes")] {
        let refused = fleet.ask(1, ahead(target)).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{target}: {refused}");
    }
    fleet.ask(2, ahead("netns:a")).await.unwrap();
    let second = fleet.ask(3, ahead("netns:a@a")).await.unwrap_err();
    assert!(second.to_string().starts_with("a: "), "{second}");
    // A cut has to do with something else.
    let cut = fleet.cut(4, "addr:192.0.2.0/24", "netns:a").await.unwrap();
    assert_eq!(cut.stage(), Stage::Active, "{cut:?}");
}

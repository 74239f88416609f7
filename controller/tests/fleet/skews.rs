//! Clocks that are moved through a controller.

use controller::control::AskError;
use fault::IntentId;
use proto::agent as agent_wire;
use proto::agent::measured::Kind;
use proto::control::spec::What;
use proto::control::{Freeze, Skew, Spec, Stage};

use crate::rig::{Fleet, spec};

const HOUR: i64 = 3_600_000_000_000;

/// An hour ahead.
fn ahead(target: &str) -> Spec {
    all_ahead(&[target])
}

/// The same of several.
fn all_ahead(targets: &[&str]) -> Spec {
    let selector = |text: &&str| (&text.parse::<fault::Selector>().unwrap()).into();
    let targets = targets.iter().map(selector).collect();
    let skew = agent_wire::Skew {
        shape: Some(agent_wire::skew::Shape::Offset(HOUR)),
        clocks: vec![agent_wire::Clock::Realtime.into()],
        slew: 0,
        extent: agent_wire::Extent::Named.into(),
    };
    let what = Skew { targets, skew: Some(skew) };
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
    for (target, why) in
        [("host:a", "a node as a whole is no target"), ("addr:10.0.0.1", "no processes")]
    {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_skew_would_take_the_place_of_all_that_is_in_its_way_or_of_nothing() {
    let fleet = Fleet::of(&["a", "b"]).await;
    inhabit(&fleet, "a");
    inhabit(&fleet, "b");
    let replaceable = async |id: u64, spec: Spec| {
        let error = fleet.ask(id, spec).await.unwrap_err();
        let AskError::Admit(refusal) = error else { panic!("{error}") };
        (refusal.replaceable(), refusal.to_string(), refusal.hint())
    };
    fleet.ask(2, all_ahead(&["netns:a@a", "netns:b@b"])).await.unwrap();
    // It would come back on b as well, where nothing takes its place.
    let (one, said, hint) = replaceable(3, ahead("netns:a@a")).await;
    assert_eq!(one, None, "{said}: {hint}");
    assert!(hint.contains("moved other clocks as well"), "{said}: {hint}");
    let (both, said, hint) = replaceable(4, all_ahead(&["netns:b@b", "netns:a@a"])).await;
    assert_eq!(both, Some(IntentId::from_random(2)), "{said}: {hint}");
    fleet.heal(2).await;

    fleet.ask(5, ahead("netns:a@a")).await.unwrap();
    let selector: fault::Selector = "netns:b@b".parse().unwrap();
    let freeze = agent_wire::Freeze { extent: agent_wire::Extent::Named.into() };
    let what = Freeze { targets: vec![(&selector).into()], freeze: Some(freeze) };
    fleet.ask(6, Spec { what: Some(What::Freeze(what)), ..ahead("netns:b@b") }).await.unwrap();
    let (none, said, hint) = replaceable(7, all_ahead(&["netns:a@a", "netns:b@b"])).await;
    assert_eq!(none, None, "{said}: {hint}");
    assert!(said.starts_with("b: ") && said.contains("has frozen this target"), "{said}");
    assert_eq!((fleet.nodes["a"].acting().await, fleet.nodes["b"].acting().await), (1, 1));
}

//! Processes that stand still by a controller's word.

use proto::agent as agent_wire;
use proto::agent::measured::Kind;
use proto::control::spec::What;
use proto::control::{Freeze, Spec, Stage};

use crate::rig::{Fleet, spec};

fn freezing(target: &str) -> Spec {
    let selector: fault::Selector = target.parse().unwrap();
    let freeze = agent_wire::Freeze { extent: agent_wire::Extent::Named.into() };
    let what = Freeze { targets: vec![(&selector).into()], freeze: Some(freeze) };
    Spec { what: Some(What::Freeze(what)), cut: None, ..spec("netns:a", "netns:b") }
}

/// A process in the namespace of a node.
fn inhabit(fleet: &Fleet, name: &str) {
    fleet.nodes[name].kernel.node(|node| {
        let namespace = node.named(name).unwrap();
        node.spawn(4711, namespace, None)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_stand_still_on_their_node_and_are_let_go() {
    let fleet = Fleet::of(&["a", "b"]).await;
    inhabit(&fleet, "a");
    let intent = fleet.ask(1, freezing("netns:a@a")).await.unwrap();
    assert_eq!(intent.stage(), Stage::Active, "{intent:?}");
    assert_eq!((fleet.nodes["a"].acting().await, fleet.nodes["b"].living().await), (1, 0));
    let status = intent.parts[0].status.as_ref().unwrap();
    let measured = status.measured.as_ref().and_then(|one| one.kind.clone());
    let Some(Kind::Freeze(effect)) = measured else { panic!("{status:?}") };
    assert!(effect.stopped > 0 && effect.stopped == effect.threads, "{effect:?}");
    let second = fleet.ask(2, freezing("netns:a@a")).await.unwrap_err();
    assert!(second.to_string().contains("has frozen this target already"), "{second}");
    let healed = fleet.heal(1).await;
    assert_eq!(healed.stage(), Stage::Healed);
    assert!(fleet.nodes["a"].kernel.frozen_ones().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_processes_is_not_frozen() {
    let fleet = Fleet::of(&["a"]).await;
    for (target, why) in [("host:a", "the node's own"), ("addr:10.0.0.1", "no processes")] {
        let refused = fleet.ask(1, freezing(target)).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{target}: {refused}");
    }
}

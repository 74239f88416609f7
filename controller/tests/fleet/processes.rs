//! What is done to processes by a controller's word: they stand still, are ended, or are loaded.

use proto::agent as agent_wire;
use proto::agent::measured::Kind;
use proto::control::spec::What;
use proto::control::{Freeze, Kill, Spec, Stage, Stress};

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
    assert!(fleet.nodes["a"].kernel.engaged().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_processes_is_not_frozen() {
    let fleet = Fleet::of(&["a"]).await;
    for (target, why) in
        [("host:a", "a node as a whole is no target"), ("addr:10.0.0.1", "no processes")]
    {
        let refused = fleet.ask(1, freezing(target)).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{target}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_is_over_when_everybody_has_ended_and_nothing_has_failed() {
    let fleet = Fleet::of(&["a", "b"]).await;
    inhabit(&fleet, "a");
    inhabit(&fleet, "b");
    let selector: fault::Selector = "all:netns:a@a".parse().unwrap();
    let other: fault::Selector = "all:netns:b@b".parse().unwrap();
    let kill = agent_wire::Kill {
        extent: agent_wire::Extent::Named.into(),
        signal: agent_wire::Signal::Terminate.into(),
        grace_ns: Some(30_000_000_000),
    };
    let targets = vec![(&selector).into(), (&other).into()];
    let what = What::Kill(Kill { targets, kill: Some(kill) });
    let asked = Spec { what: Some(what), cut: None, ..spec("netns:a", "netns:b") };
    let applied = fleet.ask(1, asked).await.unwrap();
    assert!(matches!(applied.stage(), Stage::Active | Stage::Expired), "{applied:?}");
    let over = fleet.comes_to(1, Stage::Expired).await;
    assert_eq!(over.parts.len(), 2);
    for part in over.parts {
        let status = part.status.unwrap();
        let measured = status.measured.as_ref().and_then(|one| one.kind.clone());
        let Some(Kind::Kill(effect)) = measured else { panic!("{status:?}") };
        assert_eq!((effect.processes, effect.ended), (1, 1), "{status:?}");
        assert!(part.trouble.is_empty(), "{}", part.trouble);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_put_in_renewed_and_taken_out() {
    let fleet = Fleet::of(&["a"]).await;
    inhabit(&fleet, "a");
    let selector: fault::Selector = "pid:4711@a".parse().unwrap();
    let stress = agent_wire::Stress {
        cpu: Some(agent_wire::CpuLoad { workers: 2, percent: 50 }),
        memory: None,
        io_workers: 0,
    };
    let what = What::Stress(Stress { targets: vec![(&selector).into()], stress: Some(stress) });
    let asked = Spec { what: Some(what), cut: None, ..spec("netns:a", "netns:b") };
    let intent = fleet.ask(1, asked.clone()).await.unwrap();
    assert_eq!(intent.stage(), Stage::Active, "{intent:?}");
    // Loads add up.
    assert_eq!(fleet.ask(2, asked).await.unwrap().stage(), Stage::Active);
    assert_eq!(fleet.nodes["a"].acting().await, 2);
    assert_eq!(fleet.heal(1).await.stage(), Stage::Healed);
    assert_eq!(fleet.heal(2).await.stage(), Stage::Healed);
    assert!(fleet.nodes["a"].kernel.engaged().is_empty());
}

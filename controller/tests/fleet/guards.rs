//! What is refused before anything is touched, and the brake.

use std::time::{Duration, Instant};

use controller::control::{AskError, ControlError, ResolveError};
use fault::{IntentId, Limits};
use proto::control::{Brake, Stage};

use crate::disk::Disk;
use crate::rig::{Fleet, soon, spec, until};

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_that_are_too_much_together_one_is_refused() {
    let fleet = Fleet::of(&["a", "b", "c"]).await;
    let limits = Limits { max_targets: Some(1.try_into().unwrap()), ..Limits::default() };
    let ask = |id: u64, to: &str| {
        let asked = spec("addr:192.0.2.0/24", to);
        let control = fleet.control.clone();
        async move { control.request(IntentId::from_random(id), asked, "a test", &limits).await }
    };
    let all = async { tokio::join!(ask(1, "netns:a@a"), ask(2, "netns:b@b"), ask(3, "netns:c@c")) };
    let (first, second, third) = soon(all).await;
    let mut refused = 0;
    for asked in [first, second, third] {
        match asked {
            Ok(intent) => assert_eq!(intent.stage(), Stage::Active),
            Err(AskError::Admit(_) | AskError::Control(ControlError::Admit(_))) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_not_what_is_left_of_it() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.disconnect("b").await;
    let all = fleet.cut(1, "addr:192.0.2.0/24", "all:netns:a").await.unwrap_err();
    let AskError::Resolve(ResolveError::Away { away, .. }) = &all else { panic!("{all}") };
    assert_eq!(away.len(), 1, "{all}");
    let one = fleet.cut(2, "addr:192.0.2.0/24", "one:netns:a").await.unwrap();
    assert!(format!("{:?}", one.ends).contains("not asked, for they are away: b"), "{one:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_not_cut_where_the_control_path_is_not_known() {
    let fleet = Fleet::of(&["a"]).await;
    let refused = fleet.cut(1, "addr:192.0.2.0/24", "host:a").await.unwrap_err();
    assert!(refused.to_string().contains("they might be cut off"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_works_without_a_disk() {
    let disk = Disk::new();
    let fleet = Fleet::over(disk.clone(), &["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    disk.fill();
    let brake = |on| Brake {
        on,
        reason: "enough".to_owned(),
        who: "a test".to_owned(),
        ..Brake::default()
    };
    let unkept = soon(fleet.control.brake(brake(true))).await.unwrap_err();
    assert!(matches!(unkept, ControlError::Unkept(_)), "{unkept}");
    fleet.comes_to(1, Stage::Healed).await;
    assert_eq!(fleet.nodes["b"].living().await, 0);
    for node in fleet.nodes.values() {
        let standing = node.agent.standing().await.unwrap();
        assert!(format!("{standing:?}").contains("enough"), "{standing:?}");
    }
    let refused = fleet.cut(2, "netns:b@b", "netns:a@a").await.unwrap_err();
    assert!(refused.to_string().contains("the brake is on"), "{refused}");
    let kept = soon(fleet.control.brake(brake(false))).await;
    assert!(kept.is_err(), "what cannot be stored is not taken off");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_faults_and_who_has_not_heard_of_the_brake_is_listed() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    let halted = async |fleet: &Fleet| {
        // What a node says comes with its next answer.
        for node in fleet.nodes.values() {
            fleet.control.agents().ask_clock(&node.name);
        }
        let told = fleet.control.listing().await.unwrap();
        let told = told.halted.into_iter().map(|one| (one.node, one.reason));
        told.collect::<Vec<(String, String)>>()
    };
    let pair = |node: &str, reason: &str| (node.to_owned(), reason.to_owned());
    let brake = async |fleet: &Fleet| {
        let brake = fleet.control.listing().await.unwrap().brake.unwrap();
        (brake.on, brake.reason, brake.who, brake.behind)
    };
    let set = |on| Brake {
        on,
        reason: "enough".to_owned(),
        who: "a test".to_owned(),
        ..Brake::default()
    };
    fleet.nodes["b"].agent.halt("by hand".to_owned()).await.unwrap();
    until(async || halted(&fleet).await == [pair("b", "by hand")]).await;
    assert_eq!(brake(&fleet).await, (false, String::new(), String::new(), Vec::new()));
    soon(fleet.control.brake(set(true))).await.unwrap();
    let both = [pair("a", "enough"), pair("b", "enough")];
    until(async || halted(&fleet).await == both).await;
    let (enough, who) = ("enough".to_owned(), "a test".to_owned());
    assert_eq!(brake(&fleet).await, (true, enough, who, Vec::new()));
    fleet.disconnect("b").await;
    soon(fleet.control.brake(set(false))).await.unwrap();
    let behind = vec!["b".to_owned()];
    assert_eq!(brake(&fleet).await, (false, String::new(), String::new(), behind));
    fleet.connect("b").await;
    until(async || brake(&fleet).await.3.is_empty() && halted(&fleet).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_when_the_brake_is_put_on_is_behind_until_it_is_back() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.disconnect("b").await;
    let on = Brake { on: true, reason: "enough".to_owned(), ..Brake::default() };
    soon(fleet.control.brake(on)).await.unwrap();
    let behind = async |fleet: &Fleet| fleet.control.listing().await.unwrap().brake.unwrap().behind;
    assert_eq!(behind(&fleet).await, ["b"]);
    fleet.connect("b").await;
    until(async || behind(&fleet).await.is_empty()).await;
    let standing = fleet.nodes["b"].agent.standing().await.unwrap();
    assert_eq!(standing.reason(), "enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_faults_while_the_brake_is_on_is_told_again() {
    let fleet = Fleet::of(&["a"]).await;
    let on = Brake { on: true, reason: "enough".to_owned(), ..Brake::default() };
    soon(fleet.control.brake(on)).await.unwrap();
    let node = &fleet.nodes["a"];
    assert_eq!(node.agent.standing().await.unwrap().reason(), "enough");
    // What took it off was told before, and came last; and so was confirmed what is not so.
    node.agent.resume().await.unwrap();
    until(async || {
        fleet.control.agents().ask_clock(&node.name);
        node.agent.standing().await.unwrap().reason() == "enough"
    })
    .await;
}

fn halt() -> Brake {
    Brake { on: true, reason: "enough".to_owned(), ..Brake::default() }
}

async fn behind(fleet: &Fleet) -> Vec<String> {
    fleet.control.listing().await.unwrap().brake.unwrap().behind
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_told_is_not_forgotten_by_a_controller_that_has_never_seen_it() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    soon(fleet.control.brake(halt())).await.unwrap();
    fleet.disconnect("b").await;
    let b = [fleet.nodes["b"].name.clone()];
    assert_eq!(soon(fleet.control.brake(Brake::default())).await.unwrap().untold, b);
    for _ in 0..2 {
        fleet.restart().await;
        fleet.connect("a").await;
        assert_eq!(soon(fleet.control.brake(Brake::default())).await.unwrap().untold, b);
        assert_eq!(behind(&fleet).await, ["b"]);
    }
    fleet.connect("b").await;
    until(async || behind(&fleet).await.is_empty()).await;
    assert_eq!(fleet.nodes["b"].agent.standing().await.unwrap().reason(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_at_a_halt_is_named_also_after_a_restart() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.disconnect("b").await;
    let b = [fleet.nodes["b"].name.clone()];
    assert_eq!(soon(fleet.control.brake(halt())).await.unwrap().untold, b);
    fleet.restart().await;
    assert_eq!(behind(&fleet).await, ["b"]);
    fleet.connect("a").await;
    until(async || behind(&fleet).await == ["b"]).await;
    assert_eq!(soon(fleet.control.brake(halt())).await.unwrap().untold, b);
    fleet.connect("b").await;
    until(async || behind(&fleet).await.is_empty()).await;
    assert!(soon(fleet.control.brake(halt())).await.unwrap().untold.is_empty());
    // It is not behind in the next life either.
    fleet.restart().await;
    assert!(behind(&fleet).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_to_a_brake_is_told_that_it_is_off_by_a_controller_that_has_never_seen_it() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    assert!(soon(fleet.control.brake(halt())).await.unwrap().untold.is_empty());
    fleet.restart().await;
    // At once: no agent has dialled again.
    let both: Vec<_> = fleet.nodes.values().map(|node| node.name.clone()).collect();
    assert_eq!(soon(fleet.control.brake(Brake::default())).await.unwrap().untold, both);
    for name in ["a", "b"] {
        fleet.connect(name).await;
    }
    until(async || behind(&fleet).await.is_empty()).await;
    for node in fleet.nodes.values() {
        assert_eq!(node.agent.standing().await.unwrap().reason(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_the_brake_stands_on_a_node_is_known_before_its_next_heartbeat() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let reasons = async || {
        let halted = fleet.control.listing().await.unwrap().halted;
        halted.into_iter().map(|one| one.reason).collect::<Vec<String>>()
    };
    // Idle nodes beat every five seconds: what is confirmed is known at once.
    for _ in 0..3 {
        soon(fleet.control.brake(halt())).await.unwrap();
        assert_eq!(reasons().await, ["enough", "enough"]);
        soon(fleet.control.brake(Brake::default())).await.unwrap();
        assert!(reasons().await.is_empty());
    }
    // Nor is one waited for that tells what somebody does on a node.
    fleet.nodes["a"].agent.halt("by hand".to_owned()).await.unwrap();
    let since = Instant::now();
    until(async || reasons().await == ["by hand"]).await;
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_with_a_brake_of_its_own_would_refuse_touches_nobody() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let halted = &fleet.nodes["b"];
    halted.agent.halt("by hand".to_owned()).await.unwrap();
    let known = async || !fleet.control.listing().await.unwrap().halted.is_empty();
    until(known).await;
    // What is planned is what would be done.
    let limits = Limits::default();
    let (id, asked) = (IntentId::from_random(1), spec("netns:a@a", "netns:b@b"));
    let drafted = fleet.control.draft(id, asked, "a test", &limits).await.unwrap_err();
    let refused = fleet.cut(2, "netns:a@a", "netns:b@b").await.unwrap_err();
    for error in [drafted, refused] {
        let AskError::Resolve(ResolveError::Refused { node, reason, hint }) = &error else {
            panic!("{error}")
        };
        assert_eq!((node, reason.as_str()), (&halted.name, "the brake is on there: by hand"));
        assert!(hint.contains("schism resume"), "{hint}");
    }
    assert!(fleet.control.list().await.unwrap().0.is_empty());
    // As soon as it is off, whatever was heard of it last.
    halted.agent.resume().await.unwrap();
    fleet.cut(3, "netns:a@a", "netns:b@b").await.unwrap();
}

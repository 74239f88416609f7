//! What goes wrong, at every step.

use std::collections::BTreeSet;
use std::time::Duration;

use agent::fake::{Call, Trouble};
use agent::kernel::Step;
use controller::control::{AskError, ControlError};
use controller::store::Key;
use fault::IntentId;
use prost::Message as _;
use proto::control::{Direction, Intent, Stage, spec::What};

use crate::disk::Disk;
use crate::rig::{Fleet, soon, spec, until};

fn both_ways() -> proto::control::Spec {
    let mut asked = spec("netns:a@a", "netns:b@b");
    let Some(What::Pair(pair)) = &mut asked.what else { panic!() };
    pair.direction = Direction::BothWays.into();
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_cannot_prepare_is_out_of_the_other() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let load = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Load));
    fleet.nodes["b"].kernel.trouble(Trouble::errno("bpf", 12, load));
    let intent = fleet.ask(1, both_ways()).await.unwrap();
    let failed = fleet.comes_to(1, Stage::Failed).await;
    assert!(failed.reason.contains("b: "), "{intent:?}");
    assert_eq!((fleet.nodes["a"].living().await, fleet.nodes["b"].living().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_on_one_node_heals_both() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let begin = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Begin { .. }));
    fleet.nodes["a"].kernel.trouble(Trouble::errno("begin", 5, begin));
    fleet.ask(1, both_ways()).await.unwrap();
    fleet.comes_to(1, Stage::Failed).await;
    assert_eq!((fleet.nodes["a"].living().await, fleet.nodes["b"].living().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lost_and_found_within_the_lease_changes_nothing() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    fleet.disconnect("b").await;
    assert_eq!(fleet.nodes["b"].acting().await, 1);
    fleet.connect("b").await;
    // Longer than the lease: it can only act on if it is renewed again.
    let since = std::time::Instant::now();
    until(async || since.elapsed() > Duration::from_millis(3_500)).await;
    assert_eq!(fleet.nodes["b"].acting().await, 1);
    assert_eq!(fleet.intent(1).await.stage(), Stage::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_for_a_lease_ends_the_cut_everywhere() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.ask(1, both_ways()).await.unwrap();
    fleet.disconnect("b").await;
    let ended = fleet.comes_to(1, Stage::Unconfirmed).await;
    assert!(ended.reason.contains("not heard for longer than the lease"), "{ended:?}");
    until(async || fleet.nodes["a"].living().await == 0).await;
    until(async || fleet.nodes["b"].living().await == 0).await;
    fleet.connect("b").await;
    fleet.comes_to(1, Stage::Failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heal_that_cannot_be_confirmed_says_so_and_is_owed() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    fleet.disconnect("b").await;
    let healed = fleet.heal(1).await;
    assert_eq!(healed.stage(), Stage::Unconfirmed, "{healed:?}");
    fleet.connect("b").await;
    fleet.comes_to(1, Stage::Healed).await;
    assert_eq!(fleet.nodes["b"].living().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_is_named_while_something_is_owed_there() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    fleet.disconnect("b").await;
    let gone = BTreeSet::from([fault::NodeName::new("b").unwrap()]);
    assert_eq!(fleet.control.away(Duration::ZERO).await.unwrap(), gone);
    let named = async |fleet: &Fleet| {
        fleet.control.removed(gone.clone()).await.unwrap();
        fleet.control.agents().seen().len()
    };
    assert_eq!(named(&fleet).await, 2, "its fault may act");
    assert_eq!(fleet.heal(1).await.stage(), Stage::Unconfirmed);
    assert_eq!(named(&fleet).await, 2, "it is not known to be out");
    fleet.connect("b").await;
    fleet.comes_to(1, Stage::Healed).await;
    assert_eq!(named(&fleet).await, 2, "it is there, whoever says that it is not");
    fleet.disconnect("b").await;
    assert_eq!(named(&fleet).await, 1);
    assert!(fleet.control.away(Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_is_forgotten_once_the_lease_of_what_was_there_is_over() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    fleet.disconnect("b").await;
    assert_eq!(fleet.heal(1).await.stage(), Stage::Unconfirmed);
    let gone = BTreeSet::from([fault::NodeName::new("b").unwrap()]);
    fleet.control.removed(gone.clone()).await.unwrap();
    let trouble = async |fleet: &Fleet| {
        let parts = fleet.intent(1).await.parts;
        parts.into_iter().map(|part| part.trouble).find(|one| one.contains("gone from its cluster"))
    };
    assert!(trouble(&fleet).await.unwrap().contains("ends with its lease"));
    // The next life has never seen that node, and knows of it by what is owed there.
    fleet.restart().await;
    assert_eq!(fleet.control.away(Duration::ZERO).await.unwrap(), gone);
    until(async || {
        fleet.control.removed(gone.clone()).await.unwrap();
        fleet.control.away(Duration::ZERO).await.unwrap().is_empty()
    })
    .await;
    assert!(trouble(&fleet).await.unwrap().contains("lease of what was there is over"));
    assert_eq!(fleet.intent(1).await.stage(), Stage::Unconfirmed, "nobody has confirmed it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_was_restarted_adopts_what_acts_and_injects_nothing_twice() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    let performed = fleet.nodes["b"].kernel.performed().len();
    fleet.restart().await;
    assert_eq!(fleet.intent(1).await.stage(), Stage::Active);
    for name in ["a", "b"] {
        fleet.connect(name).await;
    }
    let since = std::time::Instant::now();
    until(async || since.elapsed() > Duration::from_millis(3_500)).await;
    assert_eq!(fleet.nodes["b"].acting().await, 1, "renewed by the new life");
    let steps = fleet.nodes["b"].kernel.performed();
    let again = steps[performed..].iter().filter(|(_, step)| matches!(step, Step::Rule { .. }));
    assert_eq!(again.count(), 0);
    assert_eq!(fleet.heal(1).await.stage(), Stage::Healed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_started_anew_ends_the_cut() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.ask(1, both_ways()).await.unwrap();
    fleet.disconnect("b").await;
    fleet.nodes.get_mut("b").unwrap().restart();
    fleet.connect("b").await;
    let failed = fleet.comes_to(1, Stage::Failed).await;
    assert!(failed.reason.contains("started anew"), "{failed:?}");
    assert_eq!(fleet.nodes["a"].living().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lies_about_its_name_is_refused() {
    let fleet = Fleet::of(&["a"]).await;
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let hello = proto::agent::Hello { protocol: 1, node: "a".to_owned(), ..Default::default() };
    let lie = tokio::spawn(async move {
        link::write(&mut theirs, &hello).await.unwrap();
        link::read::<proto::agent::Welcome>(&mut theirs).await.unwrap()
    });
    let certified = fault::NodeName::new("b").unwrap();
    let refused =
        fleet.control.agents().admit(ours, certified, controller::agents::Way::default()).await;
    assert!(refused.unwrap_err().to_string().contains("its certificate is for b"));
    assert!(lie.await.unwrap().refused.contains("its certificate is for b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_may_go_away_while_it_is_put_in() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let load = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Load));
    let gate = fleet.nodes["b"].kernel.gate(load);
    let asking = fleet.asking(1, spec("netns:a@a", "netns:b@b"));
    soon(gate.reached(1)).await;
    asking.abort();
    gate.open();
    fleet.comes_to(1, Stage::Active).await;
    assert_eq!(fleet.heal(1).await.stage(), Stage::Healed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_lost_while_it_prepares_is_unconfirmed_and_asked_again() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    let load = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Load));
    let gate = fleet.nodes["b"].kernel.gate(load);
    let asking = fleet.asking(1, both_ways());
    soon(gate.reached(1)).await;
    fleet.disconnect("b").await;
    let lost = fleet.comes_to(1, Stage::Unconfirmed).await;
    assert!(lost.reason.starts_with("b: "), "{lost:?}");
    assert_eq!(fleet.nodes["a"].living().await, 0);
    asking.await.unwrap();
    gate.open();
    fleet.connect("b").await;
    fleet.comes_to(1, Stage::Failed).await;
    assert_eq!(fleet.nodes["b"].living().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_new_comes_in_and_what_acts_can_be_healed() {
    let disk = Disk::new();
    let fleet = Fleet::over(disk.clone(), &["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    disk.fill();
    let refused = fleet.cut(2, "netns:b@b", "netns:a@a").await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot write to the store: the store's disk is full");
    assert_eq!(fleet.nodes["a"].kernel.performed(), [], "nothing was touched");
    assert_eq!(fleet.nodes["b"].acting().await, 1, "what acts is bounded by its lease");
    let healed = fleet.heal(1).await;
    assert_eq!(healed.stage(), Stage::Healed);
    assert!(healed.notes.iter().any(|note| note.contains("could not be stored")), "{healed:?}");
    assert_eq!(fleet.nodes["b"].living().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_disk_did_not_take_is_written_once_there_is_room() {
    let disk = Disk::new();
    let mut fleet = Fleet::over(disk.clone(), &["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    disk.fill();
    assert_eq!(fleet.heal(1).await.stage(), Stage::Healed);
    disk.clear();
    // Nobody asks for anything, by which it would be written.
    let key = Key::intent(IntentId::from_random(1));
    until(async || {
        let record = fleet.store.get(key.clone()).await.unwrap().unwrap();
        Intent::decode(record.value.as_slice()).unwrap().stage() == Stage::Healed
    })
    .await;
    fleet.restart().await;
    assert_eq!(fleet.intent(1).await.stage(), Stage::Healed, "a next life knows it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_and_not_heard_of_is_adopted_by_the_same_request_and_no_other_one() {
    let disk = Disk::new();
    let fleet = Fleet::over(disk.clone(), &["a", "b"]).await;
    disk.mute();
    let unheard = fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap_err();
    assert!(unheard.to_string().contains("the store is closed"), "{unheard}");
    assert_eq!(fleet.nodes["b"].living().await, 0, "nothing was touched");
    let other = fleet.cut(1, "netns:b@b", "netns:a@a").await.unwrap_err();
    assert!(matches!(other, AskError::Control(ControlError::Conflict(_))), "{other}");
    let adopted = fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    assert_eq!(adopted.stage(), Stage::Active);
    assert_eq!(fleet.heal(1).await.stage(), Stage::Healed);
}

#[tokio::test]
async fn an_agent_that_never_reads_is_dropped_and_holds_up_nobody() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let (ours, mut theirs) = tokio::io::duplex(1 << 10);
    let agents = fleet.control.agents().clone();
    let certified = fault::NodeName::new("mute").unwrap();
    let way = controller::agents::Way::default();
    let admitted = tokio::spawn(async move { agents.admit(ours, certified, way).await });
    let hello = proto::agent::Hello { protocol: 1, node: "mute".to_owned(), ..Default::default() };
    link::write(&mut theirs, &hello).await.unwrap();
    // It holds the connection open, and never reads what is asked.
    tokio::time::pause();
    let ended = tokio::time::timeout(Duration::from_secs(30), admitted).await.unwrap().unwrap();
    tokio::time::resume();
    assert!(ended.unwrap_err().to_string().contains("did not answer"));
    drop(theirs);
    assert!(fleet.control.agents().seen().iter().all(|seen| seen.node.as_str() != "mute"));
    let intent = fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    assert_eq!(intent.stage(), Stage::Active, "{intent:?}");
}

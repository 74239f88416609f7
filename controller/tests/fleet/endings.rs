//! What is written down of an intent that has ended.

use std::time::Duration;

use controller::archive::{Ended, Enforced, Fate};
use controller::control::Watching;
use controller::store::Key;
use fault::IntentId;
use proto::control::Stage;
use proto::control::event::Kind as Told;

use crate::disk::Disk;
use crate::rig::{Fleet, soon, spec};

async fn lines(fleet: &Fleet) -> Vec<Ended> {
    let lines = fleet.archive.ended.read().await.unwrap();
    assert_eq!(lines.broken, 0);
    lines.entries
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_healed_has_one_line_that_says_all_of_it() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    let mut asked = spec("netns:a", "netns:b@b");
    let Some(proto::control::spec::What::Pair(pair)) = &mut asked.what else { panic!() };
    pair.direction = proto::control::Direction::BothWays.into();
    fleet.ask(1, asked).await.unwrap();
    assert!(lines(&fleet).await.is_empty(), "it has not ended");
    fleet.heal(1).await;
    let [line] = lines(&fleet).await.try_into().unwrap();
    assert_eq!((line.id.as_str(), line.who.as_str()), ("000000000001", "a test"));
    assert_eq!(line.what, "cut netns:a netns:b@b --both-ways");
    assert_eq!((line.outcome, line.reason.as_str()), (Fate::Healed, "a test"));
    assert!(line.asked <= line.at, "{line:?}");
    // Healed at once, it may never have come to the start that was agreed on.
    assert!(line.began.is_none_or(|began| began <= line.at), "{line:?}");
    let ways: Vec<_> = line
        .directions
        .iter()
        .map(|way| (way.from.as_str(), way.to.as_str(), way.node.as_str(), way.enforced))
        .collect();
    let receiver = Some(Enforced::Receiver);
    assert_eq!(
        ways,
        [("netns:a@a", "netns:b@b", "b", receiver), ("netns:b@b", "netns:a@a", "a", receiver)]
    );
    for way in &line.directions {
        let told = line.intent.parts.iter().find(|part| part.node == way.node).unwrap();
        let told = told.status.clone().unwrap().effect.unwrap();
        let effect = way.effect.unwrap();
        assert_eq!((effect.matched, effect.lost), (told.matched, told.lost));
    }
    // Whoever asks again, and a next life, write nothing more.
    fleet.heal(1).await;
    fleet.restart().await;
    assert_eq!(fleet.intent(1).await.reason, "a test", "a next life knows why");
    assert_eq!(lines(&fleet).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_healed_was_written_three_times() {
    let disk = Disk::new();
    let fleet = Fleet::over(disk.clone(), &["a", "b"]).await;
    let out = |call: &agent::fake::Call<'_>| {
        matches!(call, agent::fake::Call::Step(_, agent::kernel::Step::Unload))
    };
    disk.written();
    fleet.cut(1, "netns:a", "netns:b").await.unwrap();
    assert_eq!(disk.written(), 2, "before anything was touched, and once it acts");
    // One that takes its time on its way out is told to be there, which is written before.
    let Watching { standing, mut coming } = fleet.control.watch(0).await.unwrap();
    assert_eq!(standing.len(), 1);
    let gate = fleet.nodes["b"].kernel.gate(out);
    let (control, id) = (fleet.control.clone(), IntentId::from_random(1));
    let healing = tokio::spawn(async move { control.heal(id, "a test").await });
    let mut stage = Stage::Active;
    while stage == Stage::Active {
        let Some(Told::Intent(intent)) = soon(coming.recv()).await.unwrap().kind else { continue };
        stage = intent.stage();
    }
    assert_eq!((stage, disk.written()), (Stage::Healing, 1));
    gate.open();
    assert_eq!(healing.await.unwrap().unwrap().stage(), Stage::Healed);
    assert_eq!(disk.written(), 1, "with the line in the archive");
    assert!(fleet.intent(1).await.archived);
    assert_eq!(lines(&fleet).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_that_ended_before_the_line_was_written_leaves_it_to_the_next_one() {
    use controller::store::{Expected, Key};
    use prost::Message as _;

    let mut fleet = Fleet::of(&["a", "b"]).await;
    let mut ended = fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    fleet.heal(1).await;
    // As if the first life had ended between the record and the line; and of another one, after it.
    let mut unarchived = fleet.intent(1).await;
    unarchived.archived = false;
    ended.clone_from(&unarchived);
    ended.id = 2;
    for intent in [&unarchived, &ended] {
        let key = Key::intent(fault::IntentId::from_random(intent.id));
        fleet.store.put(key, Expected::Any, intent.encode_to_vec()).await.unwrap();
    }
    for _ in 0..2 {
        fleet.restart().await;
        // What it answers it does after the start.
        fleet.control.list().await.unwrap();
    }
    let ids: Vec<String> = lines(&fleet).await.into_iter().map(|line| line.id).collect();
    assert_eq!(ids, ["000000000001", "000000000002"]);
    assert!(fleet.intent(1).await.archived && fleet.intent(2).await.archived);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_confirmed_is_written_once_though_it_is_confirmed_later() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    fleet.disconnect("b").await;
    assert_eq!(fleet.heal(1).await.stage(), Stage::Unconfirmed);
    fleet.connect("b").await;
    fleet.comes_to(1, Stage::Healed).await;
    let [line] = lines(&fleet).await.try_into().unwrap();
    assert_eq!(line.outcome, Fate::Unconfirmed);
    let asked_to_act = line.began.unwrap().duration_since(line.asked);
    // As far as the node's clock is known here.
    assert!(asked_to_act.is_ok_and(|it| it < Duration::from_secs(20)), "{line:?}");
    assert!(!line.directions[0].trouble.is_empty(), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_put_in_has_a_line_too() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let load = |call: &agent::fake::Call<'_>| {
        matches!(call, agent::fake::Call::Step(_, agent::kernel::Step::Load))
    };
    fleet.nodes["b"].kernel.trouble(agent::fake::Trouble::errno("bpf", 12, load));
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    fleet.comes_to(1, Stage::Failed).await;
    let [line] = lines(&fleet).await.try_into().unwrap();
    assert_eq!((line.outcome, line.began), (Fate::Failed, None));
    assert!(line.reason.contains("b: "), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_intent_is_forgotten_is_not_done_again() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap();
    fleet.heal(1).await;
    let put_in = fleet.nodes["b"].kernel.performed().len();
    // As if many had ended since.
    let key = Key::intent(IntentId::from_random(1));
    let record = fleet.store.get(key.clone()).await.unwrap().unwrap();
    fleet.store.delete(key, record.revision).await.unwrap();
    fleet.restart().await;
    for name in ["a", "b"] {
        fleet.connect(name).await;
    }
    let again = fleet.cut(1, "netns:a@a", "netns:b@b").await.unwrap_err();
    assert!(again.to_string().contains("has ended, and is forgotten"), "{again}");
    assert_eq!(fleet.nodes["b"].kernel.performed().len(), put_in);
    assert_eq!(fleet.cut(2, "netns:a@a", "netns:b@b").await.unwrap().stage(), Stage::Active);
}

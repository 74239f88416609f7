//! What watchers are told, also those that come late.

use controller::control::{ControlError, Watching};
use controller::store::{Expected, Id, Key, Kind};
use proto::control as wire;
use proto::control::Stage;
use proto::control::event::Kind as Told;

use crate::rig::{Fleet, soon};

/// What was told, in short: which intent in which stage, or which brake.
fn short(events: &[wire::Event]) -> Vec<String> {
    let one = |event: &wire::Event| match event.kind.as_ref().unwrap() {
        Told::Intent(intent) => format!("{} {:?}", intent.id, intent.stage()),
        Told::Brake(brake) => format!("brake {}", brake.on),
        Told::Forgotten(forgotten) => format!("{} forgotten", forgotten.id),
        Told::Agent(agent) => format!("agent {}", agent.node),
        Told::Run(run) => format!("run {} {:?}", run.id, run.phase()),
        Told::News(news) => format!("news of {}", news.id),
        Told::ForgottenRun(forgotten) => format!("run {} forgotten", forgotten.id),
        Told::Disruption(one) => format!("disruption {} {:?}", one.id, one.stage()),
        Told::ForgottenDisruption(forgotten) => format!("disruption {} forgotten", forgotten.id),
    };
    events.iter().map(one).collect()
}

async fn missed(fleet: &Fleet, since: u64) -> Vec<wire::Event> {
    let standing = fleet.control.watch(since).await.unwrap().standing;
    assert!(standing.is_sorted_by(|one, other| one.revision < other.revision), "{standing:?}");
    assert!(standing.iter().all(|event| event.revision > since));
    standing
}

/// Three cuts, of which two ended, and a brake that was tried.
async fn eventful() -> (Fleet, u64) {
    let fleet = Fleet::of(&["a", "b", "c"]).await;
    fleet.cut(1, "netns:a", "netns:b").await.unwrap();
    fleet.cut(2, "netns:b", "netns:a").await.unwrap();
    let since = missed(&fleet, 0).await.last().unwrap().revision;
    let brake = |on| wire::Brake { on, reason: "a drill".to_owned(), ..Default::default() };
    fleet.heal(2).await;
    fleet.control.brake(brake(false)).await.unwrap();
    fleet.cut(3, "netns:a", "netns:c").await.unwrap();
    (fleet, since)
}

const MISSED: [&str; 3] = ["2 Healed", "brake false", "3 Active"];

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_is_told_what_changed_and_nothing_else() {
    let (fleet, since) = eventful().await;
    let told = missed(&fleet, since).await;
    assert_eq!(short(&told), MISSED);
    let last = told.last().unwrap().revision;
    assert!(missed(&fleet, last).await.is_empty(), "nothing has happened since");
    // From in between, too.
    assert_eq!(short(&missed(&fleet, told[0].revision).await), MISSED[1..]);
    assert_eq!(
        short(&missed(&fleet, 0).await),
        ["1 Active", "2 Healed", "brake false", "3 Active"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_controller_loses_nothing_of_it() {
    let (mut fleet, since) = eventful().await;
    fleet.restart().await;
    assert_eq!(short(&missed(&fleet, since).await), MISSED);
    for name in ["a", "b", "c"] {
        fleet.connect(name).await;
    }
    // And what comes is told with later revisions, without a gap.
    let Watching { standing, mut coming } = fleet.control.watch(since).await.unwrap();
    let mut last = standing.last().unwrap().revision;
    // One that takes its time: what lasts for moments is not told.
    let out = |call: &agent::fake::Call<'_>| {
        matches!(call, agent::fake::Call::Step(_, agent::kernel::Step::Unload))
    };
    let gate = fleet.nodes["c"].kernel.gate(out);
    let (control, id) = (fleet.control.clone(), fault::IntentId::from_random(3));
    let healing = tokio::spawn(async move { control.heal(id, "a test").await });
    let mut stages = Vec::new();
    while stages.last() != Some(&Stage::Healed) {
        let event = soon(coming.recv()).await.unwrap();
        assert!(event.revision >= last, "{event:?}");
        last = event.revision;
        if let Some(Told::Intent(intent)) = event.kind {
            assert!(intent.id != 3 || intent.revision <= event.revision);
            stages.extend((intent.id == 3).then(|| intent.stage()));
        }
        if stages.last() == Some(&Stage::Healing) {
            gate.open();
        }
    }
    healing.await.unwrap().unwrap();
    assert!(stages.contains(&Stage::Healing), "{stages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_remembered_any_more_is_said_to_be_so() {
    let (mut fleet, since) = eventful().await;
    // More deletions than a store remembers.
    for number in 0..1_100 {
        let key =
            Key { kind: Kind::Intent, id: Id::new(&format!("{:012x}", 1000 + number)).unwrap() };
        let at = fleet.store.put(key.clone(), Expected::Absent, Vec::new()).await.unwrap();
        fleet.store.delete(key, at).await.unwrap();
    }
    fleet.restart().await;
    let gap = fleet.control.watch(since).await.unwrap_err();
    let ControlError::Gap { earliest, latest, .. } = gap else { panic!("{gap}") };
    assert!(since < earliest && earliest < latest, "{earliest} to {latest}");
    let told = missed(&fleet, earliest).await;
    assert!(short(&told).iter().all(|event| event.ends_with("forgotten")), "{told:?}");
    assert_eq!(told.len(), 1_024);
    assert_eq!(short(&missed(&fleet, 0).await).len(), 4, "what stands is always told");
    // As by a store that was restored from a copy.
    let gap = fleet.control.watch(latest + 1).await.unwrap_err();
    assert!(matches!(gap, ControlError::Gap { .. }), "{gap}");
}

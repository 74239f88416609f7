//! Lines that are lost, brakes that are put on, people who end what others began.

use super::*;
use crate::disk::Disk;

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_lost_ends_the_run_in_rollback_wherever_it_is() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    for (id, (_, phase)) in (1..).zip(PARTS) {
        let mut command = Command::cut(&runs, id).await;
        command.until(phase).await;
        drop(command);
        let lost = comes_to(&fleet, id, wire::RunPhase::Owed).await;
        assert_eq!(fleet.nodes["b"].living().await, 0, "{phase:?}");
        assert_eq!(owed(&lost), ["back"], "{phase:?}");
        assert_eq!(lost.reason, "the line that started the run is lost", "{phase:?}");
        let verdict = lost.verdict.as_ref().unwrap();
        if phase != wire::RunPhase::Rollbacks {
            assert_eq!(verdict.status(), wire::RunStatus::Interrupted, "{phase:?}");
        }
        let written = journal(&fleet, id).await;
        assert_eq!(written["schism"]["unfinished"], false, "{phase:?}: {written:#}");
        assert_eq!(written["rollbacks"][0]["status"], "interrupted", "{phase:?}: {written:#}");
        assert_eq!(written["schism"]["owed"]["rollbacks"], json!([0]), "{phase:?}");
        let shown = IntentId::from_random(id).to_string();
        assert_eq!(written["schism"]["run"], shown, "it is not played from its journal");

        // Somebody else plays what is owed, once.
        let mut other = Command::take_over(&runs, id, &Values::default()).await.unwrap();
        let (name, back) = other.order().await;
        assert_eq!(name, "back");
        other.answer(&back).await;
        let end = other.finish().await;
        assert_eq!(end.run.unwrap().verdict.unwrap().exit(), wire::RunExit::Done);
        let ended = run(&fleet, id).await;
        assert_eq!((ended.phase(), ended.owed.len()), (wire::RunPhase::Ended, 0));
        assert_eq!(ended.verdict, lost.verdict, "what the run came to stays");
        let again = Command::take_over(&runs, id, &Values::default()).await.err().unwrap();
        assert!(matches!(again, RunsError::OwesNothing(_)), "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_by_the_originals_rules_is_kept_as_well() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut begun = beginning(&cut(), Map::new());
    begun.terms = Terms::new(Verdicts::Compat);
    let mut command = Command::begin(&runs, begin(1, &begun)).await.unwrap();
    command.until(wire::RunPhase::Method).await;
    drop(command);
    let lost = comes_to(&fleet, 1, wire::RunPhase::Owed).await;
    assert_eq!(owed(&lost), ["back"]);
    assert_eq!(fleet.nodes["b"].living().await, 0);
    let mut other = Command::take_over(&runs, 1, &Values::default()).await.unwrap();
    let (name, back) = other.order().await;
    assert_eq!(name, "back");
    other.answer(&back).await;
    other.finish().await;
    assert_eq!(run(&fleet, 1).await.phase(), wire::RunPhase::Ended);
}

/// Rollbacks of which some need whoever started the run: programs before, between and behind a fault and its
/// end.
fn mixed() -> Value {
    let mut experiment = cut();
    let step = |name: &str| json!({"type": "action", "name": name, "provider": {"type": "process", "path": name}});
    let ours =
        |name: &str, provider: Value| json!({"type": "action", "name": name, "provider": provider});
    let cut = json!({"type": "schism", "action": "cut", "as": "the-other", "effect": "optional",
        "arguments": {"from": "netns:b@b", "to": "netns:a@a", "for": "60s", "lease": "3s"}});
    let heal = json!({"type": "schism", "action": "heal", "arguments": {"fault": "the-other"}});
    experiment["rollbacks"] = json!([
        step("first"),
        ours("cut-back", cut),
        step("middle"),
        ours("heal-back", heal),
        step("last"),
    ]);
    experiment
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_controller_plays_itself_is_played_behind_what_stays_owed() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    for (id, reached) in [(1, "work"), (2, "first"), (3, "middle")] {
        let begin = begin(id, &beginning(&mixed(), Map::new()));
        let mut command = Command::begin(&runs, begin).await.unwrap();
        loop {
            let (name, order) = command.order().await;
            if name == reached {
                break;
            }
            command.answer(&order).await;
        }
        drop(command);
        let lost = comes_to(&fleet, id, wire::RunPhase::Owed).await;
        let left: &[&str] =
            if reached == "middle" { &["middle", "last"] } else { &["first", "middle", "last"] };
        assert_eq!(owed(&lost), left, "{reached}");
        let written = journal(&fleet, id).await;
        let status = |place: usize| written["rollbacks"][place]["status"].clone();
        let played: Vec<Value> = (0..5).map(status).collect();
        let first = if reached == "middle" { "succeeded" } else { "interrupted" };
        let expected = [first, "succeeded", "interrupted", "succeeded", "interrupted"];
        assert_eq!(played, expected, "{reached}: {written:#}");
        for node in fleet.nodes.values() {
            assert_eq!(node.living().await, 0, "{reached}");
        }
        // What was played is not played again.
        let mut other = Command::take_over(&runs, id, &Values::default()).await.unwrap();
        for name in left {
            let (asked, order) = other.order().await;
            assert_eq!(asked, *name, "{reached}");
            other.answer(&order).await;
        }
        let end = other.finish().await.run.unwrap();
        assert_eq!((end.phase(), end.faults.len()), (wire::RunPhase::Ended, 2), "{reached}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_and_is_lost_leaves_it_owed_again() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut command = Command::cut(&runs, 1).await;
    command.until(wire::RunPhase::Method).await;
    let early = Command::take_over(&runs, 1, &Values::default()).await.err().unwrap();
    assert!(matches!(early, RunsError::GoesOn(_)), "{early}");
    drop(command);
    comes_to(&fleet, 1, wire::RunPhase::Owed).await;
    let mut other = Command::take_over(&runs, 1, &Values::default()).await.unwrap();
    other.order().await;
    assert_eq!(run(&fleet, 1).await.phase(), wire::RunPhase::Rollbacks);
    drop(other);
    let lost = comes_to(&fleet, 1, wire::RunPhase::Owed).await;
    assert_eq!(owed(&lost), ["back"]);
    let end = Command::take_over(&runs, 1, &Values::default()).await.unwrap().finish().await;
    assert_eq!(end.run.unwrap().phase(), wire::RunPhase::Ended);
}

#[tokio::test]
async fn what_is_owed_is_played_once_by_whoever_comes_first() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut command = Command::cut(&runs, 1).await;
    command.until(wire::RunPhase::Method).await;
    drop(command);
    comes_to(&fleet, 1, wire::RunPhase::Owed).await;
    let values = Values::default();
    let mut first = Command::take_over(&runs, 1, &values).await.unwrap();
    // On one thread: it asks before anything of the first is stored, and waits for that.
    let second = Command::take_over(&runs, 1, &values);
    let (second, end) = tokio::join!(second, first.finish());
    assert_eq!(end.run.unwrap().phase(), wire::RunPhase::Ended);
    let second = second.err().unwrap();
    assert!(matches!(second, RunsError::OwesNothing(_) | RunsError::GoesOn(_)), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_ends_runs_in_rollback_and_lets_none_begin() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut command = Command::cut(&runs, 1).await;
    command.until(wire::RunPhase::Method).await;
    let brake = wire::Brake {
        on: true,
        reason: "smoke".to_owned(),
        who: "eve".to_owned(),
        ..wire::Brake::default()
    };
    soon(fleet.control.brake(brake)).await.unwrap();
    let (name, back) = command.order().await;
    assert_eq!((name.as_str(), fleet.nodes["b"].living().await), ("back", 0));
    command.answer(&back).await;
    let ended = command.finish().await.run.unwrap();
    assert_eq!(ended.reason, "the brake is on: smoke");
    assert_eq!(ended.verdict.unwrap().status(), wire::RunStatus::Interrupted);
    let refused = Command::begin(&runs, begin(2, &beginning(&cut(), Map::new()))).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("the brake is on: smoke"), "{refused}");
    assert_eq!(fleet.control.runs().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_ends_a_run_and_its_line_plays_the_rollbacks() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut command = Command::cut(&runs, 1).await;
    command.until(wire::RunPhase::Method).await;
    soon(runs.end(&[IntentId::from_random(1)], "eve")).await.unwrap();
    let (name, back) = command.order().await;
    assert_eq!(name, "back");
    command.answer(&back).await;
    let ended = command.finish().await.run.unwrap();
    assert_eq!((ended.reason.as_str(), ended.owed.len()), ("ended by eve", 0));
    assert!(runs.end(&[IntentId::from_random(9)], "eve").await.is_err());
    // One that is over stays as it is.
    let over = runs.end(&[IntentId::from_random(1)], "eve").await.unwrap();
    assert_eq!(over[0].phase(), wire::RunPhase::Ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_where_it_was_started_ends_a_run() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut command = Command::cut(&runs, 1).await;
    command.until(wire::RunPhase::Method).await;
    let signal = wire::interrupt_run::Signal::Term.into();
    let interrupt = Request::Interrupt(wire::InterruptRun { signal });
    command.peer.requests.send(interrupt).await.unwrap();
    let end = command.finish().await;
    let verdict = end.run.unwrap().verdict.unwrap();
    assert_eq!(verdict.exit(), wire::RunExit::Interrupted);
    let written: Value = serde_json::from_slice(&end.journal).unwrap();
    assert_eq!(written["status"], "interrupted");
    assert_eq!(written["rollbacks"][0]["status"], "succeeded", "{written:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_begun_while_what_a_run_owes_cannot_be_stored() {
    let disk = Disk::new();
    let fleet = Fleet::over(disk.clone(), &["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut experiment = cut();
    // It asks before it owes anything.
    experiment["configuration"] = json!({"x": {"type": "probe", "name": "ask",
        "provider": {"type": "process", "path": "ask"}}});
    let mut command =
        Command::begin(&runs, begin(1, &beginning(&experiment, Map::new()))).await.unwrap();
    let (name, ask) = command.order().await;
    assert_eq!(name, "ask");
    disk.fill();
    command.answer(&ask).await;
    let (name, back) = command.order().await;
    assert_eq!(name, "back", "what is owed is played, and nothing else was begun");
    command.answer(&back).await;
    let ended = command.finish().await.run.unwrap();
    assert!(ended.reason.contains("cannot be stored"), "{}", ended.reason);
    assert_eq!(ended.verdict.unwrap().status(), wire::RunStatus::Interrupted);
}

/// Steps that are told and that nobody else performs: more of them than wait for somebody who does not read.
fn crowd() -> Vec<Value> {
    let step = json!({"type": "probe", "name": "crowd", "provider": {"type": "schism",
        "probe": "effect", "arguments": {"fault": "the-cut"}}});
    vec![step; 600]
}

/// A run whose command has stopped reading, and somebody who looks on.
async fn unread(runs: &Runs, id: u64, experiment: &Value, until: &str) -> (Command, Command) {
    let begin = begin(id, &beginning(experiment, Map::new()));
    let mut command = Command::begin(runs, begin.clone()).await.unwrap();
    loop {
        let (name, order) = command.order().await;
        command.answer(&order).await;
        if name == until {
            return (command, Command::begin(runs, begin).await.unwrap());
        }
    }
}

impl Command {
    /// Until a step has ended.
    async fn hears_of(&mut self, step: &str) {
        loop {
            let Reply::News(news) = self.reply().await else { continue };
            let news: Progress = serde_json::from_slice(&news).unwrap();
            if matches!(&news, Progress::StepEnded { name, .. } if name == step) {
                return;
            }
        }
    }

    /// Reads what is left, and says what is still to be performed.
    async fn rest(&mut self) -> Vec<String> {
        let mut orders = Vec::new();
        while let Some(reply) = soon(self.peer.replies.recv()).await {
            if let Reply::Order(order) = reply {
                orders.push(serde_json::from_slice::<Value>(&order).unwrap().to_string());
            }
        }
        orders
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_does_not_read_is_lost_and_is_no_line_again() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut experiment = cut();
    let steps = experiment["method"].as_array_mut().unwrap();
    steps.splice(1..1, crowd());
    let (mut command, _) = unread(&runs, 1, &experiment, "look").await;
    let lost = comes_to(&fleet, 1, wire::RunPhase::Owed).await;
    assert_eq!(lost.reason, "the line that started the run is lost");
    assert_eq!(lost.verdict.as_ref().unwrap().status(), wire::RunStatus::Interrupted);
    assert_eq!((owed(&lost), fleet.nodes["b"].living().await), (vec!["back"], 0));
    assert_eq!(command.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rollback_is_played_behind_one_for_which_there_was_no_room() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut experiment = cut();
    let step = |name: &str| json!({"type": "action", "name": name, "provider": {"type": "process", "path": name}});
    let mut rollbacks = crowd();
    // Whoever reads has time to; who does not has read nothing by then either.
    for step in rollbacks.iter_mut().step_by(100) {
        step["pauses"] = json!({"after": 0.2});
    }
    // Time enough to read all that waits before the last one is asked for.
    let mut pause = rollbacks[1].clone();
    pause["pauses"] = json!({"after": 2});
    rollbacks.extend([step("middle"), pause, step("last")]);
    experiment["rollbacks"] = rollbacks.into();
    experiment.as_object_mut().unwrap().remove("steady-state-hypothesis");
    let (mut command, mut other) = unread(&runs, 1, &experiment, "work").await;
    other.hears_of("middle").await;
    assert_eq!(command.rest().await, Vec::<String>::new());
    let lost = comes_to(&fleet, 1, wire::RunPhase::Owed).await;
    assert_eq!(owed(&lost), ["middle", "last"]);
}

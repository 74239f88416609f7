//! Controllers that are killed in the middle of a run, and their next lives.

use tokio::runtime::{Builder, Runtime};

use super::*;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A life of the controller that can be killed, with nodes that have dialled it.
async fn life(fleet: &mut Fleet, execution: Execution) -> (Runtime, Runs) {
    let runtime = runtime();
    fleet.restart_in(&runtime).await;
    for name in ["a", "b"] {
        fleet.connect(name).await;
    }
    let (control, archive) = (fleet.control.clone(), fleet.archive.clone());
    let start = Runs::start(control, archive, Limits::default(), execution);
    let runs = runtime.spawn(start).await.unwrap().unwrap();
    (runtime, runs)
}

/// A run in a life of its own, whose tasks die with it.
async fn command(runtime: &Runtime, runs: &Runs, id: u64, experiment: &Value) -> Command {
    let (line, peer) = Line::new();
    let (runs, begin) = (runs.clone(), begin(id, &beginning(experiment, Map::new())));
    let begun = runtime
        .spawn(async move { runs.begin(IntentId::from_random(id), begin, "ann", line).await });
    begun.await.unwrap().unwrap();
    Command { peer, told: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_killed_anywhere_heals_and_owes_in_its_next_life() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    for (id, (_, phase)) in (1..).zip(PARTS) {
        let (killed, runs) = life(&mut fleet, Execution::Refused).await;
        let mut begun = command(&killed, &runs, id, &cut()).await;
        begun.until(phase).await;
        until(async || run(&fleet, id).await.phase() == phase).await;
        killed.shutdown_background();

        let (next, runs) = life(&mut fleet, Execution::Refused).await;
        let left = comes_to(&fleet, id, wire::RunPhase::Owed).await;
        until(async || fleet.nodes["b"].living().await == 0).await;
        assert_eq!(owed(&left), ["back"], "{phase:?}");
        assert!(left.reason.contains("started anew"), "{phase:?}: {}", left.reason);
        let mut other = Command::take_over(&runs, id, &Values::default()).await.unwrap();
        let (name, back) = other.order().await;
        assert_eq!(name, "back");
        other.answer(&back).await;
        let end = other.finish().await;
        assert_eq!(end.run.unwrap().phase(), wire::RunPhase::Ended, "{phase:?}");
        next.shutdown_background();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_life_plays_rollbacks_itself_where_it_may() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    let mark = fleet.directory().join("rolled-back");
    let mut experiment = cut();
    experiment.as_object_mut().unwrap().remove("steady-state-hypothesis");
    experiment["method"][1]["provider"] =
        json!({"type": "process", "path": "sleep", "arguments": ["60"]});
    experiment["rollbacks"][0]["provider"] =
        json!({"type": "process", "path": "touch", "arguments": [mark]});
    let (killed, runs) = life(&mut fleet, Execution::Allowed).await;
    let begun = command(&killed, &runs, 1, &experiment).await;
    until(async || fleet.nodes["b"].acting().await == 1).await;
    until(async || run(&fleet, 1).await.phase() == wire::RunPhase::Method).await;
    killed.shutdown_background();
    drop(begun);
    assert!(!mark.exists());

    let (next, _runs) = life(&mut fleet, Execution::Allowed).await;
    let ended = comes_to(&fleet, 1, wire::RunPhase::Ended).await;
    until(async || fleet.nodes["b"].living().await == 0).await;
    assert!(mark.exists(), "{ended:?}");
    assert_eq!(ended.verdict.unwrap().status(), wire::RunStatus::Interrupted);
    next.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_life_plays_what_needs_nobody_else() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    let mut experiment = cut();
    let heal = json!({"type": "schism", "action": "heal", "arguments": {"fault": "the-cut"}});
    let heal = json!({"type": "action", "name": "heal-it", "provider": heal});
    experiment["rollbacks"].as_array_mut().unwrap().push(heal);
    let (killed, runs) = life(&mut fleet, Execution::Refused).await;
    let mut begun = command(&killed, &runs, 1, &experiment).await;
    begun.until(wire::RunPhase::Method).await;
    killed.shutdown_background();

    let (next, _runs) = life(&mut fleet, Execution::Refused).await;
    until(async || owed(&run(&fleet, 1).await) == ["back"]).await;
    let left = comes_to(&fleet, 1, wire::RunPhase::Owed).await;
    assert_eq!(left.verdict.unwrap().status(), wire::RunStatus::Interrupted);
    next.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_had_touched_nothing_owes_nothing() {
    let mut fleet = Fleet::of(&["a", "b"]).await;
    let mut experiment = cut();
    experiment["configuration"] = json!({"x": {"type": "probe", "name": "ask",
        "provider": {"type": "process", "path": "ask"}}});
    let (killed, runs) = life(&mut fleet, Execution::Refused).await;
    let mut begun = command(&killed, &runs, 1, &experiment).await;
    assert_eq!(begun.order().await.0, "ask");
    killed.shutdown_background();
    let (next, _runs) = life(&mut fleet, Execution::Refused).await;
    let ended = comes_to(&fleet, 1, wire::RunPhase::Ended).await;
    assert_eq!((ended.owed.len(), ended.faults.len()), (0, 0));
    next.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_ends_heals_before_it_goes() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut command = Command::cut(&runs, 1).await;
    command.until(wire::RunPhase::Method).await;
    soon(runs.stop()).await;
    assert_eq!(fleet.nodes["b"].living().await, 0);
    let left = run(&fleet, 1).await;
    assert_eq!((left.phase(), owed(&left)), (wire::RunPhase::Method, vec!["back"]));
}

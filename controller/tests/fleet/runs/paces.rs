//! Runs as they should go, one, two, and more than may.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_puts_its_fault_in_takes_it_out_and_is_judged() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut command = Command::cut(&runs, 7).await;
    let work = command.until(wire::RunPhase::Method).await;
    assert_eq!(fleet.nodes["b"].acting().await, 1);
    let going = run(&fleet, 7).await;
    assert_eq!((going.phase(), owed(&going)), (wire::RunPhase::Method, vec!["back"]));
    assert_eq!(going.faults[0].label, "the-cut");
    let intent = fleet.intent(going.faults[0].intent).await;
    assert_eq!(
        (intent.stage(), intent.asker.as_str()),
        (wire::Stage::Active, "ann, run 000000000007")
    );
    command.answer(&work).await;
    let (_, look) = command.order().await;
    command.answer(&look).await;
    let (name, back) = command.order().await;
    assert_eq!((name.as_str(), fleet.nodes["b"].living().await), ("back", 0));
    command.answer(&back).await;
    let end = command.finish().await;
    let ended = end.run.unwrap();
    let verdict = ended.verdict.unwrap();
    assert_eq!(verdict.exit(), wire::RunExit::Done, "{verdict:?}");
    assert_eq!((ended.phase, ended.owed.len()), (wire::RunPhase::Ended.into(), 0));
    let written = journal(&fleet, 7).await;
    assert_eq!(written["status"], "completed", "{written:#}");
    assert_eq!(serde_json::from_slice::<Value>(&end.journal).unwrap(), written);
    assert!(end.junit.contains("<testsuite"), "{}", end.junit);
    assert_eq!(run(&fleet, 7).await.phase(), wire::RunPhase::Ended);
    // What an audit has to have.
    let audit = fleet.archive.audit.read().await.unwrap().entries;
    let who: Vec<&str> = audit.iter().map(|line| line.who.as_str()).collect();
    assert_eq!(who, ["ann", "ann, run 000000000007"]);
    assert!(audit[1].what.starts_with("cut netns:a@a netns:b@b"), "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_the_same_run_and_another_one_is_refused() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut first = Command::cut(&runs, 7).await;
    let work = first.until(wire::RunPhase::Method).await;
    let mut second = Command::cut(&runs, 7).await;
    let mut other = cut();
    other["title"] = json!("another");
    let other = begin(7, &beginning(&other, Map::new()));
    let refused = Command::begin(&runs, other.clone()).await.err().unwrap();
    assert!(refused.to_string().contains("is the id of another"), "{refused}");
    first.answer(&work).await;
    let end = first.finish().await;
    // Who asks again only watches: nothing is performed twice.
    let watched = second.finish().await;
    assert_eq!((&watched.run, &watched.journal), (&end.run, &end.journal));
    assert!(second.told.iter().any(|reply| matches!(reply, Reply::News(_))));
    let third = Command::cut(&runs, 7).await.finish().await;
    assert_eq!(third.run.unwrap().verdict, end.run.unwrap().verdict);
    assert!(Command::begin(&runs, other).await.is_err());
    let faults = fleet.control.list().await.unwrap().0;
    assert_eq!(faults.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_on_beside_each_other_and_no_more_than_may() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut commands = Vec::new();
    for id in 1..=controller::runs::AT_ONCE as u64 {
        let mut command = Command::cut(&runs, id).await;
        let order = command.until(wire::RunPhase::Before).await;
        commands.push((command, order));
    }
    let one_more = begin(99, &beginning(&cut(), Map::new()));
    let refused = Command::begin(&runs, one_more.clone()).await.err().unwrap();
    assert!(matches!(refused, RunsError::Busy), "{refused}");
    // Two of them at the same time, each to its end.
    let (mut last, look) = commands.pop().unwrap();
    last.answer(&look).await;
    let (mut first, look) = commands.remove(0);
    first.answer(&look).await;
    let (one, other) = tokio::join!(last.finish(), first.finish());
    for end in [one, other] {
        let verdict = end.run.unwrap().verdict.unwrap();
        // The second cut between the same targets may be refused by a guard.
        assert_ne!(verdict.status(), wire::RunStatus::Interrupted, "{verdict:?}");
    }
    let mut again = Command::begin(&runs, one_more).await.unwrap();
    again.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_no_experiment_is_refused() {
    let fleet = Fleet::of(&[]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut long = cut();
    long["description"] = "x".repeat(controller::runs::LONGEST).into();
    let refused = Command::begin(&runs, begin(1, &beginning(&long, Map::new()))).await;
    assert!(matches!(refused.err().unwrap(), RunsError::TooLong { .. }));
    for asked in ["", "{}", "{\"experiment\":{},\"settings\":{},\"secrets\":{}}"] {
        let begin = wire::BeginRun { id: 1, asked: asked.into(), names: Vec::new() };
        let refused = Command::begin(&runs, begin).await.err().unwrap();
        assert!(matches!(refused, RunsError::Line(_)), "{refused}");
    }
    assert!(fleet.control.runs().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_may_performs_and_goes_on_without_the_line() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let mark = |name: &str| fleet.directory().join(name);
    let touch = |name: &str| {
        json!({"type": "action", "name": name, "provider": {"type": "process", "path": "touch",
            "arguments": [mark(name)]}})
    };
    let mut experiment = cut();
    experiment["method"][1] = touch("method");
    experiment["rollbacks"] = json!([touch("rollback")]);
    experiment.as_object_mut().unwrap().remove("steady-state-hypothesis");
    let begun = beginning(&experiment, Map::new());

    let refusing = runs(&fleet, Execution::Refused).await;
    let mut asked = Command::begin(&refusing, begin(1, &begun)).await.unwrap();
    for expected in ["method", "rollback"] {
        let (name, order) = asked.order().await;
        assert_eq!(name, expected);
        let Order::Step { invocation, .. } = &order else { panic!() };
        assert!(matches!(&**invocation, Invocation::Process { path, .. } if path == "touch"));
        asked.answer(&order).await;
    }
    asked.finish().await;
    assert!(!mark("method").exists() && !mark("rollback").exists(), "it performed a step");

    let performing = runs(&fleet, Execution::Allowed).await;
    drop(Command::begin(&performing, begin(2, &begun)).await.unwrap());
    let ended = comes_to(&fleet, 2, wire::RunPhase::Ended).await;
    assert_eq!(ended.verdict.as_ref().unwrap().exit(), wire::RunExit::Done, "{ended:?}");
    assert!(mark("method").exists() && mark("rollback").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_performs_asks_agents_for_logs_itself() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let log = fleet.directory().join("log");
    std::fs::write(&log, "the leader\n").unwrap();
    let written = log.clone();
    fleet.nodes["a"].kernel.node(|node| {
        let cookie = node.named("a").unwrap();
        node.write_to(cookie, written);
    });
    let look = |name: &str, target: &str, since: Value| {
        json!({"type": "probe", "name": "look", "as": name, "provider": {"type": "schism",
            "probe": "logs", "arguments": {"target": target, "pattern": "leader", "since": since}}})
    };
    let mut experiment = cut();
    experiment["method"] = json!([
        look("look", "netns:a@a", Value::Null),
        look("look", "netns:a@a", json!("${outputs.look}")),
        look("other", "netns:b@b", Value::Null),
    ]);
    experiment["rollbacks"] = json!([]);
    experiment.as_object_mut().unwrap().remove("steady-state-hypothesis");
    let performing = runs(&fleet, Execution::Allowed).await;
    drop(Command::begin(&performing, begin(1, &beginning(&experiment, Map::new()))).await.unwrap());
    comes_to(&fleet, 1, wire::RunPhase::Ended).await;
    let written = journal(&fleet, 1).await;
    assert_eq!(written["run"][0]["output"]["lines"], json!(["the leader"]), "{written:#}");
    assert_eq!(written["run"][1]["output"]["found"], false, "{written:#}");
    let why = written["run"][2]["exception"].to_string();
    assert!(why.contains("writes to no file"), "{why}");
    let audit = fleet.archive.audit.read().await.unwrap().entries;
    let what: Vec<&str> = audit.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(what[1..], ["netns:a@a", "netns:a@a", "netns:b@b"]);
}

//! Objects, the runs that they ask for, what is done about them, and what they say in the end.

use std::time::Duration;

use cluster::Metadata;
use proto::control as wire;
use serde_json::{Value, json};

use super::asked::asked;
use super::decision::step;
use super::resource::{Kind, Object};
use super::status::{Phase, Status};
use super::{definitions, policies};
use crate::failure::{Cause, Failure};
use crate::keeping::FINALIZER;
use crate::keeping::decision::{Attempt, Ending, Said as _, Standing, Step};
use crate::link::nanos;
use crate::objects::status::Truth;

const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";

/// 2023-11-14T22:13:20Z.
const NOW: u64 = 1_700_000_000_000_000_000;

fn second(number: u64) -> u64 {
    nanos(Duration::from_secs(number))
}

fn object(spec: Value) -> Object {
    let mut object: Object = serde_json::from_value(json!({ "spec": spec })).unwrap();
    object.metadata = Metadata {
        name: "one".to_owned(),
        namespace: Some("prod".to_owned()),
        uid: UID.to_owned(),
        generation: Some(1),
        ..Metadata::default()
    };
    object
}

/// A step of ours.
fn ours(name: &str, role: &str, verb: &str, arguments: &Value) -> Value {
    let kind = if role == "probe" { "probe" } else { "action" };
    json!({
        "type": kind, "name": name,
        "provider": { "type": "schism", role: verb, "arguments": arguments },
    })
}

fn cut(from: &str, to: &str) -> Value {
    let mut cut = ours("cut", "action", "cut", &json!({ "from": from, "to": to, "for": "30s" }));
    cut["provider"]["as"] = json!("the-cut");
    cut
}

/// An experiment with these steps in its method.
fn with(method: Value) -> Value {
    json!({ "title": "calls", "description": "d", "method": method })
}

fn plain() -> Object {
    let effect = ours("effect", "probe", "effect", &json!({ "fault": "the-cut" }));
    object(json!({ "experiment": with(json!([cut("pod/a", "pod/b"), effect])) }))
}

#[test]
fn an_experiment_of_faults_and_our_own_probes_is_run_by_the_controller() {
    let mut logs = ours("logs", "probe", "logs", &json!({ "target": "pod/b", "pattern": "panic" }));
    logs["tolerance"] = json!({ "type": "jsonpath", "path": "$.found", "expect": [false] });
    let mut each = ours("each", "action", "freeze", &json!({ "target": "${one}", "for": "5s" }));
    each["for-each"] = json!({ "name": "one", "targets": "all:sts/z" });
    let heal = ours("heal", "action", "heal", &json!({ "fault": "the-cut" }));
    let table = [
        (Kind::Experiment, plain()),
        (
            Kind::Experiment,
            object(json!({ "experiment": with(json!([cut("one:sts/z", "etcd:leader"), heal])) })),
        ),
        (Kind::Experiment, object(json!({ "experiment": with(json!([logs])), "readsLogs": true }))),
        (Kind::Experiment, object(json!({ "experiment": with(json!([each])) }))),
        (
            Kind::ClusterExperiment,
            object(json!({ "experiment": with(json!([cut("k8s:a/pod/b", "host:n1")])) })),
        ),
    ];
    for (kind, object) in table {
        let asked = asked(kind, &object).unwrap_or_else(|failure| panic!("{}", failure.text()));
        // What is kept is as it was written.
        assert_eq!(asked.kept().experiment, object.spec.experiment);
        assert_eq!(asked.kept().terms.seed, 0x7f3e_2a10_4b5c_4d6e);
        assert!(asked.is_plain().unwrap());
    }
    let seeded = object(json!({ "experiment": with(json!([])), "seed": 7 }));
    assert_eq!(asked(Kind::Experiment, &seeded).unwrap().kept().terms.seed, 7);
}

#[test]
fn what_makes_no_sense_or_is_for_somebody_else_is_refused_with_a_sentence() {
    let step = |provider: Value| json!({ "type": "action", "name": "work", "provider": provider });
    let process = step(json!({ "type": "process", "path": "true" }));
    let http = step(json!({ "type": "http", "url": "http://h/" }));
    let python = step(json!({ "type": "python", "module": "m", "func": "f" }));
    let look = |verb: &str, arguments: Value| ours("look", "probe", verb, &arguments);
    let file = look("logs", json!({ "file": "/etc/shadow", "pattern": "root" }));
    let metric = look("metric", json!({ "url": "http://h/", "metric": "m" }));
    let logs = look("logs", json!({ "target": "pod/a", "pattern": "x" }));
    let zeebe = ours("zeebe", "action", "zeebe", &json!({ "command": "verify readiness" }));
    let evict = json!({ "command": "evict", "target": "pod/a" });
    let pod = ours("evict", "action", "pod", &evict);
    let node = ours("drain", "action", "node", &json!({ "command": "drain", "node": "n1" }));
    let mut compared = look("effect", json!({ "fault": "the-cut" }));
    compared["tolerance"] = json!({
        "type": "probe", "name": "compare", "provider": { "type": "process", "path": "true" },
    });
    let one = |step: &Value| with(json!([step]));
    let more = |key: &str, value: Value| {
        let mut experiment = with(json!([]));
        experiment[key] = value;
        experiment
    };
    let (none, hook) = ("the controller performs none for an object", "a control is a program");
    let table = [
        (one(&process), "step `work` is a program"),
        (one(&http), "step `work` is a request"),
        (one(&python), "step `work` is a function of Python"),
        (one(&process), none),
        (one(&file), "step `look` is a look at a file"),
        (one(&metric), "a request for a metric"),
        (one(&zeebe), "a request to Zeebe"),
        (one(&pod), "step `evict` is a removal of pods"),
        (one(&node), "step `drain` is a change of a node"),
        (with(json!([cut("pod/a", "pod/b"), compared])), "step `compare` is a program"),
        (more("rollbacks", json!([process])), "step `work` is a program"),
        (
            more(
                "controls",
                json!([{ "name": "c", "provider": { "type": "python", "module": "m" } }]),
            ),
            hook,
        ),
        (
            more(
                "configuration",
                json!({ "x": { "type": "probe", "name": "ask",
                "provider": { "type": "process", "path": "true" } } }),
            ),
            "step `ask` is a program",
        ),
        (one(&logs), "takes readsLogs: true"),
        (
            more("secrets", json!({ "g": { "key": { "type": "env", "key": "K" } } })),
            "the secret `g`",
        ),
        (
            more("configuration", json!({ "x": { "type": "env", "key": "HOME" } })),
            "has no environment",
        ),
        (one(&cut("host:n1", "pod/b")), "takes a ClusterExperiment"),
        (one(&cut("k8s:other/pod/a", "pod/b")), "takes a ClusterExperiment"),
        (one(&ours("f", "action", "freeze", &json!({ "target": "pod/a", "fro": "1s" }))), "fro"),
        (one(&cut("pod/a", "pod/a")), "both sides are"),
        (json!({ "title": "t", "description": "d" }), "`method` is missing"),
        (json!({}), "found nothing"),
    ];
    for (experiment, said) in table {
        let object = object(json!({ "experiment": experiment }));
        let failure = asked(Kind::Experiment, &object).unwrap_err();
        assert!(failure.text().contains(said), "{experiment}: {}", failure.text());
        assert_eq!(failure.outcome.code(), 2, "{experiment}");
    }
    let within = object(json!({ "experiment": one(&cut("pod/a", "pod/b")) }));
    let failure = asked(Kind::ClusterExperiment, &within).unwrap_err();
    assert!(failure.reason.contains("names no namespace"), "{}", failure.reason);
}

#[test]
fn a_secret_in_the_object_itself_is_refused_and_told_nowhere() {
    for secrets in [
        json!({ "token": "hunter2" }),
        json!({ "group": { "token": "hunter2", "other": { "type": "env", "key": "K" } } }),
        json!({ "group": { "type": "hunter2", "value": 1 } }),
        json!(["hunter2"]),
    ] {
        let mut experiment = with(json!([cut("hunter2", "pod/b")]));
        experiment["secrets"] = secrets.clone();
        let object = object(json!({ "experiment": experiment }));
        let failure = asked(Kind::Experiment, &object).unwrap_err();
        assert!(failure.reason.contains("stands in the object itself"), "{secrets}");
        let status = serde_json::to_string(&Status::refused(&object, &failure, NOW)).unwrap();
        assert!(!status.contains("hunter2"), "{status}");
    }
}

#[test]
fn an_object_that_makes_no_sense_is_read_and_asks_for_nothing() {
    let text = json!({
        "metadata": { "name": "one", "uid": UID }, "spec": { "experiment": "all" },
        "status": { "phase": "Dreaming", "exitCode": 300 },
    });
    let object: Object = serde_json::from_value(text).unwrap();
    assert!(object.spec.experiment.is_empty() && object.status.is_nothing());
    assert!(asked(Kind::ClusterExperiment, &object).is_err());
}

/// Its run, in that phase.
fn run(phase: wire::RunPhase) -> wire::Run {
    let object = plain();
    wire::Run {
        id: object.id().unwrap().get(),
        title: "calls".to_owned(),
        phase: phase.into(),
        asked: NOW,
        faults: vec![wire::RunFault { label: "the-cut".to_owned(), intent: 7 }],
        owed: vec![wire::OwedRollback { place: 0, name: "back".to_owned() }],
        object: Some(object.wire(Kind::Experiment)),
        ..wire::Run::default()
    }
}

fn ended(status: wire::RunStatus, exit: wire::RunExit, reasons: &[&str]) -> wire::Run {
    let reasons: Vec<String> = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    let deviated = exit == wire::RunExit::Failed;
    let (status, exit) = (status.into(), exit.into());
    let verdict =
        wire::RunVerdict { status, exit, reasons, deviated, ..wire::RunVerdict::default() };
    wire::Run {
        verdict: Some(verdict),
        ended: NOW + second(9),
        owed: Vec::new(),
        ..run(wire::RunPhase::Ended)
    }
}

#[test]
fn a_status_says_how_far_a_run_is_and_what_it_came_to() {
    let object = plain();
    let going = Status::told(&object, &run(wire::RunPhase::Method), 1, NOW);
    assert_eq!((going.phase, going.part.as_str()), (Phase::Running, "method"));
    assert_eq!((going.steps.as_str(), going.faults, going.deviated), ("1/2", Some(1), None));
    assert_eq!(going.run, "a1b2c3d4e5f6");
    assert_eq!((going.owes, going.exit_code, going.journal.as_str()), (None, None, ""));
    assert_eq!(going.started_at.as_deref(), Some("2023-11-14T22:13:20Z"));
    let back = Status::told(&object, &run(wire::RunPhase::Rollbacks), 2, NOW);
    assert_eq!(back.phase, Phase::RollingBack);

    let done = ended(wire::RunStatus::Completed, wire::RunExit::Done, &[]);
    let done = Status::told(&object, &done, 2, NOW);
    assert_eq!(
        (done.phase, done.exit_code, done.message.as_str()),
        (Phase::Completed, Some(0), "")
    );
    assert_eq!(done.journal, "runs/a1b2c3d4e5f6.json in the archive of the controller");
    assert_eq!(done.ended_at.as_deref(), Some("2023-11-14T22:13:29Z"));
    assert_eq!((done.owes, done.deviated), (Some(0), Some(false)));
    let reasons = ["`effect` was not within its tolerance", "b", "c", "d", "e", "f"];
    let failed = ended(wire::RunStatus::Failed, wire::RunExit::Failed, &reasons);
    let failed = Status::told(&object, &failed, 2, NOW);
    assert_eq!(
        (failed.phase, failed.exit_code, failed.deviated),
        (Phase::Failed, Some(1), Some(true))
    );
    assert_eq!((failed.message.as_str(), failed.reasons.len()), (reasons[0], 5));
    let silent = ended(wire::RunStatus::Failed, wire::RunExit::NoEffect, &["no effect"]);
    assert_eq!(Status::told(&object, &silent, 2, NOW).exit_code, Some(3));
    let mut owing = run(wire::RunPhase::Owed);
    owing.reason = "the controller was started anew in the middle of it".to_owned();
    let owing = Status::told(&object, &owing, 1, NOW);
    assert_eq!(
        (owing.phase, owing.owes, owing.owed.as_slice()),
        (Phase::Owed, Some(1), ["back".to_owned()].as_slice())
    );
    assert_eq!(owing.message, "the controller was started anew in the middle of it");
    // What is written is read as it was.
    let written = serde_json::to_value(&failed).unwrap();
    assert_eq!(serde_json::from_value::<Status>(written).unwrap(), failed);
}

#[test]
fn steps_that_are_repeated_have_no_number_beforehand() {
    let mut step = ours("f", "action", "freeze", &json!({ "target": "${one}" }));
    step["for-each"] = json!({ "name": "one", "targets": "all:sts/z" });
    let object = object(json!({ "experiment": with(json!([step])) }));
    assert_eq!(Status::told(&object, &run(wire::RunPhase::Method), 3, NOW).steps, "3");
}

#[test]
fn a_status_stays_small_however_much_a_run_has() {
    let long = "x".repeat(5_000);
    let mut run = ended(wire::RunStatus::Failed, wire::RunExit::Failed, &[long.as_str(); 100]);
    run.faults = (0..10_000).map(|intent| wire::RunFault { label: long.clone(), intent }).collect();
    run.owed = (0..100).map(|place| wire::OwedRollback { place, name: long.clone() }).collect();
    let status = Status::told(&plain(), &run, 1, NOW);
    assert_eq!((status.faults, status.owes), (Some(10_000), Some(100)));
    assert!(serde_json::to_vec(&status).unwrap().len() < 16_384);
}

#[test]
fn conditions_turn_once_and_keep_the_time() {
    let truth = |status: &Status| -> Vec<Truth> {
        status.conditions.iter().map(|condition| condition.status).collect()
    };
    let mut object = plain();
    object.status = Status::told(&object, &run(wire::RunPhase::Before), 0, NOW);
    assert_eq!(truth(&object.status), [Truth::True, Truth::False, Truth::Unknown]);
    let done = ended(wire::RunStatus::Completed, wire::RunExit::Done, &[]);
    let done = Status::told(&object, &done, 2, NOW + second(9));
    assert_eq!(truth(&done), [Truth::True, Truth::True, Truth::True]);
    let since: Vec<&str> =
        done.conditions.iter().map(|one| one.last_transition_time.as_str()).collect();
    assert_eq!(since, ["2023-11-14T22:13:20Z", "2023-11-14T22:13:29Z", "2023-11-14T22:13:29Z"]);
    let failed = ended(wire::RunStatus::Failed, wire::RunExit::NoEffect, &["no effect"]);
    let failed = Status::told(&object, &failed, 2, NOW);
    assert_eq!(truth(&failed), [Truth::True, Truth::True, Truth::False]);
    assert_eq!(failed.conditions[2].message, "no effect");
    let refusal = Failure::caused(Cause::Refused, "x", "a guard");
    let refused = Status::refused(&object, &refusal, NOW);
    assert_eq!(truth(&refused), [Truth::False, Truth::True, Truth::False]);
    assert_eq!(refused.exit_code, Some(4));
}

/// What is to be done, in one word.
fn next(
    object: &Object,
    run: Option<&wire::Run>,
    attempt: &Attempt,
    ending: Ending,
    (steps, now): (u32, u64),
) -> String {
    let said = &object.status;
    let known = run.map(|run| Status::told(object, run, steps, now));
    let standing = Standing { object, attempt, ending, said, told: NOW };
    match step(&standing, known.as_ref(), now) {
        Step::Wait(None) => "wait".to_owned(),
        Step::Wait(Some(until)) => format!("wait {}", until.saturating_sub(NOW) / second(1)),
        Step::Hold => "hold".to_owned(),
        Step::Release => "release".to_owned(),
        Step::Begin => "begin".to_owned(),
        Step::End(_) => "end".to_owned(),
        Step::Tell(status) => format!("tell {}", status.phase.word()),
    }
}

fn held(mut object: Object) -> Object {
    object.metadata.finalizers = vec![FINALIZER.to_owned()];
    object
}

fn leaving(mut object: Object) -> Object {
    object.metadata.deletion_timestamp = Some("2023-11-14T22:13:20Z".to_owned());
    object
}

/// It says what becomes of a run of whose method one step has ended.
fn told(mut object: Object, run: &wire::Run) -> Object {
    object.status = Status::told(&object, run, 1, NOW);
    object
}

#[test]
fn what_is_done_before_a_run_begins_follows_from_how_things_are() {
    let refusal = Failure::caused(Cause::Refused, "x", "a guard");
    let refused = Attempt::Refused(Box::new(refusal.clone()));
    let mut after_refusal = held(plain());
    after_refusal.status = Status::refused(&after_refusal, &refusal, NOW);
    let again = Attempt::Again { since: NOW, at: NOW + second(1) };
    let (untried, under_way) = (Attempt::Untried, Attempt::UnderWay);
    let method = run(wire::RunPhase::Method);
    let table = [
        ("new", plain(), &untried, 0, "hold"),
        ("held", held(plain()), &untried, 0, "begin"),
        ("tried", held(plain()), &under_way, 0, "wait"),
        ("to be tried again", held(plain()), &again, 0, "wait 1"),
        ("its time has come", held(plain()), &again, 1, "begin"),
        ("refused", held(plain()), &refused, 0, "tell Refused"),
        ("told so", after_refusal.clone(), &refused, 9, "release"),
        ("refused before", after_refusal, &untried, 9, "release"),
        ("deleted before", leaving(held(plain())), &untried, 0, "release"),
        ("deleted and gone", leaving(plain()), &untried, 0, "wait"),
        ("deleted while it is tried", leaving(held(plain())), &under_way, 0, "wait"),
        // It had begun, and nobody knows of it any more.
        ("lost", told(held(plain()), &method), &untried, 0, "tell Interrupted"),
    ];
    for (about, object, attempt, seconds, expected) in table {
        let at = (0, NOW + second(seconds));
        assert_eq!(next(&object, None, attempt, Ending::Unasked, at), expected, "{about}");
    }
}

#[test]
fn what_waits_for_a_place_says_so_once_and_is_tried_again() {
    let crowded = |why: &str| Attempt::Crowded { at: NOW + second(1), why: why.to_owned() };
    let untold = held(plain());
    let mut told = held(plain());
    told.status = Status::waiting(&told, "it waits for a place: eight go on", NOW);
    let eight = crowded("it waits for a place: eight go on");
    let table = [
        ("not told", untold, &eight, 0, "tell Pending"),
        ("told", told.clone(), &eight, 0, "wait 1"),
        (
            "others go on",
            told.clone(),
            &crowded("it waits for a place: four go on"),
            0,
            "tell Pending",
        ),
        ("its time has come", told.clone(), &eight, 1, "begin"),
        ("deleted", leaving(told.clone()), &eight, 0, "release"),
    ];
    for (about, object, attempt, seconds, expected) in table {
        let at = (0, NOW + second(seconds));
        assert_eq!(next(&object, None, attempt, Ending::Unasked, at), expected, "{about}");
    }
    // That it waits is gone from what is written once it runs.
    let running = Status::told(&told, &run(wire::RunPhase::Method), 0, NOW).written();
    assert_eq!((&running["message"], &running["phase"]), (&Value::Null, &json!("Running")));
}

#[test]
fn what_is_done_while_a_run_goes_on_follows_from_how_things_are() {
    let method = run(wire::RunPhase::Method);
    let back = run(wire::RunPhase::Rollbacks);
    let done = ended(wire::RunStatus::Completed, wire::RunExit::Done, &[]);
    let owing = run(wire::RunPhase::Owed);
    let (unasked, asked) = (Ending::Unasked, Ending::Asked(NOW));
    let going = || told(held(plain()), &method);
    type Row<'a> = (&'a str, Object, &'a wire::Run, Ending, u32, u64, &'a str);
    let table: [Row<'_>; 15] = [
        ("began", held(plain()), &method, unasked, 0, 0, "tell Running"),
        ("told", going(), &method, unasked, 1, 1, "wait"),
        ("a step has ended", going(), &method, unasked, 2, 1, "wait 5"),
        ("steps are due", going(), &method, unasked, 2, 5, "tell Running"),
        ("another part", going(), &back, unasked, 2, 1, "tell RollingBack"),
        // The leader before has let go of it as it ended.
        ("goes on unheld", told(plain(), &method), &method, unasked, 1, 1, "hold"),
        ("deleted in the middle", leaving(going()), &method, unasked, 1, 1, "end"),
        ("being ended", leaving(going()), &method, asked, 1, 1, "wait 600"),
        ("rolled back", leaving(going()), &back, asked, 1, 1, "tell RollingBack"),
        ("no end of it", leaving(going()), &back, asked, 1, 600, "release"),
        ("over", going(), &done, unasked, 2, 9, "tell Completed"),
        ("told its end", told(held(plain()), &done), &done, unasked, 1, 10, "release"),
        ("let go of", told(plain(), &done), &done, unasked, 1, 10, "wait"),
        ("owes", going(), &owing, unasked, 2, 9, "tell Owed"),
        // Somebody plays what it owed.
        ("taken over", told(plain(), &owing), &done, unasked, 2, 99, "tell Completed"),
    ];
    for (about, object, run, ending, steps, seconds, expected) in table {
        let attempt = Attempt::Untried;
        let found = next(&object, Some(run), &attempt, ending, (steps, NOW + second(seconds)));
        assert_eq!(found, expected, "{about}");
    }
}

#[test]
fn definitions_keep_what_an_experiment_says_and_policies_stand_before_both() {
    for definition in definitions() {
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let spec = &schema["properties"]["spec"];
        assert_eq!(spec["required"], json!(["experiment"]));
        let experiment = &spec["properties"]["experiment"];
        assert_eq!(experiment["x-kubernetes-preserve-unknown-fields"], true);
        let job = json!({
            "namespace": "prod", "image": "i", "serviceAccountName": "a", "imagePullPolicy": "Never",
            "deadline": "1m", "journal": "j",
        });
        let all = json!({
            "experiment": {}, "seed": 1, "readsLogs": true, "requestedBy": "ann", "job": job,
        });
        let mut fields = serde_json::to_value(object(all).spec).unwrap();
        assert_eq!(fields.as_object().unwrap().len(), 5);
        let of_job = &spec["properties"]["job"];
        if of_job["required"] == json!(["image", "serviceAccountName"]) {
            fields["job"].as_object_mut().unwrap().remove("namespace");
        }
        for name in fields["job"].as_object().unwrap().keys() {
            assert!(of_job["properties"][name].is_object(), "{name}");
        }
        for name in fields.as_object().unwrap().keys() {
            assert!(spec["properties"][name].is_object(), "{name}");
        }
        // Every word of a status is one of the definition.
        let mut owing = run(wire::RunPhase::Owed);
        owing.verdict = ended(wire::RunStatus::Failed, wire::RunExit::Failed, &["a"]).verdict;
        owing.ended = NOW;
        let status = serde_json::to_value(Status::told(&plain(), &owing, 1, NOW)).unwrap();
        for name in status.as_object().unwrap().keys() {
            assert!(schema["properties"]["status"]["properties"][name].is_object(), "{name}");
        }
    }
    let names: Vec<Value> =
        policies().iter().map(|policy| policy["metadata"]["name"].clone()).collect();
    let expected = [
        "experiments.schism.dev",
        "clusterexperiments.schism.dev",
        "unchanged-experiments.schism.dev",
    ];
    // Each with its binding.
    let expected: Vec<Value> =
        expected.iter().flat_map(|name| [json!(name), json!(name)]).collect();
    assert_eq!(names, expected);
    let text = serde_json::to_string(&policies()).unwrap();
    for said in [
        "object.spec.job",
        "readsLogs",
        "subresource('log')",
        "check('inject')",
        "requestedBy",
        "oldObject",
    ] {
        assert!(text.contains(said), "{said}");
    }
}

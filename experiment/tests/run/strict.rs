//! What a run says of itself where verdicts are strict.

use std::time::Duration;

use experiment::journal::Status;
use experiment::model::{FaultLabel, HypothesisStrategy, RollbackStrategy};
use experiment::run::invocation::{Concern, Invocation};
use experiment::run::{
    Ending, Exit, FailFast, Interruption, Level, Original, Perform, Progress, Reason, Run, Terms,
    Verdicts,
};
use serde_json::{Value, json};

use crate::rig::{Answer, Rig, beginning, read, returned};
use crate::verdicts::player;

pub(crate) fn strict() -> Terms {
    Terms { frequency: Duration::from_millis(50), ..Terms::new(Verdicts::Strict) }
}

pub(crate) fn python(kind: &str, func: &str) -> Value {
    json!({"type": kind, "name": func, "provider": {"type": "python", "module": "cases", "func": func}})
}

fn with(mut step: Value, more: &Value) -> Value {
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

pub(crate) fn file(probe: Option<Value>, method: &[Value]) -> Value {
    let mut file = json!({
        "title": "t", "description": "d", "method": method,
        "rollbacks": [python("action", "ok"), python("action", "boom"), python("action", "nap")],
    });
    if let Some(probe) = probe {
        file["steady-state-hypothesis"] = json!({"title": "h", "probes": [probe]});
    }
    file["rollbacks"][1]["may-fail"] = json!(true);
    file
}

fn met() -> Value {
    with(python("probe", "ok"), &json!({"tolerance": true}))
}

const PLAYED: [&str; 3] = ["ok succeeded", "boom failed", "nap succeeded"];

#[test]
fn a_steady_state_that_was_not_met_is_a_failure_and_rollbacks_are_played() {
    let unmet = with(python("probe", "not_ok"), &json!({"tolerance": true}));
    let mut rig = Rig::new(&file(Some(unmet), &[python("action", "ok")]), strict());
    let verdict = rig.play(player());
    assert_eq!(
        (verdict.status, verdict.exit, verdict.deviated),
        (Status::Failed, Exit::Failed, false)
    );
    assert_eq!(verdict.original, Original::Passes);
    let said = verdict.explanation().unwrap();
    assert!(said.contains("the steady state was not met before the method: `not_ok`"), "{said}");
    assert_eq!(rig.items("run"), Vec::<String>::new());
    assert_eq!(rig.items("rollbacks"), PLAYED);
}

#[test]
fn steps_that_fail_fail_the_run_unless_they_say_otherwise() {
    let program = json!({"type": "action", "name": "false", "provider": {"type": "process", "path": "false"}});
    let judged = with(python("probe", "not_ok"), &json!({"tolerance": true}));
    for (step, exit, deviated) in [
        (python("action", "boom"), Exit::Failed, false),
        (with(python("action", "boom"), &json!({"may-fail": true})), Exit::Done, false),
        (python("probe", "boom"), Exit::Failed, false),
        (with(python("probe", "boom"), &json!({"may-fail": true})), Exit::Done, false),
        (program.clone(), Exit::Failed, false),
        (with(program, &json!({"may-fail": true})), Exit::Done, false),
        (judged.clone(), Exit::Failed, true),
        (with(judged, &json!({"may-fail": true})), Exit::Done, false),
        (with(python("action", "boom"), &json!({"background": true})), Exit::Failed, false),
    ] {
        let mut file = file(Some(met()), &[step.clone(), python("action", "ok")]);
        file["rollbacks"] = json!([python("action", "ok")]);
        let mut rig = Rig::new(&file, strict());
        let verdict = rig.play(player());
        assert_eq!((verdict.exit, verdict.deviated), (exit, deviated), "{step}: {verdict:?}");
        assert!(rig.items("run").contains(&"ok succeeded".to_owned()), "the method goes on");
    }
}

#[test]
fn a_step_ends_with_its_timeout() {
    let slow = with(python("action", "nap"), &json!({"timeout": 0.1}));
    let mut rig = Rig::new(&file(None, std::slice::from_ref(&slow)), strict());
    let verdict = rig.play(player());
    assert_eq!(rig.items("run"), ["nap failed"]);
    assert_eq!(rig.aborted.len(), 1);
    assert!(verdict.reasons.contains(&Reason::Step("nap".into())));
    let mut compat = Rig::new(&file(None, &[slow]), Terms::new(Verdicts::Compat));
    compat.play(player());
    assert_eq!(compat.items("run"), ["nap succeeded"], "the original does not enforce it");
}

#[test]
fn the_timeout_of_a_step_is_that_of_its_tolerance_too() {
    let asked = python("probe", "nap");
    for more in [
        json!({"timeout": 0.1, "tolerance": asked}),
        json!({"timeout": 0.1, "until": asked, "retry": {"attempts": 2, "every": 0.1}}),
    ] {
        let probe = with(python("probe", "ok"), &more);
        let mut rig = Rig::new(&file(None, &[probe]), strict());
        let mut play = player();
        let verdict = rig.play(|perform| {
            let (time, ending) = play(perform);
            let naps = matches!(
                perform.invocation.reveal(), Invocation::Python { func, .. } if func == "nap"
            );
            // Far longer than anybody waits.
            (if naps { Duration::from_secs(3600) } else { time }, ending)
        });
        assert_eq!(verdict.exit, Exit::Failed, "{more}");
        let item = &rig.journal()["run"][0];
        assert!(!rig.aborted.is_empty(), "{item:#}");
        let took = item["duration"].as_f64().unwrap();
        assert!(took < 1.0, "{item:#}");
        if !more["tolerance"].is_null() {
            let why = item["schism"]["incomparable"].as_str().unwrap();
            assert!(why.contains("timeout of 0.1 s"), "{item:#}");
        }
    }
}

#[test]
fn fail_fast_stops_what_goes_on() {
    let probe = with(python("probe", "first"), &json!({"tolerance": true}));
    let mut probe = probe;
    probe["provider"]["arguments"] = json!({"n": 3});
    let beside = with(python("action", "nap"), &json!({"background": true}));
    let mut terms = strict();
    terms.hypothesis = HypothesisStrategy::During;
    terms.fail_fast = FailFast::Stops;
    let mut rig = Rig::new(&file(Some(probe), &[beside, python("action", "nap")]), terms);
    let verdict = rig.play(player());
    assert_eq!(rig.items("run"), ["nap interrupted", "nap interrupted"]);
    assert!(verdict.deviated);
    let during = &rig.journal()["steady_states"]["during"];
    assert_eq!(during.as_array().unwrap().len(), 4);
    assert_eq!(rig.items("rollbacks"), PLAYED);
}

#[test]
fn a_deviation_during_the_method_counts() {
    let mut probe = with(python("probe", "first"), &json!({"tolerance": true}));
    probe["provider"]["arguments"] = json!({"n": 2});
    let mut terms = strict();
    terms.hypothesis = HypothesisStrategy::During;
    let mut rig = Rig::new(&file(Some(probe), &[python("action", "nap")]), terms);
    let verdict = rig.play(player());
    assert!(verdict.deviated && verdict.exit == Exit::Failed);
    assert_eq!(verdict.original, Original::Passes);
}

#[test]
fn the_method_waits_for_a_minimum_of_evaluations() {
    let mut terms = strict();
    terms.hypothesis = HypothesisStrategy::During;
    terms.evaluations = 7;
    let mut rig = Rig::new(&file(Some(met()), &[python("action", "ok")]), terms);
    assert_eq!(rig.play(player()).exit, Exit::Done);
    assert_eq!(rig.journal()["steady_states"]["during"].as_array().unwrap().len(), 7);
}

#[test]
fn a_probe_is_tried_until_its_value_is_right() {
    let mut probe = with(
        python("probe", "first"),
        &json!({"retry": {"attempts": 5, "every": 0.1}, "until": false, "as": "found"}),
    );
    probe["provider"]["arguments"] = json!({"n": 3});
    let mut echo = python("action", "ok");
    echo["provider"]["arguments"] = json!({"was": "${outputs.found}"});
    let file = file(None, &[probe.clone(), echo]);
    let mut seen = Value::Null;
    let mut play = player();
    let mut rig = Rig::new(&file, strict());
    let verdict = rig.play(|perform| {
        if let Invocation::Python { func, arguments, .. } = perform.invocation.reveal()
            && func == "ok"
            && seen.is_null()
        {
            seen = arguments["was"].clone();
        }
        play(perform)
    });
    assert_eq!(verdict.exit, Exit::Done);
    assert_eq!(seen, json!(false));
    assert_eq!(rig.journal()["run"][0]["schism"]["attempts"], 4);

    probe["retry"]["attempts"] = json!(2);
    let mut rig = Rig::new(&self::file(None, &[probe]), strict());
    assert_eq!(rig.play(player()).exit, Exit::Failed);
    let journal = rig.journal();
    assert_eq!(journal["run"][0]["exception"], json!(["`until` was not met in 2 tries\n"]));
}

#[test]
fn a_step_is_repeated_for_each() {
    let each = |each: Value| {
        let mut step = with(python("action", "ok"), &json!({"for-each": each}));
        step["provider"]["arguments"] = json!({"target": "${target}"});
        step
    };
    let mut file = file(
        None,
        &[
            each(json!({"name": "target", "in": ["a", "${b}"]})),
            each(json!({"name": "target", "in": "${list}"})),
            each(json!({"name": "target", "targets": "all:etcd:member"})),
            each(json!({"name": "target", "in": "${b}"})),
            each(json!({"name": "target", "targets": "one:etcd:member"})),
        ],
    );
    file["configuration"] = json!({"b": "B", "list": [1, 2]});
    let (mut targets, mut seeds) = (Vec::new(), Vec::new());
    let mut concerns = Vec::new();
    let mut play = player();
    let mut rig = Rig::new(&file, Terms { seed: 7, ..strict() });
    rig.play(|perform| match perform.invocation.reveal() {
        Invocation::Targets { selector, seed, concern } => {
            seeds.push(*seed);
            concerns.push(*concern);
            returned(json!([format!("{selector}/0")]))
        }
        Invocation::Python { arguments, .. } if arguments.contains_key("target") => {
            targets.push(arguments["target"].clone());
            returned(json!(true))
        }
        Invocation::Process { .. }
        | Invocation::Http { .. }
        | Invocation::Python { .. }
        | Invocation::Schism { .. } => play(perform),
    });
    assert_eq!(
        Value::Array(targets),
        json!(["a", "B", 1, 2, "all:etcd:member/0", "one:etcd:member/0"])
    );
    assert!(seeds.len() == 2 && seeds[0] != seeds[1] && !seeds.contains(&0), "{seeds:?}");
    assert_eq!(concerns, [Concern::Anything; 2]);
    assert_eq!(rig.items("run").len(), 7);
    assert_eq!(rig.items("run")[5], "ok failed", "B is no list");
    let journal = rig.journal();
    assert_eq!(journal["run"][4]["schism"]["target"], "all:etcd:member/0");
    // A list is written down once, however often there is a turn.
    let each = |step: &Value| step["for-each"].clone();
    assert_eq!(each(&journal["run"][0]["activity"]), json!({"name": "target"}));
    assert_eq!(each(&journal["run"][2]["activity"]), json!({"name": "target", "in": "${list}"}));
    let written = json!({"name": "target", "in": ["a", "${b}"]});
    assert_eq!(each(&journal["experiment"]["method"][0]), written);
}

#[test]
fn rollbacks_are_played_on_every_way_out() {
    for by in [Interruption::Sigint, Interruption::Sigterm, Interruption::Asked("why".into())] {
        let beside = with(python("action", "nap"), &json!({"background": true}));
        let mut rig = Rig::new(&file(Some(met()), &[beside, python("action", "nap")]), strict());
        rig.interrupt(100, by.clone());
        rig.interrupt(150, Interruption::Sigint);
        let verdict = rig.play(player());
        assert_eq!((verdict.status, verdict.exit), (Status::Interrupted, Exit::Interrupted));
        assert_eq!(rig.items("run"), ["nap interrupted", "nap interrupted"]);
        assert_eq!(rig.items("rollbacks")[..2], PLAYED[..2]);
        assert_eq!(rig.journal()["interruption"]["name"], by.named().1);
    }
    let mut rig = Rig::new(&file(None, &[python("action", "nap")]), strict());
    rig.interrupt(100, Interruption::Sigusr2);
    rig.play(player());
    assert_eq!(rig.items("rollbacks"), Vec::<String>::new(), "SIGUSR2 asks for none");
}

#[test]
fn a_rollback_that_somebody_stops_has_not_been_attempted_and_stays_owed() {
    let file = file(None, &[python("action", "ok")]);
    let mut rig = Rig::new(&file, strict());
    rig.interrupt(50, Interruption::Sigint);
    rig.interrupt(100, Interruption::Sigint);
    let verdict = rig.play(player());
    assert_eq!((verdict.status, verdict.exit), (Status::Interrupted, Exit::Interrupted));
    assert_eq!(rig.items("rollbacks"), ["ok succeeded", "boom failed", "nap interrupted"]);
    assert!(verdict.reasons.contains(&Reason::RollbackStopped("nap".into())), "{verdict:?}");
    let ours = &rig.journal()["schism"];
    assert_eq!((&ours["unfinished"], &ours["owed"]["rollbacks"]), (&json!(false), &json!([2])));
    let told = rig.told.iter().find_map(|told| {
        let Progress::StepEnded { name, status, .. } = told else { return None };
        status.filter(|_| name == "nap")
    });
    assert_eq!(told, Some(Status::Interrupted));
    let suite = experiment::junit::suite(&rig.run.journal(rig.now), &verdict);
    assert!(suite.contains("did not come to its end"), "{suite}");
}

#[test]
fn a_run_that_was_not_told_whole_has_failed_by_our_rules_also_where_only_its_end_was_not() {
    let file = json!({"title": "t", "description": "d", "method": [python("action", "ok")]});
    let compat = Terms::new(Verdicts::Compat);
    for (terms, status, exit) in
        [(strict(), Status::Failed, Exit::Failed), (compat, Status::Completed, Exit::Done)]
    {
        let mut rig = Rig::new(&file, terms);
        assert_eq!(rig.play(player()).exit, Exit::Done);
        rig.run.untold("nobody reads them".to_owned());
        let verdict = rig.run.verdict();
        assert_eq!((verdict.status, verdict.exit), (status, exit));
        assert_eq!(verdict.original, Original::Passes);
        let journal = rig.run.journal(rig.now);
        assert_eq!(journal.status, status);
        let why = "events were not written any more: nobody reads them";
        assert_eq!(journal.ours["reasons"], json!([why]));
        let suite = experiment::junit::suite(&journal, &verdict);
        assert_eq!(suite.contains(why), exit == Exit::Failed, "{suite}");
    }
}

#[test]
fn a_rollback_that_has_had_its_end_is_not_owed_while_it_pauses() {
    let mut file = file(None, &[python("action", "ok")]);
    file["rollbacks"] = json!([with(python("action", "ok"), &json!({"pauses": {"after": 1}}))]);
    let mut rig = Rig::new(&file, strict());
    rig.interrupt(50, Interruption::Sigint);
    rig.interrupt(100, Interruption::Sigint);
    let mut play = player();
    let actions = rig.run.begin(rig.now);
    rig.take_all(actions, &mut play);
    while rig.items("rollbacks") != ["ok succeeded"] {
        rig.step(&mut play);
    }
    assert_eq!(rig.journal()["schism"]["owed"]["rollbacks"], json!([]));
    while rig.verdict.is_none() {
        rig.step(&mut play);
    }
    assert_eq!(rig.now, Duration::from_millis(100), "the pause is over with the second word");
    assert_eq!(rig.journal()["schism"]["owed"], Value::Null);
}

#[test]
fn targets_of_a_rollback_are_not_waited_for_any_longer_than_the_rollback() {
    let each = json!({"for-each": {"name": "target", "targets": "all:etcd:member"}});
    let mut file = file(None, &[]);
    file["rollbacks"] = json!([with(python("action", "ok"), &each), python("action", "ok")]);
    let mut rig = Rig::new(&file, strict());
    rig.interrupt(50, Interruption::Sigint);
    rig.interrupt(100, Interruption::Sigint);
    rig.play(|perform| {
        let looks_up = matches!(perform.invocation.reveal(), Invocation::Targets { .. });
        let time = Duration::from_secs(if looks_up { 3600 } else { 0 });
        (time, Ending::Returned(json!([])))
    });
    assert_eq!(rig.items("rollbacks"), ["ok interrupted", "ok succeeded"]);
    assert_eq!(rig.journal()["schism"]["owed"]["rollbacks"], json!([0]));
}

#[test]
fn what_compat_does_not_play_any_more_once_it_is_interrupted_stays_owed() {
    let mut file = file(None, &[python("action", "ok")]);
    file["rollbacks"] =
        json!([python("action", "ok"), python("action", "nap"), python("action", "boom")]);
    let mut rig = Rig::new(&file, Terms::new(Verdicts::Compat));
    rig.interrupt(100, Interruption::Sigint);
    rig.play(player());
    assert_eq!(rig.items("rollbacks"), ["ok succeeded", "nap -"], "as the original has it");
    assert_eq!(rig.journal()["schism"]["owed"]["rollbacks"], json!([1, 2]));
}

#[test]
fn what_is_owed_is_kept_in_compat_too_where_the_command_is_lost() {
    for verdicts in [Verdicts::Strict, Verdicts::Compat] {
        let mut rig = Rig::new(&file(None, &[python("action", "nap")]), Terms::new(verdicts));
        rig.interrupt(100, Interruption::Lost);
        let mut play = player();
        // Nobody is there who could play them.
        let verdict = rig.play(|perform| match rig_is_back(perform) {
            true => (Duration::ZERO, Ending::Untried),
            false => play(perform),
        });
        assert_eq!(verdict.status, Status::Interrupted);
        let owed = &rig.journal()["schism"]["owed"]["rollbacks"];
        assert_eq!(*owed, json!([0, 1, 2]), "{verdicts:?}");
    }
}

/// Whether it is a step of the rollbacks: the method has naps alone.
fn rig_is_back(perform: &Perform) -> bool {
    perform.call != experiment::run::CallId::from_number(1)
}

#[test]
fn what_was_never_begun_is_not_rolled_back() {
    let mut file = file(None, &[python("action", "ok")]);
    file["configuration"] = json!({"slow": python("probe", "nap")});
    let mut rig = Rig::new(&file, strict());
    rig.interrupt(100, Interruption::Sigint);
    let verdict = rig.play(player());
    assert_eq!(verdict.exit, Exit::Interrupted);
    assert_eq!(rig.performed, ["nap"]);
}

#[test]
fn a_setting_that_a_probe_cannot_determine_fails_a_strict_run_and_drops_out_of_a_lax_one() {
    let mut file = file(None, &[python("action", "ok")]);
    file["configuration"] = json!({"a": python("probe", "boom"), "b": python("probe", "ok")});
    file["title"] = json!("${a} ${b}");
    let mut rig = Rig::new(&file, strict());
    assert_eq!(rig.play(player()).status, Status::Failed);
    assert_eq!(rig.performed, ["boom"]);
    let mut rig = Rig::new(&file, Terms::new(Verdicts::Compat));
    assert_eq!(rig.play(player()).status, Status::Completed);
    assert_eq!(rig.journal()["experiment"]["title"], "${a} True");
}

#[test]
fn hooks_stand_around_every_part() {
    let mut file = file(Some(met()), &[python("action", "ok")]);
    file["rollbacks"] = json!([python("action", "ok")]);
    file["controls"] = json!([
        {"name": "log", "provider": {"type": "python", "module": "log"}},
        {"name": "rare", "automatic": false, "provider": {"type": "python", "module": "rare"}},
    ]);
    file["method"][0]["controls"] = json!([{"ref": "rare"}]);
    let mut rig = Rig::new(&file, strict());
    rig.play(player());
    let seen: Vec<String> = rig
        .hooks
        .iter()
        .map(|hook| format!("{} {:?} {}", hook.level, hook.side, hook.name))
        .collect();
    let part = |level: Level, name: &str| {
        [format!("{level} Before {name}"), format!("{level} After {name}")]
    };
    let [before, after] = part(Level::Experiment, "log");
    let [rare_before, rare_after] = part(Level::Experiment, "rare");
    let [hypothesis, hypothesis_after] = part(Level::Hypothesis, "log");
    let [activity, activity_after] = part(Level::Activity, "log");
    let [rare, rare_end] = part(Level::Activity, "rare");
    let [method, method_after] = part(Level::Method, "log");
    let [rollback, rollback_after] = part(Level::Rollback, "log");
    let expected = [
        &before,
        &rare_before,
        &hypothesis,
        &activity,
        &activity_after,
        &hypothesis_after,
        &method,
        &rare,
        &rare_end,
        &method_after,
        &hypothesis,
        &activity,
        &activity_after,
        &hypothesis_after,
        &rollback,
        &activity,
        &activity_after,
        &rollback_after,
        &after,
        &rare_after,
    ];
    assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
    assert_eq!(rig.hooks[4].state["status"], "succeeded");
    assert_eq!(rig.hooks[19].state["status"], "completed");
}

#[test]
fn no_secret_leaves_a_run() {
    let mut step = python("action", "token-hunter2");
    step["provider"]["arguments"] = json!({"token": "${token}", "plain": "hunter2"});
    let mut file = file(None, &[step, python("action", "ok")]);
    file["secrets"] = json!({"s": {"token": "hunter2"}});
    file["title"] = json!("about ${token}");
    let beginning = beginning(read(&file), strict(), json!({"s": {"token": "hunter2"}}));
    let mut rig = Rig::with(Run::new(beginning));
    let mut given = Value::Null;
    let answer = |perform: &Perform| -> Answer {
        assert!(!format!("{perform:?}").contains("hunter2"), "{perform:?}");
        if let Invocation::Python { arguments, .. } = perform.invocation.reveal()
            && let Some(token) = arguments.get("token")
        {
            given = token.clone();
            let why = "login with hunter2 failed".to_owned();
            return (Duration::ZERO, Ending::Failed(why));
        }
        returned(json!({"stdout": "hunter2\n"}))
    };
    rig.play(answer);
    assert_eq!(given, "hunter2", "whoever performs has it");
    let shown = format!("{} {:?}", rig.journal(), rig.told);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(rig.told.iter().any(|told| matches!(told, Progress::StepEnded { .. })));
}

#[test]
fn no_part_of_a_secret_is_told_where_a_line_is_cut() {
    let across = format!("{}hunter2-hunter3-hunter4", "x".repeat(190));
    for (secret, said, told) in [
        ("hunter2-hunter3-hunter4", across.as_str(), "x********"),
        ("first line\nhunter2", "no such key: first line\nhunter2", "no such key: ********"),
    ] {
        let mut step = python("action", "step");
        step["provider"] = json!({"type": "process", "path": "p"});
        let mut file = file(None, &[step]);
        file["secrets"] = json!({"s": {"token": secret}});
        let secrets = json!({"s": {"token": secret}});
        let mut rig = Rig::with(Run::new(beginning(read(&file), strict(), secrets)));
        rig.play(|_| returned(json!({"status": 1, "stdout": "", "stderr": said})));
        let shown = format!("{} {:?}", rig.journal(), rig.told);
        assert!(shown.contains(&format!("the program ended with 1: {}", &told[..1])), "{shown}");
        assert!(shown.contains(told) && !shown.contains("hunter"), "{shown}");
    }
}

#[test]
fn why_a_run_is_to_end_tells_no_secret_and_not_everything() {
    let mut file = file(None, &[python("action", "stop")]);
    file["secrets"] = json!({"s": {"token": "hunter2"}});
    let beginning = beginning(read(&file), strict(), json!({"s": {"token": "hunter2"}}));
    let mut rig = Rig::with(Run::new(beginning));
    rig.play(|perform| match perform.name.as_str() {
        "stop" => {
            let why = format!("no login with hunter2: {}", "x".repeat(100_000));
            (Duration::ZERO, Ending::Interrupted(why))
        }
        _ => returned(Value::Null),
    });
    let why = rig.told.iter().find_map(|told| {
        let Progress::Interrupted(Interruption::Asked(why)) = told else { return None };
        Some(why)
    });
    let why = why.unwrap();
    assert!(why.starts_with("no login with ********: xxx"), "{why}");
    assert!(why.len() <= 2000, "{}", why.len());
    let noted = format!("{:?}", rig.run.verdict().reasons);
    assert!(!noted.contains("hunter2"), "{noted}");
}

#[test]
fn rollbacks_follow_their_strategy() {
    for (strategy, step, played) in [
        (RollbackStrategy::Default, "boom", true),
        (RollbackStrategy::Always, "ok", true),
        (RollbackStrategy::Never, "boom", false),
        (RollbackStrategy::Deviated, "boom", false),
    ] {
        let mut rig = Rig::new(
            &file(None, &[python("action", step)]),
            Terms { rollbacks: strategy, ..strict() },
        );
        rig.play(player());
        assert_eq!(rig.items("rollbacks").len(), if played { 3 } else { 0 }, "{strategy}");
    }
}

#[test]
fn names_of_faults_are_names() {
    assert!("a b".parse::<FaultLabel>().is_err());
}

#[test]
fn a_run_is_a_test_suite_too() {
    let unmet = with(python("probe", "not_ok"), &json!({"tolerance": true}));
    let mut rig = Rig::new(&file(Some(met()), &[unmet, python("action", "ok")]), strict());
    let verdict = rig.play(player());
    let suite = experiment::junit::suite(&rig.run.journal(rig.now), &verdict);
    assert!(suite.contains("<testsuite name=\"t\" tests=\"8\" failures=\"2\""), "{suite}");
    // What may fail is no failure.
    assert!(suite.contains("classname=\"rollbacks\" name=\"boom\" time=\"0.000\"/>"), "{suite}");
    let case = "<testcase classname=\"method\" name=\"not_ok\" time=\"0.000\"><failure message=\"not within its tolerance\"/></testcase>";
    assert!(suite.contains(case), "{suite}");
}

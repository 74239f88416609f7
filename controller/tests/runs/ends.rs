//! Signals, at every phase of a run.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::workshop::{Workshop, own_sleep, runs, script, wait};

/// Where a run is when something happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Setting,
    Before,
    Method,
    During,
    After,
    Rollbacks,
}

const PHASES: [Phase; 6] =
    [Phase::Setting, Phase::Before, Phase::Method, Phase::During, Phase::After, Phase::Rollbacks];

/// An experiment that stays in one phase until somebody ends it.
fn staying(phase: Phase) -> Value {
    let stay = "touch ready; exec sleep 60";
    let step = |is: bool, name: &str| script(name, if is { stay } else { "true" });
    let probe = |is: bool| {
        let mut probe = step(is, "probe");
        probe["type"] = json!("probe");
        probe["tolerance"] = json!(0);
        probe
    };
    let strategy = match phase {
        Phase::Before => "before-method-only",
        Phase::During => "during-method-only",
        Phase::After => "after-method-only",
        Phase::Setting | Phase::Method | Phase::Rollbacks => "skip",
    };
    let hypothesis = matches!(phase, Phase::Before | Phase::During | Phase::After);
    let mut setting = probe(phase == Phase::Setting);
    setting["type"] = json!("probe");
    setting.as_object_mut().unwrap().remove("tolerance");
    let mut experiment = json!({
        "steady-state-hypothesis": {"title": "h", "probes": [probe(hypothesis)]},
        "method": [step(phase == Phase::Method, "step")],
        "rollbacks": [step(phase == Phase::Rollbacks, "first"), script("last", "echo x >> back")],
        "runtime": {"hypothesis": {"strategy": strategy}},
    });
    if phase == Phase::Setting {
        experiment["configuration"] = json!({"value": setting});
    }
    if phase == Phase::During {
        experiment["method"] = json!([script("step", "sleep 60")]);
    }
    experiment
}

#[test]
fn whoever_is_asked_to_end_rolls_back_in_every_phase() {
    for phase in PHASES {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let workshop = Workshop::new();
            let line = workshop.experiment(staying(phase));
            let run = workshop.begin(&format!("{line} --events events"));
            workshop.wait_for("ready");
            run.signal(signal);
            if phase == Phase::Rollbacks {
                // What is owed is waited for, until somebody asks again; the next one is still played.
                wait("nobody heard the signal", || workshop.read("events").contains("\"by\":"));
                run.signal(signal);
            }
            let ended = run.ended();
            assert_eq!(ended.code, Some(130), "{phase:?} {signal}: {ended:?}");
            let rolled_back = if phase == Phase::Setting { "" } else { "x\n" };
            assert_eq!(workshop.read("back"), rolled_back, "{phase:?} {signal}: {ended:?}");
            let journal = workshop.journal();
            assert_eq!(journal["status"], "interrupted", "{phase:?} {signal}");
            assert_eq!(journal["interruption"]["name"], signal.as_str(), "{phase:?}");
            let owed = &journal["schism"]["owed"];
            let left = match phase {
                Phase::Rollbacks => json!({"rollbacks": [0], "faults": {}}),
                Phase::Setting | Phase::Before | Phase::Method | Phase::During | Phase::After => {
                    Value::Null
                }
            };
            assert_eq!(*owed, left, "{phase:?} {signal}");
        }
    }
}

#[test]
fn a_rollback_that_a_second_ctrl_c_stops_is_offered_and_played_once_more() {
    let workshop = Workshop::new();
    let line = workshop.experiment(staying(Phase::Rollbacks));
    let run = workshop.begin(&format!("{line} --events events -o json"));
    workshop.wait_for("ready");
    run.signal(Signal::SIGINT);
    wait("nobody heard the signal", || workshop.read("events").contains("\"by\":"));
    run.signal(Signal::SIGINT);
    let ended = run.ended();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    for said in [
        "  ■ rollback: first (",
        "): interrupted\n",
        "  ✗ the rollback `first` did not come to its end, and is owed",
        "owed: first; `schism run --resume-rollbacks journal.json` sees to it",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {ended:?}");
    }
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["runs"][0]["owed"], json!({"rollbacks": ["first"], "faults": []}), "{told:#}");
    assert_eq!(workshop.journal()["rollbacks"][0]["status"], "interrupted");

    let back = "run --resume-rollbacks journal.json";
    let journal = workshop.read("journal.json").replace("exec sleep 60", "echo y >> back");
    workshop.write("journal.json", &journal);
    let resumed = workshop.run(back);
    assert_eq!((resumed.code, workshop.read("back").as_str()), (Some(0), "x\ny\n"), "{resumed:?}");
    let again = workshop.run(back);
    assert_eq!((again.code, workshop.read("back").as_str()), (Some(2), "x\ny\n"), "{again:?}");
}

#[test]
fn whoever_is_killed_leaves_a_journal_by_which_what_is_owed_is_done_once() {
    for phase in PHASES {
        let workshop = Workshop::new();
        let line = workshop.experiment(staying(phase));
        let run = workshop.begin(line);
        workshop.wait_for("ready");
        run.signal(Signal::SIGKILL);
        assert_eq!(run.ended().code, None);
        let back = "run --resume-rollbacks journal.json";
        if phase == Phase::Setting {
            assert_eq!(workshop.run(back).code, Some(2), "nothing was touched, nothing is owed");
            continue;
        }
        assert_eq!(workshop.journal()["schism"]["unfinished"], true, "{phase:?}");
        // What stayed has its way now.
        let mut experiment = workshop.read("journal.json");
        experiment = experiment.replace("exec sleep 60", "exec true");
        workshop.write("journal.json", &experiment);
        let first = workshop.run(back);
        assert_eq!((first.code, workshop.read("back").as_str()), (Some(0), "x\n"), "{first:?}");
        let again = workshop.run(back);
        assert_eq!((again.code, workshop.read("back").as_str()), (Some(2), "x\n"), "{again:?}");
        assert!(again.stderr.contains("owes nothing"), "{again:?}");
        let journal = workshop.journal();
        assert_eq!(journal["status"], "interrupted", "what was is not written over: {journal:#}");
        assert_eq!(journal["schism"]["resumed"][0]["status"], "completed", "{journal:#}");
        let last = journal["rollbacks"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["activity"]["name"], &last["status"]),
            (&json!("last"), &json!("succeeded"))
        );
    }
}

#[test]
fn what_is_owed_is_finished_by_the_verdicts_and_the_seed_of_its_run() {
    // A rollback that ends with 3 has failed by ours, and not by the original's.
    for (verdicts, other, code) in [("compat", "strict", 0), ("strict", "compat", 1)] {
        let workshop = Workshop::new();
        let line = workshop.experiment(json!({
            "method": [script("step", "touch ready; exec sleep 60")],
            "rollbacks": [script("back", "echo x >> back; exit 3")],
        }));
        let run = workshop.begin(&format!("{line} --{verdicts} --seed 7"));
        workshop.wait_for("ready");
        run.signal(Signal::SIGKILL);
        run.ended();
        let back = "run --resume-rollbacks journal.json";
        let refused = workshop.run(&format!("{back} --{other}"));
        assert_eq!((refused.code, workshop.read("back").as_str()), (Some(2), ""), "{refused:?}");
        let why = format!("the run went with --{verdicts}");
        assert!(refused.stderr.contains(&why), "{refused:?}");
        let told = workshop.run(&format!("{back} -o json"));
        assert_eq!((told.code, workshop.read("back").as_str()), (Some(code), "x\n"), "{told:?}");
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        let told = &told["runs"][0];
        assert_eq!((&told["verdicts"], &told["seed"]), (&json!(verdicts), &json!(7)), "{told:#}");
    }
}

#[test]
fn a_journal_that_says_what_is_owed_is_put_aside_by_the_next_run() {
    let workshop = Workshop::new();
    let run = workshop.begin(workshop.experiment(staying(Phase::Method)));
    workshop.wait_for("ready");
    run.signal(Signal::SIGKILL);
    run.ended();
    let line = workshop.experiment(json!({"method": [script("other", "true")]}));
    let other = workshop.run(line);
    assert_eq!(other.code, Some(0), "{other:?}");
    let back = "run --resume-rollbacks journal.json.owed-1";
    assert!(other.stderr.contains(&format!("`schism {back}` sees to it")), "{other:?}");
    assert_eq!(workshop.journal()["status"], "completed");
    // That one owes nothing, and is replaced.
    assert_eq!(workshop.run(line).code, Some(0));
    assert!(!workshop.path("journal.json.owed-2").exists());
    assert_eq!(workshop.run(back).code, Some(0));
    assert_eq!(workshop.read("back"), "x\n");
}

#[test]
fn a_journal_is_no_place_for_events_or_a_suite() {
    let workshop = Workshop::new();
    let run = workshop.begin(workshop.experiment(staying(Phase::Method)));
    workshop.wait_for("ready");
    fs::hard_link(workshop.path("journal.json"), workshop.path("hard.json")).unwrap();
    let line = workshop.experiment(json!({"method": [script("never", "touch never")]}));
    let refuse = |name: &str| {
        let before = workshop.read(name);
        for flag in ["--events", "--junit"] {
            let refused = workshop.run(&format!("{line} --journal other.json {flag} {name}"));
            assert_eq!(refused.code, Some(2), "{flag} {name}: {refused:?}");
            assert!(refused.stderr.contains("is the journal of a run"), "{flag}: {refused:?}");
            assert_eq!(workshop.read(name), before, "{flag} {name}");
        }
    };
    // By another name, while its run goes on.
    refuse("hard.json");
    run.signal(Signal::SIGKILL);
    run.ended();
    refuse("journal.json");
    assert!(!workshop.path("never").exists());
    let back = workshop.run("run --resume-rollbacks journal.json");
    assert_eq!((back.code, workshop.read("back").as_str()), (Some(0), "x\n"), "{back:?}");
    // What it owed is done, and it is still nobody else's.
    refuse("journal.json");
}

#[test]
fn a_journal_that_says_what_is_owed_is_put_aside_by_whoever_finishes_another_run() {
    let workshop = Workshop::new();
    let line = workshop.experiment(staying(Phase::Method));
    for journal in ["one.json", "two.json"] {
        let run = workshop.begin(&format!("{line} --journal {journal}"));
        workshop.wait_for("ready");
        run.signal(Signal::SIGKILL);
        run.ended();
        std::fs::remove_file(workshop.path("ready")).unwrap();
    }
    let first = workshop.run("run --resume-rollbacks one.json --journal two.json");
    assert_eq!((first.code, workshop.read("back").as_str()), (Some(0), "x\n"), "{first:?}");
    let back = "run --resume-rollbacks two.json.owed-1";
    assert!(first.stderr.contains(&format!("`schism {back}` sees to it")), "{first:?}");
    assert_eq!(unmarked(&workshop, "two.json"), unmarked(&workshop, "one.json"));
    // By whatever name: it is the journal of the very run that is finished.
    let second = workshop.run(&format!("{back} --journal ./two.json.owed-1"));
    assert_eq!((second.code, workshop.read("back").as_str()), (Some(0), "x\nx\n"), "{second:?}");
    assert!(!workshop.path("two.json.owed-1.owed-1").exists(), "{second:?}");
}

#[test]
fn a_journal_elsewhere_also_says_what_was_done() {
    let workshop = Workshop::new();
    let line = workshop.experiment(staying(Phase::Method));
    let run = workshop.begin(line);
    workshop.wait_for("ready");
    run.signal(Signal::SIGKILL);
    run.ended();
    let back = "run --resume-rollbacks journal.json --journal other.json";
    assert_eq!(workshop.run(back).code, Some(0));
    assert_eq!(workshop.run(back).code, Some(2), "the first one knows");
    assert_eq!(unmarked(&workshop, "other.json"), unmarked(&workshop, "journal.json"));
    assert_eq!(workshop.read("back"), "x\n");
}

/// A journal but for what says of which it is a copy.
fn unmarked(workshop: &Workshop, name: &str) -> Value {
    let mut journal: Value = serde_json::from_str(&workshop.read(name)).unwrap();
    journal["schism"].as_object_mut().unwrap().remove("copy_of");
    journal
}

#[test]
fn whoever_is_killed_between_a_journal_and_its_copy_leaves_what_is_owed_to_the_journal() {
    let workshop = Workshop::new();
    let hold = "touch ready; while test -e hold; do sleep 0.02; done";
    let line = workshop.experiment(json!({
        "method": [script("step", "touch ready; exec sleep 60")],
        "rollbacks": [script("first", "echo 1 >> back"), script("hold", hold),
            script("last", "echo 3 >> back")],
    }));
    let run = workshop.begin(line);
    workshop.wait_for("ready");
    run.signal(Signal::SIGKILL);
    run.ended();
    let mut stale = workshop.journal();
    for name in ["ready", "hold"] {
        let _ = std::fs::remove_file(workshop.path(name));
    }
    workshop.write("hold", "");
    let back = "run --resume-rollbacks journal.json --journal other.json";
    let run = workshop.begin(back);
    workshop.wait_for("ready");
    run.signal(Signal::SIGKILL);
    run.ended();
    std::fs::remove_file(workshop.path("hold")).unwrap();
    // What it was before the first rollback was played, which the other one knows of.
    let copy: Value = serde_json::from_str(&workshop.read("other.json")).unwrap();
    stale["schism"]["copy_of"] = copy["schism"]["copy_of"].clone();
    workshop.write("other.json", &stale.to_string());
    let original = workshop.path("journal.json").canonicalize().unwrap();
    let refused = workshop.run("run --resume-rollbacks other.json");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let advice = format!("`schism run --resume-rollbacks {}`", original.display());
    assert!(refused.stderr.contains(&advice), "{refused:?}");
    let played = workshop.run(back);
    assert_eq!((played.code, workshop.read("back").as_str()), (Some(0), "1\n3\n"), "{played:?}");
    assert!(!workshop.path("other.json.owed-1").exists(), "{played:?}");
    assert!(!played.stderr.contains("another run"), "{played:?}");
    // Nobody else knows what one owes whose journal is gone.
    workshop.write("other.json", &stale.to_string());
    std::fs::remove_file(original).unwrap();
    let played = workshop.run("run --resume-rollbacks other.json");
    assert_eq!(played.code, Some(0), "{played:?}");
    assert_eq!(workshop.read("back"), "1\n3\n1\n3\n");
}

#[test]
fn a_journal_that_a_run_writes_is_nobody_elses() {
    let workshop = Workshop::new();
    let line = workshop.experiment(staying(Phase::Method));
    let first = workshop.begin(&format!("{line} --events events.jsonl"));
    workshop.wait_for("ready");
    let written = |name: &str| workshop.read(name);
    let before = (written("journal.json"), written("events.jsonl"));
    for other in
        ["run experiment.json --events events.jsonl", "run --resume-rollbacks journal.json"]
    {
        let refused = workshop.run(other);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("a run that goes on writes it"), "{refused:?}");
        assert_eq!((written("journal.json"), written("events.jsonl")), before);
        assert!(!workshop.path("journal.json.owed-1").exists() && written("back").is_empty());
    }
    // Nor is it, or what stands beside it, a place for something else of another run.
    let lock = fs::metadata(workshop.path("journal.json.lock")).unwrap().len();
    for (flag, name) in [
        ("--events", "journal.json"),
        ("--events", "journal.json.lock"),
        ("--junit", "journal.json"),
        ("--junit", "journal.json.lock"),
        ("--journal", "journal.json.lock"),
    ] {
        let more = if flag == "--journal" { "" } else { "--journal other.json" };
        let refused = workshop.run(&format!("run experiment.json {more} {flag} {name}"));
        assert_eq!(refused.code, Some(2), "{flag} {name}: {refused:?}");
        assert!(refused.stderr.contains("a run that goes on"), "{flag} {name}: {refused:?}");
        assert_eq!(written("journal.json"), before.0, "{flag} {name}");
        assert_eq!(fs::metadata(workshop.path("journal.json.lock")).unwrap().len(), lock);
    }
    // One that is killed is in nobody's way.
    first.signal(Signal::SIGKILL);
    first.ended();
    assert!(workshop.path("journal.json.lock").exists());
    let line = workshop.experiment(json!({"method": [script("other", "true")]}));
    let second = workshop.run(line);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.stderr.contains("--resume-rollbacks journal.json.owed-1`"), "{second:?}");
    assert!(!workshop.path("journal.json.lock").exists());
    let back = workshop.run("run --resume-rollbacks journal.json.owed-1");
    assert_eq!((back.code, written("back").as_str()), (Some(0), "x\n"), "{back:?}");
    let mut left = Vec::new();
    for entry in std::fs::read_dir(workshop.path(".")).unwrap() {
        left.push(entry.unwrap().file_name().into_string().unwrap());
    }
    assert!(!left.iter().any(|name| name.ends_with(".lock")), "{left:?}");
}

#[test]
fn only_what_needs_a_secret_that_is_missing_stays_owed() {
    let workshop = Workshop::new();
    let mut experiment = staying(Phase::Method);
    experiment["secrets"] = json!({"group": {"token": "inline-hunter2",
        "other": {"type": "env", "key": "SCHISM_TEST_NOT_SET"}}});
    let back = json!(["-c", "echo \"$0\" >> back", "${token}"]);
    experiment["rollbacks"][1]["provider"]["arguments"] = back;
    experiment["rollbacks"][1]["provider"]["secrets"] = json!(["group"]);
    let values =
        json!({"secrets": {"group": {"token": "inline-hunter2", "other": "other-hunter3"}}});
    workshop.write("values.json", &values.to_string());
    let run = workshop.experiment(experiment);
    let run = workshop.begin(&format!("{run} --var-file values.json"));
    workshop.wait_for("ready");
    run.signal(Signal::SIGKILL);
    run.ended();
    assert!(!workshop.read("journal.json").contains("hunter2"));
    let back = "run --resume-rollbacks journal.json";
    let part = workshop.run(back);
    assert_eq!((part.code, workshop.read("back").as_str()), (Some(1), ""), "{part:?}");
    for missing in ["`group.token` was written", "`group.other` takes", "`SCHISM_TEST_NOT_SET`"] {
        assert!(part.stderr.contains(missing), "{missing}: {part:?}");
    }
    let journal = workshop.journal();
    assert_eq!(journal["rollbacks"][0]["status"], "succeeded", "{journal:#}");
    assert_eq!(journal["schism"]["owed"]["rollbacks"], json!([1]), "{journal:#}");
    let played = workshop.run(&format!("{back} --var-file values.json"));
    assert_eq!(played.code, Some(0), "{played:?}");
    assert_eq!(workshop.read("back"), "inline-hunter2\n");
    assert_eq!(workshop.journal()["schism"]["unfinished"], false);
}

#[test]
fn a_rollback_whose_words_had_a_secret_is_left_to_people() {
    let workshop = Workshop::new();
    let mut experiment = staying(Phase::Method);
    experiment["secrets"] = json!({"group": {"token": "inline-hunter2"}});
    let back = json!(["-c", "echo inline-hunter2 >> back"]);
    experiment["rollbacks"][1]["provider"]["arguments"] = back;
    experiment["rollbacks"].as_array_mut().unwrap().push(script("rest", "echo y >> back"));
    let run = workshop.begin(workshop.experiment(experiment));
    workshop.wait_for("ready");
    run.signal(Signal::SIGKILL);
    run.ended();
    workshop.write("values.json", r#"{"secrets": {"group": {"token": "inline-hunter2"}}}"#);
    let line = "run --resume-rollbacks journal.json --var-file values.json";
    let told = workshop.run(line);
    assert_eq!((told.code, workshop.read("back").as_str()), (Some(1), "y\n"), "{told:?}");
    assert!(told.stderr.contains("play it by hand"), "{told:?}");
    let journal = workshop.journal();
    let status = |place: usize| journal["rollbacks"][place]["status"].as_str().unwrap();
    assert_eq!([0, 1, 2].map(status), ["succeeded", "failed", "succeeded"]);
    assert_eq!(journal["schism"]["owed"], Value::Null, "nobody could ever play it from here");
    assert_eq!(workshop.run(line).code, Some(2));
}

#[test]
fn what_no_run_has_written_is_not_played_from_a_journal() {
    let workshop = Workshop::new();
    let run = workshop.begin(workshop.experiment(staying(Phase::Method)));
    workshop.wait_for("ready");
    run.signal(Signal::SIGKILL);
    run.ended();
    let written = workshop.journal();
    for (key, value) in [
        ("schema", json!("schism.journal/v9")),
        ("verdicts", json!("lax")),
        ("seed", json!(-1)),
        ("owed", json!({"rollbacks": [99], "faults": {}})),
    ] {
        let mut journal = written.clone();
        journal["schism"][key] = value;
        workshop.write("journal.json", &journal.to_string());
        let refused = workshop.run("run --resume-rollbacks journal.json");
        assert_eq!((refused.code, workshop.read("back").as_str()), (Some(2), ""), "{refused:?}");
        assert!(refused.stderr.contains("hint: "), "{refused:?}");
    }
    workshop.write("journal.json", "{");
    let refused = workshop.run("run --resume-rollbacks journal.json");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("hint: "), "{refused:?}");
}

#[test]
fn what_a_controller_keeps_is_not_played_from_a_journal() {
    let workshop = Workshop::new();
    let run = workshop.begin(workshop.experiment(staying(Phase::Method)));
    workshop.wait_for("ready");
    run.signal(Signal::SIGKILL);
    run.ended();
    let mut journal = workshop.journal();
    journal["schism"]["run"] = json!("abcdef012345");
    workshop.write("journal.json", &journal.to_string());
    let refused = workshop.run("run --resume-rollbacks journal.json");
    assert_eq!((refused.code, workshop.read("back").as_str()), (Some(2), ""), "{refused:?}");
    assert!(refused.stderr.contains("--resume-rollbacks abcdef012345"), "{refused:?}");
}

#[test]
fn programs_end_with_a_run_that_is_killed_wherever_they_went() {
    let workshop = Workshop::new();
    let (one, two, three) = (own_sleep(1), own_sleep(2), own_sleep(3));
    let program = format!("setsid sleep {one} & sleep {two}");
    let mut beside = script("beside", &program);
    beside["background"] = json!(true);
    let python = json!({"type": "action", "name": "python", "provider": {"type": "python",
        "module": "subprocess", "func": "call",
        "arguments": {"args": ["setsid", "--fork", "--wait", "sleep", three]}}});
    let run = workshop.begin(workshop.experiment(json!({"method": [beside, python]})));
    for sleep in [&one, &two, &three] {
        wait(&format!("sleep {sleep} is not there"), || runs(sleep));
    }
    run.signal(Signal::SIGKILL);
    run.ended();
    for sleep in [&one, &two, &three] {
        wait(&format!("sleep {sleep} lives on"), || !runs(sleep));
    }
}

#[test]
fn who_ends_programs_with_a_run_is_replaced_and_the_next_one_knows_them_all() {
    let workshop = Workshop::new();
    let (one, two) = (own_sleep(4), own_sleep(5));
    let mut beside = script("beside", &format!("exec setsid --wait sleep {one}"));
    beside["background"] = json!(true);
    let method = [
        beside,
        script("meanwhile", "mkfifo go; touch ready; read said < go"),
        script("afterwards", &format!("exec sleep {two}")),
    ];
    let run = workshop.begin(workshop.experiment(json!({"method": method})));
    wait("the step beside is not there", || runs(&one));
    workshop.wait_for("ready");
    let reaper = run.reaper();
    kill(reaper, Signal::SIGKILL).unwrap();
    // It dies when it runs next, and until its parent asks it is a zombie.
    wait("who ends programs does not die", || {
        let stat = std::fs::read_to_string(format!("/proc/{reaper}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
    });
    std::fs::write(workshop.path("go"), "on\n").unwrap();
    wait("the last step is not there", || runs(&two));
    assert_ne!(run.reaper(), reaper);
    assert!(runs(&one));
    run.signal(Signal::SIGKILL);
    run.ended();
    for sleep in [&one, &two] {
        wait(&format!("sleep {sleep} lives on"), || !runs(sleep));
    }
}

#[test]
fn a_run_does_not_wait_for_who_was_to_end_its_programs_and_was_stopped() {
    let workshop = Workshop::new();
    let method = [script("step", "mkfifo go; touch ready; read said < go")];
    let run = workshop.begin(workshop.experiment(json!({"method": method})));
    workshop.wait_for("ready");
    kill(run.reaper(), Signal::SIGSTOP).unwrap();
    std::fs::write(workshop.path("go"), "on\n").unwrap();
    assert_eq!(run.ended().code, Some(0));
}

#[test]
fn a_probe_that_kills_the_runner_is_survived_by_what_is_owed() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({
        "method": [script("kill", "kill -9 $PPID"), script("never", "touch never")],
        "rollbacks": [script("back", "echo x >> back")],
    }));
    assert_eq!(workshop.run(line).code, None);
    assert_eq!(workshop.journal()["schism"]["unfinished"], true);
    assert_eq!(workshop.run("run --resume-rollbacks journal.json").code, Some(0));
    assert_eq!(workshop.read("back"), "x\n");
    assert!(!workshop.path("never").exists());
}

#[test]
fn what_runs_in_the_background_is_not_waited_for_after_ctrl_c() {
    for manner in ["--strict", "--compat"] {
        let workshop = Workshop::new();
        let mut beside = script("beside", "touch beside; sleep 60");
        beside["background"] = json!(true);
        let method = [beside, script("step", "touch ready; sleep 60")];
        let line = workshop.experiment(json!({"method": method}));
        let run = workshop.begin(&format!("{line} {manner}"));
        workshop.wait_for("ready");
        workshop.wait_for("beside");
        let began = Instant::now();
        run.signal(Signal::SIGINT);
        let ended = run.ended();
        assert!(began.elapsed() < Duration::from_secs(10), "{manner}: {ended:?}");
        assert_eq!(workshop.journal()["status"], "interrupted", "{manner}");
    }
}

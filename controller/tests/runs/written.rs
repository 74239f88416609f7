//! What is written of a run: its journal, and what is told where it cannot be.

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};

use serde_json::json;

use crate::workshop::{Running, Workshop, is_journal, script};

#[test]
fn a_journal_that_has_no_room_ends_the_run_in_its_rollbacks() {
    let workshop = Workshop::new();
    let flood = script("flood", "head -c 100000 /dev/zero | tr '\\0' x");
    workshop.experiment(json!({
        "method": [flood, script("never", "touch never")],
        "rollbacks": [script("back", "touch back")],
    }));
    let line = "trap '' XFSZ; ulimit -f 20; exec \"$0\" run experiment.json";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_schism")]);
    workshop.settle(&mut command);
    let ended = Running::start(command).ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for expected in ["journal.json is not written: ", "File too large", "rollback: back"] {
        assert!(ended.stderr.contains(expected), "{ended:?}");
    }
    assert!(workshop.path("back").exists() && !workshop.path("never").exists(), "{ended:?}");
    assert!(is_journal(&workshop.path("journal.json")), "what was written before stands");
    assert!(!workshop.path("journal.json.new").exists());
}

#[test]
fn a_journal_is_for_its_owner_and_follows_no_link() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [script("step", "true")]}));
    assert_eq!(workshop.run(line).code, Some(0));
    let mode = std::fs::metadata(workshop.path("journal.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    workshop.write("victim", "whole");
    for link in ["journal.json", "other.json.new"] {
        let _ = std::fs::remove_file(workshop.path(link));
        symlink(workshop.path("victim"), workshop.path(link)).unwrap();
    }
    let ended = workshop.run(line);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let ended = workshop.run(&format!("{line} --journal other.json"));
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert_eq!(workshop.read("victim"), "whole");
}

#[test]
fn events_of_several_runs_stand_in_one_file() {
    let workshop = Workshop::new();
    workshop.experiment(json!({"method": [script("step", "true")]}));
    workshop.write("events", "of an earlier command\n");
    let ended = workshop.run("run experiment.json experiment.json --events events");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let events = workshop.read("events");
    assert_eq!(events.matches("\"type\":\"run-started\"").count(), 2, "{events}");
    assert_eq!(events.matches("\"type\":\"run-finished\"").count(), 2, "{events}");
    assert!(!events.contains("earlier"), "{events}");
}

#[test]
fn events_and_suites_are_of_one_run_while_it_goes_on() {
    let workshop = Workshop::new();
    let outs = "--events events.jsonl --junit suite.xml";
    let line = workshop.experiment(json!({"method": [script("stay", "touch ready; sleep 60")]}));
    let run = workshop.begin(&format!("{line} {outs}"));
    workshop.wait_for("ready");
    std::fs::hard_link(workshop.path("events.jsonl"), workshop.path("hard")).unwrap();
    let line = workshop.experiment(json!({"method": [script("quick", "true")]}));
    for (flag, name) in [
        ("--events", "events.jsonl"),
        ("--events", "hard"),
        ("--junit", "events.jsonl"),
        ("--journal", "events.jsonl"),
        ("--junit", "suite.xml"),
        ("--events", "suite.xml"),
        ("--journal", "suite.xml"),
    ] {
        let before = workshop.read("events.jsonl");
        let more = if flag == "--journal" { "" } else { "--journal other.json" };
        let refused = workshop.run(&format!("{line} {more} {flag} {name}"));
        assert_eq!(refused.code, Some(2), "{flag} {name}: {refused:?}");
        assert!(refused.stderr.contains("a run that goes on writes"), "{flag} {name}: {refused:?}");
        assert_eq!(workshop.read("events.jsonl"), before, "{flag} {name}");
        assert!(!workshop.path("suite.xml").exists(), "{flag} {name}");
    }
    run.signal(nix::sys::signal::Signal::SIGKILL);
    run.ended();
    let next = workshop.run(&format!("{line} {outs}"));
    assert_eq!(next.code, Some(0), "whoever was killed is in nobody's way: {next:?}");
    assert!(workshop.read("suite.xml").contains("quick"));
    assert!(!workshop.path("suite.xml.lock").exists());
}

#[test]
fn events_that_have_no_room_are_told() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [script("step", "true")]}));
    let ended = workshop.run(&format!("{line} --events /dev/full"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("events are not written any more"), "{ended:?}");
}

#[test]
fn a_run_whose_events_are_not_heard_says_so_in_whatever_it_writes() {
    for (manner, code, status) in [("", 1, "failed"), ("--compat", 0, "completed")] {
        let workshop = Workshop::new();
        let line = workshop.experiment(json!({
            "method": [script("step", "mkfifo go; touch ready; read said < go")],
            "rollbacks": [script("back", "touch back")],
        }));
        nix::unistd::mkfifo(&workshop.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let reader = options.read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
        let reader = reader.open(workshop.path("pipe")).unwrap();
        let outs = "--events pipe --junit suite.xml -o json";
        let run = workshop.begin(&format!("{line} {manner} {outs}"));
        workshop.wait_for("ready");
        drop(reader);
        std::fs::write(workshop.path("go"), "on\n").unwrap();
        let ended = run.ended();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let why = "events were not written any more: Broken pipe";
        let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let (run, journal) = (&document["runs"][0], workshop.journal());
        assert_eq!((&run["status"], &journal["status"]), (&json!(status), &json!(status)));
        for reasons in [&run["reasons"], &journal["schism"]["reasons"]] {
            assert!(reasons[0].as_str().unwrap().starts_with(why), "{reasons} {ended:?}");
        }
        assert_eq!(workshop.read("suite.xml").contains(why), code == 1);
        assert!(ended.stderr.contains(&format!("run {status}\n")), "{ended:?}");
        assert!(workshop.path("back").exists(), "it goes on: {ended:?}");
    }
}

#[test]
fn a_run_is_a_document_where_that_is_asked_for() {
    let workshop = Workshop::new();
    let mut probe = script("fine", "true");
    probe["type"] = json!("probe");
    probe["tolerance"] = json!(0);
    let line = workshop.experiment(json!({
        "steady-state-hypothesis": {"title": "h", "probes": [probe]},
        "method": [script("step", "exit 3")],
        "rollbacks": [script("back", "true")],
    }));
    let ended = workshop.run(&format!("{line} --seed 7 -o json"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&document["schema"], &document["exit_code"]), (&json!("schism.run/v1"), &json!(1)));
    let run = &document["runs"][0];
    assert_eq!(
        (&run["file"], &run["status"], &run["seed"]),
        (&json!("experiment.json"), &json!("failed"), &json!(7))
    );
    assert_eq!(
        (&run["steady_state"]["before"], &run["steady_state"]["after"]),
        (&json!(true), &json!(true))
    );
    let steps: Vec<_> = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            (
                step["section"].as_str().unwrap(),
                step["name"].as_str().unwrap(),
                step["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(steps, [("method", "step", "failed"), ("rollbacks", "back", "succeeded")]);
    let error = run["steps"][0]["error"].as_str().unwrap();
    assert!(error.contains("ended with 3"), "{run:#}");
    assert!(run["explanation"].as_str().unwrap().contains("--compat"), "{run:#}");
    let people = workshop.run(line);
    assert_eq!(people.stdout, "", "people are told while it goes on");
    assert!(!people.stderr.contains('\u{1b}'), "plain lines where nobody sits: {people:?}");
}

#[test]
fn a_place_where_nothing_can_be_written_is_told_before_anything_runs() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [script("never", "touch never")]}));
    let ended = workshop.run(&format!("{line} --journal nowhere/journal.json"));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("No such file or directory"), "{ended:?}");
    assert!(!workshop.path("never").exists());
}

#[test]
fn people_are_told_once_what_was_found_and_what_a_program_said() {
    let workshop = Workshop::new();
    let mut looks = script("looks", "echo five");
    looks["type"] = json!("probe");
    looks["tolerance"] = json!({"type": "regex", "target": "stdout", "pattern": "six"});
    let fails = script("fails", "echo first >&2; echo why >&2; echo >&2; exit 3");
    let line = workshop.experiment(json!({"method": [looks, fails]}));
    let ended = workshop.run(line);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let found =
        "found {\"status\":0,\"stdout\":\"five\\n\",\"stderr\":\"\"}, not within its tolerance";
    assert!(ended.stderr.contains(found), "{ended:?}");
    assert!(ended.stderr.contains("): the program ended with 3: why\n"), "{ended:?}");
    let mentions = ended.stderr.lines().filter(|line| line.starts_with("  ✗")).count();
    assert_eq!(mentions, 2, "{ended:?}");
    assert!(!ended.stderr.contains("rollbacks\n"), "there are none: {ended:?}");
}

#[test]
fn nothing_that_a_file_or_a_program_says_moves_a_cursor() {
    let workshop = Workshop::new();
    let fails = script("a\u{1b}[2J\n  ✓ method: forged", "printf '\\033[31mbad\\n' >&2; exit 3");
    let line = workshop.experiment(json!({"title": "t\u{1b}]0;x\u{7}", "method": [fails]}));
    // It asks nobody whether colours are wanted.
    let mut command = workshop.schism(line);
    command.env("CLICOLOR_FORCE", "1");
    let ended = Running::start(command).ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stderr.contains('\u{7}'), "{ended:?}");
    assert!(ended.stderr.contains("a\\u{1b}[2J\\n  ✓ method: forged ("), "{ended:?}");
    assert!(ended.stderr.contains("ended with 3: \\u{1b}[31mbad"), "{ended:?}");
    assert!(!ended.stderr.lines().any(|line| line == "  ✓ method: forged"), "{ended:?}");
}

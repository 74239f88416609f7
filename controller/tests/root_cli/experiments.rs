//! Experiments whose steps are faults, by a command that is its own agent.

use std::fs;
use std::path::{Path, PathBuf};

use lab::clock::BootTime;
use lab::topology::Family;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::machine::{Machine, comes_back, falls_silent};
use crate::running::Running;

fn written(machine: &Machine, name: &str, experiment: &Value) -> PathBuf {
    let path = machine.directory().join(name);
    fs::write(&path, experiment.to_string()).unwrap();
    path
}

/// A cut that is pinged into, with what has to come of it.
fn cut(machine: &Machine, pings: u32, after: Value) -> Value {
    let name = |label| machine.node(label).namespace.name();
    let address = machine.node("b").address(Family::V4).to_string();
    json!({
        "title": "a cut", "description": "what is sent is lost",
        "method": [
            {"type": "action", "name": "cut", "provider": {"type": "schism", "action": "cut",
                "arguments": {"from": format!("netns:{}", name("a")),
                    "to": format!("netns:{}", name("b")), "for": "30s"}, "as": "the-cut"}},
            {"type": "action", "name": "ping", "may-fail": true, "provider": {"type": "process",
                "path": "ip", "arguments": ["netns", "exec", name("a"), "ping", "-n", "-c",
                    pings.to_string(), "-i", "0.2", "-W", "1", address]}},
            after,
        ],
        "rollbacks": [{"type": "action", "name": "back", "provider": {"type": "process",
            "path": "true"}}],
    })
}

fn journal(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_fault_is_a_step_that_is_healed_and_judged() {
    let machine = Machine::pair();
    let lost = json!({"type": "probe", "name": "lost", "provider": {"type": "schism",
        "probe": "effect", "arguments": {"fault": "the-cut"}},
        "tolerance": {"type": "jsonpath", "path": "$.effect", "expect": [true]}});
    let experiment = cut(&machine, 3, lost);
    let path = written(&machine, "cut.json", &experiment);
    let told = machine.directory().join("journal.json");
    let line = format!("run {} --local --journal {}", path.display(), told.display());
    let ended = machine.run(&line);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("the-cut is out: had an effect, lost "), "{ended:?}");
    let journal = journal(&told);
    assert_eq!(journal["status"], "completed", "{journal:#}");
    assert_eq!(journal["rollbacks"][0]["status"], "succeeded", "{journal:#}");
    fs::remove_file(&told).unwrap();
    fs::remove_file(&path).unwrap();
    machine.is_clean();
}

#[test]
fn a_run_that_is_interrupted_or_killed_owes_nothing_in_the_end() {
    let machine = Machine::pair();
    let wait = json!({"type": "action", "name": "wait", "provider": {"type": "process",
        "path": "sleep", "arguments": ["60"]}});
    let path = written(&machine, "wait.json", &cut(&machine, 1, wait));
    let told = machine.directory().join("journal.json");
    let line = format!("run {} --local --journal {}", path.display(), told.display());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let run = machine.begin(&line);
        run.says("method: ping");
        run.signal(signal);
        let ended = run.ended();
        let journal = journal(&told);
        if signal == Signal::SIGKILL {
            assert_eq!(journal["schism"]["unfinished"], true, "{journal:#}");
            let rest = format!(
                "run --local --resume-rollbacks {} --journal {}",
                told.display(),
                told.display()
            );
            let finished = machine.run(&rest);
            assert!(finished.stderr.contains("rollback: back"), "{finished:?}");
            machine.run("residue --remove");
        } else {
            assert_eq!(ended.code, Some(130), "{signal}: {ended:?}");
            assert_eq!(journal["status"], "interrupted", "{journal:#}");
            assert_eq!(journal["rollbacks"][0]["status"], "succeeded", "{journal:#}");
        }
    }
    fs::remove_file(&told).unwrap();
    fs::remove_file(&path).unwrap();
    machine.is_clean();
}

#[test]
fn what_is_no_experiment_is_told_whole_and_nothing_is_touched() {
    let machine = Machine::pair();
    let wrong = json!({"title": "x", "description": "y", "metod": [], "method": [
        {"type": "action", "name": "n", "provider": {"type": "schism", "action": "kut"}}]});
    let path = written(&machine, "wrong.json", &wrong);
    for command in ["run", "validate"] {
        let ended = machine.run(&format!("{command} {}", path.display()));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        for expected in ["did you mean `method`", "kut"] {
            assert!(ended.stderr.contains(expected), "{ended:?}");
        }
    }
    fs::remove_file(&path).unwrap();
    machine.is_clean();
}

#[test]
fn a_run_that_was_killed_is_healed_by_the_next_one_where_its_agent_lives_on() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let stream = machine.stream("a", "b");
    let wait = json!({"type": "action", "name": "wait", "provider": {"type": "process",
        "path": "sleep", "arguments": ["60"]}});
    let path = written(&machine, "wait.json", &cut(&machine, 1, wait));
    let told = machine.directory().join("journal.json");
    let run = machine.begin(&format!("run {}", path.display()));
    run.says("method: ping");
    falls_silent(&stream);
    run.signal(Signal::SIGKILL);
    assert_eq!(run.ended().code, None);
    let id = journal(&told)["schism"]["faults"]["the-cut"]["id"].as_str().unwrap().to_owned();
    assert!(machine.run("status -o name").stdout.contains(&id), "it acts until its lease ends");
    let since = BootTime::now();
    let rest = format!("run --resume-rollbacks {}", told.display());
    let finished = machine.run(&rest);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("fault the-cut is out: had an effect"), "{finished:?}");
    comes_back(&stream, since);
    let again = machine.run(&rest);
    assert_eq!(again.code, Some(2), "{again:?}");
    fs::remove_file(&told).unwrap();
    fs::remove_file(&path).unwrap();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    drop(stream);
    machine.is_clean();
}

#[test]
fn a_run_whose_agent_dies_is_told_and_fails() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let wait = json!({"type": "action", "name": "wait", "provider": {"type": "process",
        "path": "sleep", "arguments": ["2"]}});
    let path = written(&machine, "wait.json", &cut(&machine, 1, wait));
    let told = machine.directory().join("journal.json");
    let run = machine.begin(&format!("run {}", path.display()));
    run.says("method: ping");
    agent.signal(Signal::SIGKILL);
    assert_eq!(agent.ended().code, None);
    run.says("nobody knows how long fault the-cut acts");
    let ended = run.ended();
    assert!(matches!(ended.code, Some(1 | 5)), "{ended:?}");
    assert!(ended.stderr.contains("whoever held the fault `the-cut` was lost"), "{ended:?}");
    fs::remove_file(&told).unwrap();
    fs::remove_file(&path).unwrap();
    machine.run("residue --remove");
    machine.is_clean();
}

#[test]
fn a_fault_that_somebody_else_heals_has_not_run_its_time() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let wait = json!({"type": "action", "name": "wait", "provider": {"type": "process",
        "path": "sh", "arguments": ["-c", "while ! test -e go; do sleep 0.02; done"]}});
    let path = written(&machine, "wait.json", &cut(&machine, 1, wait));
    let (told, go) = (machine.directory().join("journal.json"), machine.directory().join("go"));
    let run = machine.begin(&format!("run {}", path.display()));
    run.says("method: ping");
    let healed = machine.run("heal --all");
    assert_eq!(healed.code, Some(0), "{healed:?}");
    run.says("fault the-cut ended before its time: ");
    run.says("healed by somebody else");
    fs::write(&go, "").unwrap();
    let ended = run.ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(
        journal(&told)["schism"]["reasons"],
        json!(["the fault `the-cut` ended before its time"])
    );
    for path in [told, go, path] {
        fs::remove_file(path).unwrap();
    }
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    machine.is_clean();
}

#[test]
fn a_step_is_repeated_for_targets_as_the_command_line_finds_them() {
    let machine = Machine::pair();
    let name = machine.node("a").namespace.name();
    for (targets, code, said) in [
        (format!("all:netns:{name}"), 0, "method: note".to_owned()),
        (format!("netns:{name}@elsewhere"), 1, "it is on node elsewhere".to_owned()),
        (format!("2:netns:{name}"), 1, "it asks for 2, and there are only 1".to_owned()),
    ] {
        let note = json!({"type": "action", "name": "note",
            "for-each": {"name": "target", "targets": targets},
            "provider": {"type": "process", "path": "test",
                "arguments": ["${target}", "=", format!("netns:{name}")]}});
        let experiment = json!({"title": "each", "description": "d", "method": [note]});
        let path = written(&machine, "each.json", &experiment);
        let ended = machine.run(&format!("run {} --local", path.display()));
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(&said), "{ended:?}");
        fs::remove_file(&path).unwrap();
        fs::remove_file(machine.directory().join("journal.json")).unwrap();
    }
    machine.is_clean();
}

#[test]
fn a_full_disk_under_the_journal_ends_the_run_in_its_rollbacks() {
    let directory = lab::directory::Directory::create("full").unwrap();
    let script = |name: &str, script: &str| {
        json!({"type": "action", "name": name, "provider": {"type": "process", "path": "sh",
            "arguments": ["-c", script]}})
    };
    let experiment = json!({
        "title": "a full disk", "description": "it is told",
        "method": [
            script("flood", "head -c 200000 /dev/zero | tr '\\0' x"),
            script("never", "touch ../never"),
        ],
        "rollbacks": [script("back", "touch ../back")],
    });
    fs::write(directory.path().join("full.json"), experiment.to_string()).unwrap();
    fs::create_dir(directory.path().join("disk")).unwrap();
    let mut command = std::process::Command::new("unshare");
    let line =
        "mount -t tmpfs -o size=64k schism-full disk && cd disk && exec \"$0\" run ../full.json";
    command.args(["-m", "sh", "-c", line, env!("CARGO_BIN_EXE_schism")]);
    let ended = Running::start({
        command.current_dir(directory.path());
        command
    })
    .ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for expected in ["journal.json is not written: No space left on device", "rollback: back"] {
        assert!(ended.stderr.contains(expected), "{ended:?}");
    }
    let exists = |name: &str| directory.path().join(name).exists();
    assert!(exists("back") && !exists("never"), "{ended:?}");
}

//! What real processes write, looked at by experiments.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use lab::process::Process;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::running::PATIENCE;

/// A process of the namespace `a` that says what it is told to by signals, into a file.
struct Speaker(Process);

impl Speaker {
    fn start(machine: &Machine, log: &Path) -> Self {
        let script = "trap 'echo a leader steps down' USR1; echo ready; \
            while :; do sleep 60 & wait $!; done";
        let mut command: Command = machine.node("a").namespace.exec("sh");
        let file = File::options().create(true).append(true).open(log).unwrap();
        command.args(["-c", script]).stdout(file.try_clone().unwrap()).stderr(file);
        let speaker = Self(Process::start(&mut command).unwrap());
        let began = lab::clock::BootTime::now();
        while !fs::read_to_string(log).unwrap().contains("ready") {
            assert!(began.elapsed() < PATIENCE, "it says nothing");
        }
        speaker
    }

    fn steps_down(&self) -> Value {
        json!({"type": "action", "name": "say", "provider": {"type": "process", "path": "kill",
            "arguments": ["-USR1", self.0.id().to_string()]}})
    }
}

fn look(target: &str, since: Value, more: &Value) -> Value {
    let arguments = json!({"target": target, "pattern": "leader", "since": since});
    let mut step = json!({"type": "probe", "name": "look", "as": "look",
        "provider": {"type": "schism", "probe": "logs", "arguments": arguments}});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn shell(script: &str) -> Value {
    json!({"type": "action", "name": "shell", "provider": {"type": "process", "path": "sh",
        "arguments": ["-c", script]}})
}

#[test]
fn what_a_process_has_written_since_a_step_is_found_by_whoever_is_the_agent() {
    let machine = Machine::pair();
    let files = lab::directory::Directory::create("logs").unwrap();
    let file = |name: &str| files.path().join(name);
    let log = file("log");
    let speaker = Speaker::start(&machine, &log);
    let name = format!("netns:{}", machine.node("a").namespace.name());
    let pid = format!("pid:{}", speaker.0.id());
    let since = || json!("${outputs.look}");
    let heard = json!({"retry": {"attempts": 100, "every": 0.05},
        "tolerance": {"type": "jsonpath", "path": "$.count", "expect": [1]}});
    let quiet = json!({"tolerance": {"type": "jsonpath", "path": "$.found", "expect": [false]}});
    let steps = |target: &str| {
        let (log, moved) = (log.display(), file("log.1"));
        json!([
            look(target, json!("now"), &quiet),
            speaker.steps_down(),
            look(target, since(), &heard),
            look(target, since(), &quiet),
            // It writes on into the file that it has.
            shell(&format!("mv {log} {}; ln -s /etc/passwd {log}", moved.display())),
            speaker.steps_down(),
            look(target, since(), &heard),
            shell(&format!("truncate -s 0 {0}; mv {0} {log}", moved.display())),
            look(target, since(), &json!({"may-fail": true})),
        ])
    };
    let agent = machine.daemon();
    for (target, by) in [(&name, ""), (&pid, ""), (&name, " --local")] {
        let experiment = json!({"title": "t", "description": "d", "method": steps(target)});
        fs::write(file("logs.json"), experiment.to_string()).unwrap();
        let line = format!(
            "run {} --journal {}{by}",
            file("logs.json").display(),
            file("journal.json").display()
        );
        let ended = machine.run(&line);
        assert_eq!(ended.code, Some(0), "{target}{by}: {ended:?}");
        let text = fs::read_to_string(file("journal.json")).unwrap();
        let journal: Value = serde_json::from_str(&text).unwrap();
        let why = journal["run"][8]["exception"].to_string();
        assert!(why.contains("a log was emptied since"), "{target}{by}: {journal:#}");
    }
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    drop(speaker);
    machine.is_clean();
}

#[test]
fn a_command_that_is_its_own_agent_reads_nothing_that_a_process_only_points_at() {
    let machine = Machine::pair();
    let files = lab::directory::Directory::create("logs").unwrap();
    let secret = files.path().join("secret");
    fs::write(&secret, "the leader\n").unwrap();
    let read_only = File::open(&secret).unwrap();
    let mut command = machine.node("a").namespace.exec("sleep");
    command.arg("60").stdout(read_only).stderr(std::process::Stdio::null());
    let pointing = Process::start(&mut command).unwrap();
    let target = format!("netns:{}", machine.node("a").namespace.name());
    let experiment = json!({"title": "t", "description": "d",
        "method": [look(&target, Value::Null, &json!({}))]});
    let path = files.path().join("logs.json");
    fs::write(&path, experiment.to_string()).unwrap();
    let journal = files.path().join("journal.json");
    let line = format!("run {} --local --journal {}", path.display(), journal.display());
    let ended = machine.run(&line);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("was not opened to be written to"), "{ended:?}");
    assert!(!ended.stderr.contains("the leader"), "{ended:?}");
    drop(pointing);
    machine.is_clean();
}

//! Clocks of a process, moved by a command that is its own agent.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::machine::Machine;

/// Tells on every line by how many nanoseconds CLOCK_REALTIME is ahead of CLOCK_MONOTONIC.
const TELLER: &str = "
import sys, time
print(time.time_ns() - time.monotonic_ns(), flush=True)
for _ in sys.stdin:
    print(time.time_ns() - time.monotonic_ns(), flush=True)
";

/// A process that tells what its clocks show. It ends with its handle.
struct Teller {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    truth: i64,
    /// What it said before that.
    first: Vec<String>,
}

impl Teller {
    fn start() -> Self {
        Self::running(TELLER, 0)
    }

    /// One that says so many lines first.
    fn running(script: &str, first: usize) -> Self {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stdin = process.stdin.take();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut teller = Self { process, stdin, lines, truth: 0, first: Vec::new() };
        teller.first.extend((0..first).map(|_| teller.lines.next().unwrap().unwrap()));
        teller.truth = teller.line();
        teller
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    fn line(&mut self) -> i64 {
        self.lines.next().unwrap().unwrap().parse().unwrap()
    }

    /// How far its clock is off, to a second.
    fn offset(&mut self) -> i64 {
        writeln!(self.stdin.as_mut().unwrap(), "?").unwrap();
        (self.line() - self.truth + 500_000_000).div_euclid(1_000_000_000)
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait();
    }
}

#[test]
fn a_skew_moves_one_process_until_its_time_is_over_and_says_how_far() {
    let machine = Machine::pair();
    let (mut moved, mut other) = (Teller::start(), Teller::start());
    let line = format!("skew --local pid:{} -90s --for 2s -o json", moved.pid());
    let skew = machine.begin(&line);
    skew.says("lease 2s: realtime -1m30s ±");
    assert_eq!((moved.offset(), other.offset()), (-90, 0));
    let ended = skew.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("end: its time is over"), "{ended:?}");
    assert!(ended.stderr.contains("not moved in any case: system calls"), "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["schema"], "schism.skew/v1", "{report:#}");
    let fault = &report["faults"][0];
    assert_eq!(fault["target"], format!("pid:{}", moved.pid()).as_str(), "{report:#}");
    let clock = &fault["measured"]["clock"];
    assert_eq!(clock["covered"], 1, "{report:#}");
    let reading = &clock["readings"][0];
    let (offset, error) = (reading["offset"].as_i64().unwrap(), reading["error"].as_i64().unwrap());
    assert!((offset + 90_000_000_000).abs() <= error && error < 1_000_000, "{reading:#}");
    assert!(clock["longest_hold"].as_f64().unwrap() > 0.0, "{report:#}");
    assert_eq!(moved.offset(), 0);
    machine.is_clean();
}

#[test]
fn an_interrupted_skew_is_healed_and_told() {
    let machine = Machine::pair();
    let mut moved = Teller::start();
    let skew = machine.begin(&format!("skew --local pid:{} +1h --for 60s", moved.pid()));
    skew.says("lease 15s: realtime +1h ±");
    assert_eq!(moved.offset(), 3_600);
    let status = machine.run("status");
    assert!(status.stdout.contains("clocks realtime +1h  active"), "{status:?}");
    let second = machine.run(&format!("skew pid:{} +2h --for 5s", moved.pid()));
    assert_eq!(second.code, Some(4), "{second:?}");
    assert!(second.stderr.contains("has moved clocks of this target already"), "{second:?}");
    skew.signal(Signal::SIGINT);
    let ended = skew.ended();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stdout.contains("  healed  "), "{ended:?}");
    assert_eq!(moved.offset(), 0);
    machine.is_clean();
}

#[test]
fn a_killed_command_leaves_what_residue_finds_and_takes_back() {
    let machine = Machine::pair();
    let moved = Teller::start();
    let skew = machine.begin(&format!("skew --local pid:{} +1h --for 60s", moved.pid()));
    skew.says("lease 15s: realtime +1h ±");
    let used = machine.run("residue");
    assert_eq!(used.code, Some(0), "{used:?}");
    skew.signal(Signal::SIGKILL);
    assert_eq!(skew.ended().code, None);
    let found = machine.run("residue");
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.contains(&format!("python3 {}", moved.pid())), "{found:?}");
    let mut moved = moved;
    assert_eq!(moved.offset(), 3_600, "its lease goes on");
    machine.run("residue --remove");
    assert_eq!(moved.offset(), 0);
    machine.is_clean();
}

#[test]
fn what_is_no_target_of_a_skew_is_refused() {
    let machine = Machine::pair();
    let table = [
        ("skew --local host:x +1h", 2, "the node's own clock is never moved"),
        ("skew --local pid:1 +1h", 4, "process 1 is the node's own"),
        ("skew --local pid:4194304 +1h", 5, "there is no process 4194304"),
        ("skew --controller unix:/nowhere pid:7 +1h", 5, "cannot reach the controller"),
    ];
    for (line, code, reason) in table {
        let ended = machine.run(line);
        assert_eq!(ended.code, Some(code), "{line}: {ended:?}");
        assert!(ended.stderr.contains(reason), "{line}: {ended:?}");
    }
    machine.is_clean();
}

#[test]
fn a_skew_takes_the_place_of_another_where_that_is_asked_for() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let mut moved = Teller::start();
    let first = machine.run(&format!("skew pid:{} +1h --for 60s --detach", moved.pid()));
    assert_eq!(first.code, Some(0), "{first:?}");
    let line = format!("skew pid:{} -90s --for 60s --detach", moved.pid());
    let refused = machine.run(&line);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("ask for --replace"), "{refused:?}");
    assert_eq!(moved.offset(), 3_600);
    let second = machine.run(&format!("{line} --replace"));
    assert_eq!(second.code, Some(0), "{second:?}");
    let id = first.stdout.trim();
    let note = format!("{id} has moved these clocks already, and is healed first");
    assert!(second.stderr.contains(&note), "{second:?}");
    assert_eq!(moved.offset(), -90);
    let status = machine.run("status -o name");
    assert_eq!(status.stdout.trim(), format!("{}.0", second.stdout.trim()), "{status:?}");
    // With nothing in its place it is like any other.
    assert_eq!(machine.run("heal --all").code, Some(0));
    let third = machine.run(&format!("{line} --replace"));
    assert_eq!((third.code, moved.offset()), (Some(0), -90), "{third:?}");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    assert_eq!(moved.offset(), 0);
    machine.is_clean();
}

#[test]
fn a_step_takes_the_place_of_another_and_is_repeated_for_processes() {
    let machine = Machine::pair();
    let (mut one, mut other) = (Teller::start(), Teller::start());
    let skew = |name: &str, offset: &str, more: Value| {
        let mut arguments = json!({"target": format!("pid:{}", one.pid()), "offset": offset,
            "for": "60s"});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"type": "action", "name": name, "provider": {"type": "schism", "action": "skew",
            "as": name, "arguments": arguments}})
    };
    let mut each = skew("each", "5s", json!({"target": "${process}"}));
    each["for-each"] = json!({"name": "process", "targets": format!("pid:{}", other.pid())});
    let method =
        [skew("first", "1h", json!({})), skew("second", "-90s", json!({"replace": true})), each];
    let experiment = json!({"title": "t", "description": "d", "method": method});
    let path = machine.directory().join("skews.json");
    std::fs::write(&path, experiment.to_string()).unwrap();
    let journal = machine.directory().join("skews-journal.json");
    let line = format!("run {} --local --journal {}", path.display(), journal.display());
    let ended = machine.run(&line);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stderr.contains("has moved these clocks already, and is healed first"),
        "{ended:?}"
    );
    let text = std::fs::read_to_string(&journal).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    let ours = &written["schism"]["faults"];
    assert_eq!(ours["first"]["state"], "ended", "{written:#}");
    assert_eq!(written["run"][1]["output"]["replaced"], json!([ours["first"]["id"]]));
    assert!(written["run"][1]["output"]["faults"][0]["node"].is_string(), "{written:#}");
    assert_eq!((one.offset(), other.offset()), (0, 0));
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(journal).unwrap();
    let shown = machine.run(&format!("targets pid:{} --local -o name", one.pid()));
    assert_eq!((shown.code, shown.stdout.trim()), (Some(0), format!("pid:{}", one.pid()).as_str()));
    machine.is_clean();
}

#[test]
fn nothing_is_ended_for_a_skew_that_cannot_take_its_place() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let (mut one, mut other) = (Teller::start(), Teller::start());
    let settings = tempfile::NamedTempFile::new().unwrap();
    let names = format!("[names]\nboth = [\"pid:{}\", \"pid:{}\"]\n", one.pid(), other.pid());
    std::fs::write(settings.path(), names).unwrap();
    let both = |line: &str| {
        let config = settings.path().display();
        machine.run(&format!("--config {config} skew both {line} --for 60s --detach"))
    };
    let first = both("+1h");
    assert_eq!(first.code, Some(0), "{first:?}");
    // It would end in the other process as well.
    let line = format!("skew pid:{} -90s --for 60s --detach --replace", one.pid());
    let refused = machine.run(&line);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("it has moved other clocks as well"), "{refused:?}");
    assert_eq!((one.offset(), other.offset()), (3_600, 3_600));
    let second = both("-90s --replace");
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!((one.offset(), other.offset()), (-90, -90));

    assert_eq!(machine.run("heal --all").code, Some(0));
    let skewed = machine.run(&format!("skew pid:{} +1h --for 60s --detach", one.pid()));
    let frozen = machine.run(&format!("freeze pid:{} --for 60s --detach", other.pid()));
    assert_eq!((skewed.code, frozen.code), (Some(0), Some(0)), "{skewed:?} {frozen:?}");
    let refused = both("-90s --replace");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("has frozen this target"), "{refused:?}");
    assert_eq!(one.offset(), 3_600, "it goes on");
    assert_eq!(machine.run("heal --all").code, Some(0));
    assert_eq!((one.offset(), other.offset()), (0, 0));
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    machine.is_clean();
}

/// A process that tells what its clocks show, and has a child that ends with it.
const PARENT: &str = "
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE)
print(child.pid, flush=True)
";

#[test]
fn a_child_that_is_frozen_keeps_no_skew_of_its_tree_from_being_replaced() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let mut moved = Teller::running(&format!("{PARENT}{TELLER}"), 1);
    let child = moved.first[0].clone();
    let line =
        |offset: &str| format!("skew pid:{} {offset} --tree --for 60s --detach", moved.pid());
    let (first, second) = (line("+1h"), line("-90s --replace"));
    let first = machine.run(&first);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stderr.contains("in 2 processes"), "{first:?}");
    let frozen = machine.run(&format!("freeze pid:{child} --for 60s --detach"));
    assert_eq!(frozen.code, Some(0), "{frozen:?}");
    let second = machine.run(&second);
    assert_eq!(second.code, Some(0), "{second:?}");
    let told = format!("{}.0: not taken out: ", first.stdout.trim());
    assert!(second.stderr.contains(&told), "{second:?}");
    assert!(second.stderr.contains(&format!("process {child}: ")), "{second:?}");
    assert_eq!(moved.offset(), -90);
    // A heal of a skew that is not out whole says what that means.
    let third = machine.run(&format!("heal {}", second.stdout.trim()));
    assert!(!third.stderr.contains("lease's end"), "{third:?}");
    assert_eq!(moved.offset(), 0);
    assert_eq!(machine.run("heal --all").code, Some(0));
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    machine.run("residue --remove");
    machine.is_clean();
}

#[test]
fn a_dry_run_of_a_skew_touches_nothing() {
    let machine = Machine::pair();
    let mut moved = Teller::start();
    let ended = machine.run(&format!("skew --local pid:{} +1h --dry-run", moved.pid()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("put a detour for realtime into the vDSO"), "{ended:?}");
    assert!(ended.stdout.ends_with("dry run: nothing was touched\n"), "{ended:?}");
    assert_eq!(moved.offset(), 0);
    machine.is_clean();
}

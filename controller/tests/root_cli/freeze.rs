//! Processes that stand still by a command that is its own agent.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::Signal;

use crate::machine::Machine;

/// Says a line now, and one more whenever SIGUSR1 comes.
const SPEAKER: &str = "
import signal
signal.signal(signal.SIGUSR1, lambda *_: print('here', flush=True))
print('begun', flush=True)
while True: signal.pause()
";

/// A process that answers a signal. It is killed with its handle.
struct Speaker {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Speaker {
    fn start() -> Self {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", SPEAKER]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut speaker = Self { process, lines };
        assert_eq!(speaker.line(), "begun");
        speaker
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn signal(&self) {
        let pid = nix::unistd::Pid::from_raw(self.pid().cast_signed());
        nix::sys::signal::kill(pid, Signal::SIGUSR1).unwrap();
    }

    fn is_held(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        status.lines().any(|line| line.starts_with("State:\tt"))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_freeze_holds_a_process_until_its_time_is_over_and_says_for_how_long() {
    let machine = Machine::pair();
    let mut speaker = Speaker::start();
    let freeze = machine.begin(&format!("freeze --local pid:{} --for 2s -o json", speaker.pid()));
    freeze.says("stands still, for 2s, lease 2s: 1 thread stands still, in 1 process");
    assert!(speaker.is_held());
    speaker.signal();
    assert!(speaker.is_held());
    assert_eq!(speaker.line(), "here", "the signal arrives when it is over");
    let ended = freeze.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("end: its time is over"), "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["schema"], "schism.freeze/v1", "{report:#}");
    let frozen = &report["faults"][0]["measured"]["freeze"];
    assert_eq!((&frozen["threads"], &frozen["stopped"]), (&1.into(), &1.into()), "{report:#}");
    let held = frozen["held"].as_f64().unwrap();
    assert!((1.5..=2.0).contains(&held), "{report:#}");
    machine.is_clean();
}

#[test]
fn an_interrupted_freeze_lets_go_and_is_told() {
    let machine = Machine::pair();
    let mut speaker = Speaker::start();
    let freeze = machine.begin(&format!("freeze --local pid:{} --for 60s", speaker.pid()));
    freeze.says("lease 15s: 1 thread stands still");
    let status = machine.run("status");
    assert!(status.stdout.contains("stands still"), "{status:?}");
    for (line, reason) in [
        (format!("freeze pid:{} --for 5s", speaker.pid()), "has frozen this target already"),
        (format!("skew pid:{} +1h --for 5s", speaker.pid()), "clocks are moved in processes"),
    ] {
        let second = machine.run(&line);
        assert_eq!(second.code, Some(4), "{second:?}");
        assert!(second.stderr.contains(reason), "{second:?}");
    }
    speaker.signal();
    freeze.signal(Signal::SIGINT);
    assert_eq!(speaker.line(), "here");
    let ended = freeze.ended();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stdout.contains("  healed  "), "{ended:?}");
    machine.is_clean();
}

#[test]
fn a_killed_command_lets_go_at_once_and_leaves_nothing() {
    let machine = Machine::pair();
    let mut speaker = Speaker::start();
    let freeze = machine.begin(&format!("freeze --local pid:{} --for 60s", speaker.pid()));
    freeze.says("lease 15s: 1 thread stands still");
    speaker.signal();
    freeze.signal(Signal::SIGKILL);
    assert_eq!(speaker.line(), "here");
    assert_eq!(freeze.ended().code, None);
    machine.run("residue --remove");
    machine.is_clean();
}

#[test]
fn what_is_no_target_of_a_freeze_is_refused() {
    let machine = Machine::pair();
    let table = [
        ("freeze --local host:x", 2, "a whole node is never frozen"),
        ("freeze --local pid:1", 4, "process 1 is the node's own"),
        ("freeze --local pid:4194304", 5, "there is no process 4194304"),
    ];
    for (line, code, reason) in table {
        let ended = machine.run(line);
        assert_eq!(ended.code, Some(code), "{line}: {ended:?}");
        assert!(ended.stderr.contains(reason), "{line}: {ended:?}");
    }
    machine.is_clean();
}

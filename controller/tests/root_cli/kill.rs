//! Processes that are ended or loaded by a command that is its own agent.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::machine::Machine;

/// A process that something is done to. It is killed and reaped with its handle.
struct Victim(Child);

impl Victim {
    fn of(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        Self(command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_kill_returns_when_its_target_has_ended() {
    let machine = Machine::pair();
    let mut victim = Victim::of("/bin/sleep", &["60"]);
    let ended = machine.run(&format!("kill --local pid:{} -o json", victim.pid()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["schema"], &report["ended"]), (&"schism.kill/v1".into(), &"done".into()));
    let effect = &report["faults"][0]["measured"]["kill"];
    assert_eq!((&effect["ended"], &effect["forced"]), (&1.into(), &0.into()), "{report:#}");
    assert!(victim.has_ended());
    // However soon it is over: no renewal that comes too late is taken for a loss.
    for _ in 0..8 {
        let mut victim = Victim::of("/bin/sleep", &["60"]);
        let ended = machine.run(&format!("kill --local pid:{} -o name -s KILL", victim.pid()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(victim.has_ended());
    }
    machine.is_clean();
}

#[test]
fn a_signal_that_nobody_heeds_has_no_effect_and_says_so() {
    let machine = Machine::pair();
    let mut deaf = Victim::of("/bin/sh", &["-c", "trap '' TERM; while :; do sleep 0.1; done"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let kill = machine.begin(&format!("kill --local pid:{} --no-force", deaf.pid()));
    kill.says("0 of 1 process ended; 1 let the signal pass");
    kill.signal(Signal::SIGINT);
    let ended = kill.ended();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stderr.contains("so it had no effect"), "{ended:?}");
    let forced = machine.run(&format!("kill --local pid:{} --grace 200ms", deaf.pid()));
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(deaf.has_ended(), "{forced:?}");
    machine.is_clean();
}

#[test]
fn a_load_takes_processor_time_until_its_time_is_over() {
    let machine = Machine::pair();
    let victim = Victim::of("/bin/sleep", &["60"]);
    let line = format!("stress --local pid:{} --cpu 1 --memory 16MiB --for 2s", victim.pid());
    let stress = machine.begin(&line);
    stress.says("cpu 1, memory 16MiB, for 2s, lease 2s: ");
    let status = machine.run("status");
    assert!(status.stdout.contains("cpu 1, memory 16MiB"), "{status:?}");
    let ended = stress.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains(" of 16.7 MB held"), "{ended:?}");
    machine.is_clean();
}

#[test]
fn what_is_no_target_of_a_kill_or_a_load_is_refused() {
    let machine = Machine::pair();
    let table = [
        ("kill --local host:x", 2, "nobody kills a whole node"),
        ("kill --local pid:1", 4, "process 1 is the node's own"),
        ("kill --local pid:1 --signal STOP", 2, "freeze the processes instead"),
        ("kill --local pid:4194304", 5, "there is no process 4194304"),
        ("stress --local pid:1", 2, "required"),
        ("stress --local pid:1 --cpu 1", 4, "process 1 is the node's own"),
        ("stress --local netns:x --cpu 1", 2, "several control groups"),
        ("stress --local pid:1 --memory 0", 2, "write a size"),
        ("stress --local pid:1 --memory 50", 2, "50MiB"),
    ];
    for (line, code, reason) in table {
        let ended = machine.run(line);
        assert_eq!(ended.code, Some(code), "{line}: {ended:?}");
        assert!(ended.stderr.contains(reason), "{line}: {ended:?}");
    }
    machine.is_clean();
}

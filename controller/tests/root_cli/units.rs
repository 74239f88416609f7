//! The agent as `deploy/systemd/schism-agent.service` starts it: with these capabilities and system calls,
//! and no others. systemd itself need not run here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lab::clock::BootTime;
use lab::process::Process;
use nix::sys::signal::Signal;

use crate::machine::{Machine, comes_back, falls_silent};
use crate::running::{PATIENCE, Running};

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd").join(name)
}

/// What the unit says under this key, word by word.
fn says(key: &str) -> Vec<String> {
    lines(key).concat()
}

/// The words of each line.
fn lines(key: &str) -> Vec<Vec<String>> {
    let unit = fs::read_to_string(deployed("schism-agent.service")).unwrap();
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// `schism-agent` as root, bounded to these capabilities.
fn bounded(capabilities: &[String], program: &[&str]) -> Command {
    let names = capabilities.iter().map(|name| name.to_lowercase().replace("cap_", "+"));
    let bounds: Vec<String> = ["-all".to_owned()].into_iter().chain(names).collect();
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={}", bounds.join(",")));
    command.args(["--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs", "--"]);
    command.args(program);
    command
}

fn effective(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

/// Cuts in every way that needs another kind of access, and heals.
fn exercise(machine: &Machine) {
    // Somebody else's process, whose namespace is found through /proc.
    let mut sleeper = Command::new("ip");
    sleeper.args(["netns", "exec", machine.node("b").namespace.name()]);
    sleeper.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"]);
    let sleeper = Process::start(&mut sleeper).unwrap();
    let since = Instant::now();
    let user = || fs::read_to_string(format!("/proc/{}/status", sleeper.id())).unwrap();
    while !user().contains("Uid:\t65534") {
        assert!(since.elapsed() < PATIENCE);
    }
    let stream = machine.stream("a", "b");
    for line in [
        "cut @a @b --for 60s --detach".to_owned(),
        format!("cut @a pid:{} --for 60s --detach", sleeper.id()),
        // Reads who opened the flows that stand, through sock_diag in the target.
        "cut @a @b --mode initiator --for 60s --detach".to_owned(),
        "cut @a @b --enforce sender --for 60s --detach".to_owned(),
    ] {
        let cut = machine.run(&line);
        assert_eq!(cut.code, Some(0), "{line}: {cut:?}");
        falls_silent(&stream);
        let since = BootTime::now();
        let healed = machine.run("heal --all");
        assert_eq!(healed.code, Some(0), "{line}: {healed:?}");
        comes_back(&stream, since);
    }
    let proven = machine.run("cut @a @b --for 1s --prove");
    assert_eq!(proven.code, Some(0), "{proven:?}");
    drop(stream);
    sleeper.stop().unwrap();
}

/// A process of somebody who is no friend of the agent's.
fn of_another_user() -> lab::process::Process {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"]);
    lab::process::Process::start(&mut command).unwrap()
}

fn exercise_processes(machine: &Machine) {
    let sleeper = of_another_user();
    for line in ["stress pid:PID --cpu 1@20% --for 1s", "freeze pid:PID --for 1s", "kill pid:PID"] {
        let done = machine.run(&line.replace("PID", &sleeper.id().to_string()));
        assert_eq!(done.code, Some(0), "{line}: {done:?}");
    }
    // It has ended.
    let _ = sleeper.stop();
}

#[test]
fn the_agent_cuts_with_the_capabilities_of_its_unit() {
    let machine = Machine::pair();
    let capabilities = says("CapabilityBoundingSet");
    let agent = machine.daemon_by(|program| bounded(&capabilities, &[program]));
    assert_eq!(effective(agent.id()).count_ones() as usize, capabilities.len());
    exercise(&machine);
    exercise_processes(&machine);
    let doctor = machine.run("doctor -o json");
    assert!(!doctor.stdout.contains("without CAP_"), "{doctor:?}");
    agent.signal(Signal::SIGTERM);
    let ended = agent.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("Operation not permitted"), "{ended:?}");
    machine.is_clean();
}

#[test]
fn without_any_one_of_them_it_says_which_before_anything_is_touched() {
    let machine = Machine::pair();
    let all = says("CapabilityBoundingSet");
    assert!(!all.is_empty());
    for missing in &all {
        let rest: Vec<String> = all.iter().filter(|one| *one != missing).cloned().collect();
        // Without these it cuts all the same.
        if ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"].contains(&missing.as_str()) {
            let agent = machine.daemon_by(|program| bounded(&rest, &[program]));
            let sleeper = of_another_user();
            let (line, reason) = match missing.as_str() {
                "CAP_KILL" => ("kill pid:PID", "takes CAP_KILL"),
                _ => ("stress pid:PID --cpu 1 --for 1s", "give up privileges"),
            };
            let refused = machine.run(&line.replace("PID", &sleeper.id().to_string()));
            assert_eq!(refused.code, Some(4), "{missing}: {refused:?}");
            assert!(refused.stderr.contains(reason), "{missing}: {refused:?}");
            agent.signal(Signal::SIGTERM);
            assert_eq!(agent.ended().code, Some(0), "{missing}");
            continue;
        }
        let agent = machine.start_daemon(|program| bounded(&rest, &[program])).ended();
        assert_eq!(agent.code, Some(1), "{missing}: {agent:?}");
        assert!(agent.stderr.contains(missing.as_str()), "{missing}: {agent:?}");
        assert!(fs::read_dir(machine.directory()).unwrap().next().is_none(), "{missing}");
    }
}

#[test]
fn the_agent_makes_no_system_call_that_its_unit_forbids() {
    let machine = Machine::pair();
    let trace = machine.directory().join("trace");
    let capabilities = says("CapabilityBoundingSet");
    let out = trace.display().to_string();
    let agent = machine.daemon_by(|program| {
        bounded(&capabilities, &["strace", "-f", "-qq", "-e", "signal=none", "-o", &out, program])
    });
    exercise(&machine);
    // strace passes it on to nobody: the agent is its only child.
    let children = format!("/proc/{0}/task/{0}/children", agent.id());
    let child = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), Signal::SIGTERM).unwrap();
    assert_eq!(agent.ended().code, Some(0));
    let calls: BTreeSet<String> = fs::read_to_string(&trace)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once('('))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    assert!(calls.contains("bpf") && calls.contains("setns"), "{calls:?}");
    let allowed = allowed(&lines("SystemCallFilter"));
    // execve is made by whoever starts it, before the filter counts for it.
    let forbidden: Vec<_> = calls.difference(&allowed).filter(|name| *name != "execve").collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    fs::remove_file(trace).unwrap();
    machine.is_clean();
}

/// The system calls of a SystemCallFilter=, whose words are names, groups, and what is taken out again.
fn allowed(filter: &[Vec<String>]) -> BTreeSet<String> {
    let mut allowed = group("@default");
    for line in filter {
        // One that begins with ~ takes out all that it names.
        let takes_out = line.iter().any(|word| word.starts_with('~'));
        for word in line {
            let named = group(word.trim_start_matches('~'));
            if takes_out {
                allowed.retain(|call| !named.contains(call));
            } else {
                allowed.extend(named);
            }
        }
    }
    allowed
}

fn group(word: &str) -> BTreeSet<String> {
    if !word.starts_with('@') {
        return [word.to_owned()].into();
    }
    let listed = Command::new("systemd-analyze").args(["syscall-filter", word]).output().unwrap();
    assert!(listed.status.success(), "{word}: {listed:?}");
    let text = String::from_utf8(listed.stdout).unwrap();
    let members = text.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#'));
    members.filter(|line| !line.is_empty()).flat_map(group).collect()
}

#[test]
fn the_agent_tells_its_supervisor_when_it_serves_lives_and_ends() {
    let machine = Machine::pair();
    let directory = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hears = || {
        let mut bytes = [0; 256];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).trim().to_owned()
    };
    let agent: Running = machine.start_daemon(|program| {
        let mut command = Command::new(program);
        command.env("NOTIFY_SOCKET", directory.path().join("notify"));
        command.env("WATCHDOG_USEC", "300000");
        command
    });
    assert_eq!(hears(), "READY=1");
    let status = machine.run("status");
    assert_eq!(status.code, Some(0), "ready is served: {status:?}");
    let since = Instant::now();
    for _ in 0..4 {
        assert_eq!(hears(), "WATCHDOG=1");
    }
    assert!(since.elapsed() < Duration::from_secs(3), "several times within the watchdog's time");
    agent.signal(Signal::SIGTERM);
    let mut last = hears();
    while last == "WATCHDOG=1" {
        last = hears();
    }
    assert_eq!(last, "STOPPING=1");
    assert_eq!(agent.ended().code, Some(0));
    machine.is_clean();
}

#[test]
fn the_units_are_what_systemd_understands_and_closed_as_far_as_they_can_be() {
    let directory = tempfile::tempdir().unwrap();
    // Tenths of at most 10, as `systemd-analyze security` counts; the agent's are its capabilities, its view of
    // other processes, of control groups and of the network, which are what it is for.
    for (unit, most) in [("schism-agent.service", 37), ("schism-controller.service", 15)] {
        let text = fs::read_to_string(deployed(unit)).unwrap();
        // Programs that are here.
        let text = text.replace("/usr/bin/schism-agent", "/bin/true");
        let text = text.replace("/usr/bin/schism ", "/bin/true ");
        let path = directory.path().join(unit);
        fs::write(&path, text).unwrap();
        let analyze = |arguments: &[&str]| {
            let mut command = Command::new("systemd-analyze");
            command.args(arguments).arg(&path);
            command.output().unwrap()
        };
        let verified = analyze(&["verify", "--man=no", "--recursive-errors=no"]);
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && !said.contains(unit), "{said}");
        let threshold = format!("--threshold={most}");
        let rated = analyze(&["security", "--offline=true", "--no-pager", &threshold]);
        assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
    }
}

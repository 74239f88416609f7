//! Processes in other places: time namespaces, stopped ones, forks.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use agent::kernel::clock::skewed::{ClockError, Restored};
use agent::kernel::clock::subject::Refusal;
use agent::kernel::process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{HOUR, Rig, ahead, nanos, now};
use crate::witness::Witness;

const LEASE: Duration = Duration::from_secs(15);

#[test]
fn a_time_namespace_of_its_own() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let unshare = ["unshare", "--time", "--monotonic=-1000", "--boottime=86400"];
    let mut witness = Witness::start(2, nanos(HOUR), &unshare);
    let mut skewed = workshop.put_in(witness.process(), &ahead(HOUR)).unwrap();
    let end = now() + Duration::from_secs(2);
    skewed.begin(now(), end).unwrap();
    witness.assert_offset(HOUR);
    let probed = workshop.probe(&skewed, libc::CLOCK_REALTIME).unwrap();
    assert!((probed.offset - nanos(HOUR)).abs() <= probed.error, "{probed:?}");
    // By the namespace's clocks the lease would have ended long ago, or go on for a day.
    while witness.ask().offset != 0 && now() < end + Duration::from_secs(1) {
        if witness.ask().offset.abs() < 1_000_000 {
            break;
        }
    }
    assert!(now() + Duration::from_millis(12) > end);
    assert_eq!(workshop.heal(skewed).unwrap(), Restored::Whole);
    rig.assert_untouched(witness.pid());
    witness.finish();
}

#[test]
fn a_user_namespace_of_its_own() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let unshare = ["unshare", "--user", "--map-root-user"];
    let mut witness = Witness::start(2, nanos(HOUR), &unshare);
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    assert_ne!(fs::read_link(format!("/proc/{}/ns/user", witness.pid())).unwrap(), own);
    let mut skewed = workshop.put_in(witness.process(), &ahead(HOUR)).unwrap();
    skewed.begin(now(), now() + LEASE).unwrap();
    witness.assert_offset(HOUR);
    let probed = workshop.probe(&skewed, libc::CLOCK_REALTIME).unwrap();
    assert!((probed.offset - nanos(HOUR)).abs() <= probed.error, "{probed:?}");
    assert_eq!(workshop.heal(skewed).unwrap(), Restored::Whole);
    rig.assert_untouched(witness.pid());
    witness.finish();
}

fn state(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("State:\t")).unwrap().to_owned()
}

#[test]
fn what_is_stopped_stays_stopped() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let mut witness = Witness::start(4, nanos(HOUR), &[]);
    let pid = Pid::from_raw(i32::try_from(witness.pid()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    while !state(witness.pid()).starts_with('T') {
        std::thread::yield_now();
    }
    let mut skewed = workshop.put_in(witness.process(), &ahead(HOUR)).unwrap();
    // It runs for a moment, inside the kernel, to stop again.
    let until = now() + Duration::from_secs(10);
    while !state(witness.pid()).starts_with('T') {
        assert!(now() < until, "it goes on");
        std::thread::yield_now();
    }
    skewed.begin(now(), now() + LEASE).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    witness.assert_offset(HOUR);
    assert_eq!(workshop.heal(skewed).unwrap(), Restored::Whole);
    witness.finish();
}

#[test]
fn a_traced_process_is_left_alone() {
    let rig = Rig::new();
    let witness = Witness::start(1, 0, &[]);
    let pid = Pid::from_raw(i32::try_from(witness.pid()).unwrap());
    nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
    let refused = rig.workshop().put_in(witness.process(), &ahead(HOUR)).unwrap_err();
    // The thread that does it.
    let own = nix::unistd::gettid().as_raw().unsigned_abs();
    assert!(
        matches!(refused, ClockError::Refused(Refusal::Traced { tracer, .. }) if tracer == own),
        "{refused}"
    );
    assert!(rig.records().all().unwrap().is_empty());
}

#[test]
fn a_kernel_thread_has_no_clock_of_ours() {
    let rig = Rig::new();
    let kthreadd = process::identity(2).unwrap();
    let refused = rig.workshop().put_in(kthreadd, &ahead(HOUR)).unwrap_err();
    assert!(matches!(refused, ClockError::Refused(_)), "{refused}");
}

#[test]
fn another_process_with_that_pid_is_left_alone() {
    let rig = Rig::new();
    let witness = Witness::start(1, 0, &[]);
    let mut other = witness.process();
    other.started += 1;
    let refused = rig.workshop().put_in(other, &ahead(HOUR)).unwrap_err();
    assert!(matches!(refused, ClockError::Refused(Refusal::Gone(_))), "{refused}");
    rig.assert_untouched(witness.pid());
    witness.finish();
}

/// On any line it forks, and the child answers from then on; on `exec` it executes itself anew.
const FORKING: &str = r"
import os, sys, time
def tell():
    print(os.getpid(), time.time_ns() - time.monotonic_ns(), flush=True)
tell()
while True:
    word = os.read(0, 64).strip()
    if not word:
        sys.exit()
    if word == b'exec':
        os.execv('/usr/bin/python3', ['python3', '-c', os.environ['FORKING']])
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        sys.exit()
    tell()
";

#[test]
fn a_fork_has_it_and_an_exec_has_not() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let mut parent = Command::new("/usr/bin/python3")
        .args(["-c", FORKING])
        .env("FORKING", FORKING)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = parent.stdin.take().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let mut told = || {
        let line = lines.next().unwrap().unwrap();
        let (pid, apart) = line.split_once(' ').unwrap();
        (pid.parse::<u32>().unwrap(), apart.parse::<i64>().unwrap())
    };
    let is_near = |one: i64, other: i64| (one - other).abs() < 1_000_000_000;

    let (pid, truth) = told();
    let mut of_parent = workshop.put_in(process::identity(pid).unwrap(), &ahead(HOUR)).unwrap();
    of_parent.begin(now(), now() + LEASE).unwrap();
    stdin.write_all(b"fork\n").unwrap();
    let (child, skewed) = told();
    assert_ne!(child, pid);
    assert!(is_near(skewed, truth + nanos(HOUR)), "a copy of everything");

    // It is taken over, renewed and ended by itself.
    let child = process::identity(child).unwrap();
    let mut of_child = workshop.join(child, &of_parent).unwrap();
    of_parent.end().unwrap();
    of_child.renew(now() + LEASE).unwrap();
    stdin.write_all(b"fork\n").unwrap();
    let (grandchild, skewed) = told();
    assert!(is_near(skewed, truth + nanos(HOUR)), "its own parameters");
    assert_eq!(workshop.heal(of_parent).unwrap(), Restored::Whole);
    assert_eq!(workshop.heal(of_child).unwrap(), Restored::Whole);

    // What executes another program has a new vDSO.
    let grandchild = process::identity(grandchild).unwrap();
    let restoring = workshop.put_in(grandchild, &ahead(HOUR)).unwrap_err();
    assert!(matches!(restoring, ClockError::Refused(Refusal::Skewed(_))), "{restoring}");
    // Nobody followed it, but what it has is known.
    let record = workshop.claim(grandchild).unwrap().unwrap();
    assert_eq!(workshop.restore(&record).unwrap(), Restored::Whole);
    rig.assert_untouched(grandchild.pid);
    assert!(workshop.claim(grandchild).unwrap().is_none());
    stdin.write_all(b"exec\n").unwrap();
    let (same, true_again) = told();
    assert_eq!(same, grandchild.pid);
    assert!(is_near(true_again, truth));
    let mut again = workshop.put_in(grandchild, &ahead(HOUR)).unwrap();
    again.begin(now(), now() + LEASE).unwrap();
    stdin.write_all(b"exec\n").unwrap();
    assert!(is_near(told().1, truth));
    assert!(again.renew(now() + LEASE).unwrap_err().is_gone());
    assert_eq!(workshop.heal(again).unwrap(), Restored::Gone);
    rig.assert_untouched(grandchild.pid);
    drop(stdin);
    parent.wait().unwrap();
}

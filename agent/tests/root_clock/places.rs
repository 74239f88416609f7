//! Processes in other places: time namespaces, stopped ones, forks.

use std::fs;
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

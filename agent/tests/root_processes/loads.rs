//! Loads: what they take of what the target may have, and that they end.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fault::{Drift, Gone, Kind, Measured, State, Status, Stress, StressEffect};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::group::Group;
use crate::rig::{Daemon, Node};

fn stress(cpu: &str, memory: &str, io: u16) -> Kind {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Kind::Stress(Stress {
        cpu: some(cpu).map(|text| text.parse().unwrap()),
        memory: some(memory).map(|text| text.parse().unwrap()),
        io: io.try_into().ok(),
    })
}

fn effect(status: &Status) -> StressEffect {
    match &status.measured {
        Some(Measured::Stress(effect)) => effect.clone(),
        Some(_) | None => panic!("nothing was measured: {status:?}"),
    }
}

/// Who of a group is ours.
fn worker(group: &Group) -> Option<u32> {
    let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    group.members().into_iter().find(|pid| name(pid).trim() == "schism-worker")
}

async fn until(
    node: &Node,
    status: &Status,
    wished: impl Fn(&StressEffect) -> bool,
) -> StressEffect {
    effect(&node.until(status.fault.id, |status| wished(&effect(status))).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_stays_within_the_targets_own_limits() {
    let node = Node::start();
    // A fifth of a processor, and 64 MiB.
    let group = Group::new(20, 64 << 20);
    let mut shell = group.shell("sleep 60");
    group.until(2);
    let selector = format!("container:{}", group.id);
    let fault = node.fault(&selector, stress("2", "25%", 0));
    let status = node.begin(fault).await;
    assert_eq!(status.state, State::Active, "{status:?}");
    let worker = worker(&group).expect("it is in the target's group");
    let of_worker = |file: &str| fs::read_to_string(format!("/proc/{worker}/{file}")).unwrap();
    assert!(of_worker("status").contains("Uid:\t65534\t65534\t65534\t65534"));
    assert!(of_worker("status").contains("CapEff:\t0000000000000000"));
    assert_eq!(of_worker("oom_score_adj").trim(), "1000");
    let took = until(&node, &status, |took| took.lasted > Duration::from_secs(2)).await;
    let processors = took.cpu.as_secs_f64() / took.lasted.as_secs_f64();
    assert!(processors > 0.1 && processors < 0.3, "{took:?}");
    assert_eq!(took.memory_asked, 16 << 20);
    assert!(took.memory >= 15 << 20 && took.memory <= 17 << 20, "{took:?}");
    let healed = node.heal(status.fault.id).await;
    assert!(healed.state == State::Healed && healed.happened(), "{healed:?}");
    assert_eq!(group.members().len(), 2, "nobody is left but who was there");
    assert!(shell.lives(), "the target goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_a_processor_and_a_disk_are_taken() {
    let node = Node::start();
    let group = Group::new(200, 1 << 30);
    let shell = group.shell("exec sleep 60");
    group.until(1);
    let selector = shell.selector();
    let before: Vec<PathBuf> = files();
    let status = node.begin(node.fault(&selector, stress("1@30%", "", 1))).await;
    let took = until(&node, &status, |took| {
        took.lasted > Duration::from_secs(2) && took.read >= 1 << 20 && took.written >= 64 << 20
    });
    let took = took.await;
    let processors = took.cpu.as_secs_f64() / took.lasted.as_secs_f64();
    // Writing takes some, too.
    assert!(processors > 0.15 && processors < 1.3, "{took:?}");
    assert_eq!(files(), before, "the file has no name");
    assert!(node.heal(status.fault.id).await.happened());
}

fn files() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir("/var/tmp").unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_ends_with_its_lease_its_agent_and_its_target() {
    let group = Group::new(200, 1 << 30);
    for end in ["lease of a stopped worker", "agent", "target"] {
        let mut daemon = Daemon::start();
        let mut shell = group.shell("exec sleep 60");
        group.until(1);
        let lease = Duration::from_millis(if end.starts_with("lease") { 1_000 } else { 30_000 });
        let began = Instant::now();
        let selector = shell.selector();
        let status = daemon.begin(&selector, stress("1@10%", "", 0), lease).await;
        assert!(status.happened(), "{status:?}");
        let pid = Pid::from_raw(worker(&group).unwrap().cast_signed());
        match end {
            "agent" => daemon.kill(),
            "target" => {
                shell.0.kill().unwrap();
                shell.0.wait().unwrap();
            }
            _ => {
                kill(pid, Signal::SIGSTOP).unwrap();
                daemon.stop();
            }
        }
        // What ends and has a stopped parent is listed until that takes note, but is in no group.
        let left = if end == "target" { 0 } else { 1 };
        group.until(left);
        assert!(began.elapsed() < Duration::from_secs(5), "{end}: {:?}", began.elapsed());
        drop(daemon);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_somebody_kills_is_told() {
    let node = Node::start();
    let group = Group::new(200, 1 << 30);
    let shell = group.shell("exec sleep 60");
    group.until(1);
    let fault = node.fault(&shell.selector(), stress("1@10%", "", 0));
    let id = node.begin(fault).await.fault.id;
    let pid = Pid::from_raw(worker(&group).unwrap().cast_signed());
    kill(pid, Signal::SIGKILL).unwrap();
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert_eq!((ended.state, &ended.drifts[..]), (State::Failed, &[Drift::HolderEnded][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_more_memory_than_there_may_be_is_the_first_to_go() {
    let node = Node::start();
    let group = Group::new(200, 32 << 20);
    let mut shell = group.shell("exec sleep 60");
    group.until(1);
    let fault = node.fault(&shell.selector(), stress("", "64MiB", 0));
    let id = node.begin(fault).await.fault.id;
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert_eq!((ended.state, &ended.drifts[..]), (State::Failed, &[Drift::OutOfMemory][..]));
    assert!(!ended.stays() && shell.lives(), "the target goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_loads_of_one_container_end_with_its_last_process() {
    let node = Node::start();
    let group = Group::new(200, 1 << 30);
    let mut shell = group.shell("exec sleep 60");
    group.until(1);
    let selector = format!("container:{}", group.id);
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(node.begin(node.fault(&selector, stress("1@5%", "", 0))).await.fault.id);
    }
    group.until(3);
    shell.0.kill().unwrap();
    shell.0.wait().unwrap();
    for id in ids {
        let ended = node.until(id, |status| status.state.is_final()).await;
        assert_eq!(ended.state, State::Gone(Gone::Process), "{ended:?}");
    }
    group.until(0);
}

//! Freezes: who stands still, what is seen of it, and how it is afterwards.

use std::process::Command;
use std::time::Duration;

use agent::worker::AgentError;
use fault::{Extent, State};
use nix::sys::signal::Signal;

use crate::rig::{Node, effect, freezing};
use crate::worker::Worker;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stands_still_and_goes_on_and_nobody_else_does() {
    let node = Node::start();
    let (worker, other) = (Worker::start(8), Worker::start(1));
    let status = node.begin(node.freeze(&worker.selector(), Extent::Named)).await;
    assert_eq!(status.state, State::Active, "{:?}", status.drifts);
    assert!(status.happened(), "{status:?}");
    let found = effect(&status);
    assert_eq!((found.processes, found.threads, found.stopped), (1, 9, 9), "{found:?}");
    assert!(found.reached < Duration::from_secs(1) && found.uncovered.is_empty(), "{found:?}");
    assert!(worker.stands_still() && worker.state() == 't');
    other.goes_on();
    let before = status.lease.unwrap().end;
    let renewed = node.agent.renew(vec![status.fault.id], None).await.unwrap();
    assert_eq!(renewed.renewed, [status.fault.id]);
    let renewed = node.status(status.fault.id).await;
    assert!(renewed.lease.unwrap().end > before && renewed.drifts.is_empty(), "{renewed:?}");
    assert!(worker.stands_still());

    let healed = node.heal(status.fault.id).await;
    assert!(worker.goes_on() < Duration::from_secs(1));
    assert_eq!(healed.state, State::Healed, "{:?}", healed.drifts);
    assert!(healed.happened() && effect(&healed).held >= Duration::from_millis(100), "{healed:?}");
    assert_eq!(worker.holder(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_renews_ends_by_itself() {
    let node = Node::start();
    let worker = Worker::start(2);
    let target = node.resolve(&worker.selector()).unwrap().pop().unwrap();
    let fault = freezing(target, Extent::Named, Duration::from_secs(1));
    let id = node.begin(fault).await.fault.id;
    assert!(worker.stands_still());
    worker.goes_on();
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert_eq!(ended.state, State::Expired, "{:?}", ended.drifts);
    assert!(ended.happened() && ended.drifts.is_empty(), "{ended:?}");
    let held = effect(&ended).held;
    assert!(held > Duration::from_millis(800) && held <= Duration::from_secs(1), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_are_held_with_those_who_make_them() {
    let node = Node::start();
    let worker = Worker::forking();
    for _ in 0..5 {
        let status = node.begin(node.freeze(&worker.selector(), Extent::Tree)).await;
        assert!(status.happened(), "{status:?}");
        assert!(worker.stands_still(), "{status:?}");
        assert_eq!(node.heal(status.fault.id).await.state, State::Healed);
        worker.goes_on();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_and_stops_are_as_if_nobody_had_been_there() {
    let node = Node::start();
    let worker = Worker::start(2);
    let id = node.begin(node.freeze(&worker.selector(), Extent::Named)).await.fault.id;
    worker.signal(Signal::SIGUSR1);
    assert!(worker.stands_still() && worker.heard() == 0);
    node.heal(id).await;
    worker.until("the signal arrives", || worker.heard() == 1);

    worker.signal(Signal::SIGSTOP);
    worker.until("it stops", || worker.state() == 'T');
    let status = node.begin(node.freeze(&worker.selector(), Extent::Named)).await;
    assert!(status.happened(), "{status:?}");
    node.heal(status.fault.id).await;
    worker.until("it is stopped as before", || worker.state() == 'T');
    assert!(worker.stands_still());
    worker.signal(Signal::SIGCONT);
    worker.goes_on();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_freeze_and_who_must_not_stand_still_is_refused() {
    let node = Node::start();
    let worker = Worker::start(1);
    let first = node.begin(node.freeze(&worker.selector(), Extent::Named)).await.fault.id;
    let again = node.try_begin(node.freeze(&worker.selector(), Extent::Named)).await.unwrap_err();
    assert!(matches!(again, AgentError::Overlap(_)), "{again}");
    assert!(again.to_string().contains("has frozen this target already"), "{again}");
    node.heal(first).await;

    for (pid, reason) in [(1, "the node's own"), (std::process::id(), "the agent itself")] {
        let refused = node.resolve(&format!("pid:{pid}")).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("containerd-shim-runc-v2");
    std::fs::copy("/usr/bin/sleep", &program).unwrap();
    let mut shim = Command::new(program).arg("60").spawn().unwrap();
    let fault = node.freeze(&format!("pid:{}", shim.id()), Extent::Named);
    let refused = node.try_begin(fault).await.unwrap_err().to_string();
    shim.kill().unwrap();
    shim.wait().unwrap();
    assert!(
        refused.contains("containerd-shim") && refused.contains("other containers"),
        "{refused}"
    );
}

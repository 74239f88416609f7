//! Whoever dies or is stopped: the target goes on when it should, and what happened is told.

use std::time::{Duration, Instant};

use fault::{Drift, Extent, Gone, State};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{Daemon, Node, effect};
use crate::worker::Worker;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_frozen_goes_on_at_once_when_the_agent_is_killed() {
    let mut daemon = Daemon::start();
    let worker = Worker::start(4);
    let status = daemon.freeze(&worker.selector(), Duration::from_secs(30)).await;
    assert!(status.happened() && worker.stands_still(), "{status:?}");
    daemon.kill();
    let took = worker.goes_on();
    assert!(took < Duration::from_secs(1), "{took:?}");
    worker.until("nobody holds it", || worker.holder() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_or_holder_does_not_prolong_a_lease() {
    for stopped in ["agent", "holder"] {
        let daemon = Daemon::start();
        let worker = Worker::start(4);
        let lease = Duration::from_secs(1);
        let began = Instant::now();
        let status = daemon.freeze(&worker.selector(), lease).await;
        assert!(status.happened(), "{status:?}");
        match stopped {
            "agent" => daemon.stop(),
            _ => kill(Pid::from_raw(worker.holder().cast_signed()), Signal::SIGSTOP).unwrap(),
        }
        assert!(worker.stands_still(), "{stopped}");
        worker.goes_on();
        let took = began.elapsed();
        assert!(took >= lease && took < 2 * lease, "{stopped}: {took:?}");
        worker.until("nobody holds it", || worker.holder() == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_holder_lets_go_and_is_told() {
    let node = Node::start();
    let worker = Worker::start(2);
    let id = node.begin(node.freeze(&worker.selector(), Extent::Named)).await.fault.id;
    assert!(worker.stands_still());
    kill(Pid::from_raw(worker.holder().cast_signed()), Signal::SIGKILL).unwrap();
    assert!(worker.goes_on() < Duration::from_secs(1));
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert_eq!((ended.state, &ended.drifts[..]), (State::Failed, &[Drift::HolderEnded][..]));
    let again = node.begin(node.freeze(&worker.selector(), Extent::Named)).await;
    assert!(again.happened() && worker.stands_still(), "{again:?}");
    node.heal(again.fault.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_frozen_takes_its_freeze_along() {
    let node = Node::start();
    let worker = Worker::start(3);
    let id = node.begin(node.freeze(&worker.selector(), Extent::Named)).await.fault.id;
    let process = worker.identity();
    worker.signal(Signal::SIGKILL);
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert_eq!(ended.state, State::Gone(Gone::Process), "{ended:?}");
    assert!(ended.happened() && effect(&ended).stopped == 4, "{ended:?}");
    assert!(!agent::kernel::process::is_alive(process));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_somebody_else_traces_is_refused() {
    let node = Node::start();
    let worker = Worker::start(1);
    let pid = Pid::from_raw(worker.pid().cast_signed());
    // By a thread that goes on: who traces is a thread.
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let (ready, began) = std::sync::mpsc::channel();
    let tracer = std::thread::spawn(move || {
        nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
        ready.send(()).unwrap();
        wait.recv().unwrap();
    });
    began.recv().unwrap();
    let fault = node.freeze(&worker.selector(), Extent::Named);
    let refused = node.try_begin(fault).await.unwrap_err().to_string();
    done.send(()).unwrap();
    tracer.join().unwrap();
    assert!(refused.contains("traces it already"), "{refused}");
    worker.goes_on();
}

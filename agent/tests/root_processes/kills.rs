//! Kills: who is sent what, and who is seen to end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use agent::kernel::clock::boot_now;
use agent::worker::{AgentError, Earnest};
use fault::{Extent, Gone, Kill, KillEffect, Kind, Measured, State, Status};

use crate::group::{Group, Victim};
use crate::rig::{Daemon, Node, doing};
use crate::worker::Worker;

fn kill(signal: fault::Signal, grace: Option<u64>) -> Kind {
    let grace = grace.map(Duration::from_millis);
    Kind::Kill(Kill { extent: Extent::Named, signal, grace })
}

fn effect(status: &Status) -> KillEffect {
    match &status.measured {
        Some(Measured::Kill(effect)) => effect.clone(),
        Some(_) | None => panic!("nothing was measured: {status:?}"),
    }
}

/// A process that ignores SIGTERM. Reaped by its handle.
fn stubborn() -> Victim {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = Command::new("/bin/sh");
    let mut child = command.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    // It has said so once it is deaf.
    let mut line = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    Victim(child)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_ends_and_nobody_else_does() {
    let node = Node::start();
    for (signal, grace) in [(fault::Signal::Kill, None), (fault::Signal::Terminate, Some(30_000))] {
        let (worker, other) = (Worker::start(4), Worker::start(1));
        let process = worker.identity();
        let id = node.begin(node.fault(&worker.selector(), kill(signal, grace))).await.fault.id;
        let ended = node.until(id, |status| status.state.is_final()).await;
        assert_eq!(ended.state, State::Gone(Gone::Process), "{ended:?}");
        assert!(ended.is_done() && ended.happened() && ended.ran_its_time(), "{ended:?}");
        let found = effect(&ended);
        assert_eq!((found.processes, found.signalled, found.ended, found.forced), (1, 1, 1, 0));
        assert!(found.longest < Duration::from_secs(5), "{found:?}");
        assert!(!agent::kernel::process::is_alive(process));
        other.goes_on();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ignores_the_signal_is_killed_after_the_time_of_grace() {
    let node = Node::start();
    let mut deaf = stubborn();
    let selector = deaf.selector();
    let began = node.begin(node.fault(&selector, kill(fault::Signal::Terminate, Some(300)))).await;
    let found = effect(&began);
    assert_eq!((found.signalled, found.unheeded, found.ended), (1, 1, 0), "{found:?}");
    assert!(!began.happened());
    let ended = node.until(began.fault.id, |status| status.state.is_final()).await;
    let found = effect(&ended);
    assert!(ended.is_done() && found.forced == 1 && found.ended == 1, "{ended:?}");
    assert!(found.longest >= Duration::from_millis(300), "{found:?}");
    deaf.0.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_healed_or_over_kills_nobody_any_more() {
    let node = Node::start();
    let mut deaf = stubborn();
    let selector = deaf.selector();
    // By a heal.
    let fault = node.fault(&selector, kill(fault::Signal::Terminate, Some(500)));
    let id = node.begin(fault).await.fault.id;
    let healed = node.heal(id).await;
    assert!(healed.state == State::Healed && !healed.happened(), "{healed:?}");
    // By its lease.
    let target = node.resolve(&selector).unwrap().pop().unwrap();
    let fault = doing(target, kill(fault::Signal::Terminate, Some(1_300)), Duration::from_secs(1));
    let id = node.begin(fault).await.fault.id;
    let expired = node.until(id, |status| status.state.is_final()).await;
    assert!(expired.state == State::Expired && !expired.happened(), "{expired:?}");
    std::thread::sleep(Duration::from_millis(700));
    assert!(deaf.lives(), "it was killed after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_or_stands_still_kills_nobody_after_the_grace() {
    for stopped in [false, true] {
        let mut daemon = Daemon::start();
        let mut deaf = stubborn();
        let selector = deaf.selector();
        let lease = Duration::from_secs(1);
        let kind = kill(fault::Signal::Terminate, Some(300));
        let status = daemon.begin(&selector, kind, lease).await;
        assert_eq!(effect(&status).signalled, 1, "{status:?}");
        if stopped {
            daemon.stop();
        } else {
            daemon.kill();
        }
        std::thread::sleep(Duration::from_millis(1_500));
        assert!(deaf.lives(), "it was killed after all");
        if stopped {
            // What was due while it stood still is not made up for: its time is over.
            daemon.go_on();
            std::thread::sleep(Duration::from_millis(500));
            assert!(deaf.lives(), "it was killed too late");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_tells_something_is_heard_and_nobody_ends() {
    let node = Node::start();
    let worker = Worker::start(1);
    let fault = node.fault(&worker.selector(), kill(fault::Signal::User1, None));
    let id = node.begin(fault).await.fault.id;
    worker.until("the signal arrives", || worker.heard() == 1);
    let healed = node.heal(id).await;
    assert!(healed.happened() && effect(&healed).ended == 0, "{healed:?}");
    worker.goes_on();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_processes_of_a_container_end() {
    let node = Node::start();
    let group = Group::new(100, 256 << 20);
    let mut shell = group.shell("sleep 60 & sleep 61 & sleep 62 & wait");
    group.until(4);
    let selector = format!("container:{}", &group.id[..]);
    let fault = node.fault(&selector, kill(fault::Signal::Kill, None));
    let id = node.begin(fault).await.fault.id;
    // Whoever started it has to take note.
    shell.0.wait().unwrap();
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert!(ended.is_done() && effect(&ended).ended == 4, "{ended:?}");
    group.until(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_over_when_all_of_it_has_ended_and_not_with_its_first() {
    let node = Node::start();
    // The first ends at once, its child only by SIGKILL.
    let deaf = "trap '' TERM; echo $$; while :; do sleep 0.05; done";
    let script = "trap 'exit 0' TERM; sh -c \"$DEAF\" & wait";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("DEAF", deaf).stdout(Stdio::piped());
    let mut first = Victim(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(first.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let child = agent::kernel::process::identity(line.trim().parse().unwrap()).unwrap();

    let grace = Duration::from_millis(1_700);
    let tree = Kill { extent: Extent::Tree, signal: fault::Signal::Terminate, grace: Some(grace) };
    let id = node.begin(node.fault(&first.selector(), Kind::Kill(tree))).await.fault.id;
    first.0.wait().unwrap();
    // Long enough for a comparison, which comes every second.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let status = node.status(id).await;
    assert!(status.state == State::Active && effect(&status).ended > 0, "{status:?}");
    assert!(agent::kernel::process::is_alive(child));
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert!(ended.is_done() && effect(&ended).forced > 0, "{ended:?}");
    assert!(effect(&ended).longest >= grace, "{ended:?}");
    assert!(!agent::kernel::process::is_alive(child));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_found_late_gets_the_whole_of_it_too() {
    let node = Node::start();
    let group = Group::new(100, 256 << 20);
    let (mut seen, mut missed) = (stubborn(), stubborn());
    group.admit(seen.0.id());
    let selector = format!("container:{}", group.id);
    let grace = 1_500;
    let fault = node.fault(&selector, kill(fault::Signal::Terminate, Some(grace)));
    let id = node.begin(fault).await.fault.id;
    // It was there before the signal, and comes to where it is looked for only now.
    group.admit(missed.0.id());
    seen.0.wait().unwrap();
    let status = node.status(id).await;
    assert!(!status.state.is_final(), "one is left: {status:?}");
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert!(ended.is_done() && effect(&ended).forced >= 2, "{ended:?}");
    missed.0.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_before_a_start_that_is_ahead_is_meant() {
    let node = Node::start();
    let group = Group::new(100, 256 << 20);
    let mut one = group.shell("exec sleep 60");
    group.until(1);
    let selector = format!("container:{}", group.id);
    let fault = node.fault(&selector, kill(fault::Signal::Kill, None));
    let id = fault.id;
    node.agent.prepare(vec![fault], Earnest::Real, None).await.unwrap();
    let start = boot_now() + Duration::from_millis(400);
    // It answers when the start has come.
    let agent = node.agent.clone();
    let committed = tokio::spawn(async move { agent.commit(vec![id], Some(start), None).await });
    let mut two = group.shell("exec sleep 60");
    group.until(2);
    assert!(one.lives() && boot_now() < start, "too slow for this test");
    let (first, second) = (one.0.wait().unwrap(), two.0.wait().unwrap());
    assert!(!first.success() && !second.success());
    committed.await.unwrap().unwrap();
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert!(ended.is_done() && effect(&ended).ended == 2, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_must_not_be_killed_is_refused() {
    let node = Node::start();
    for (pid, reason) in [(1, "the node's own"), (std::process::id(), "the agent itself")] {
        let refused = node.resolve(&format!("pid:{pid}")).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    let mut gone = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let fault = node.fault(&format!("pid:{}", gone.id()), kill(fault::Signal::Kill, None));
    gone.kill().unwrap();
    gone.wait().unwrap();
    let refused = node.try_begin(fault).await.unwrap_err();
    assert!(matches!(refused, AgentError::Gone(_)), "{refused}");
}

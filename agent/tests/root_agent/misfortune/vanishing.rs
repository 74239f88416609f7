//! Processes and namespaces that go, and others that come under their names.

use std::process::Command;
use std::time::Duration;

use agent::worker::{AgentError, Earnest};
use fault::{Fault, FaultId, Gone, ProcessIdentity, State, Status, Target};
use lab::clock::BootTime;
use lab::ip::ip;
use lab::process::Process;
use lab::topology::DEVICE;
use lab::traffic::{Probe, Protocol};
use nix::sys::signal::Signal;

use crate::rig::{Rig, arrived, eventually, held_by, idler, next_arrival, packet_cut, stream};

const BY_EVENT: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);

fn onto(target: &Target, fault: Fault) -> Fault {
    Fault { selector: target.selector.clone(), target: target.identity, ..fault }
}

fn process_target(rig: &Rig, process: &Process) -> Target {
    rig.named(&format!("pid:{}", process.id()).parse().unwrap())
}

/// Waits for the end of a fault by its transition alone.
async fn end_of(rig: &Rig, id: FaultId, mischief: impl FnOnce()) -> (State, Duration) {
    let mut transitions = rig.agent.transitions();
    mischief();
    let since = BootTime::now();
    let told = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            if let agent::worker::Transition::Changed(status) = transitions.recv().await.unwrap()
                && status.fault.id == id
                && status.state.is_final()
            {
                return status.state;
            }
        }
    });
    (told.await.expect("the fault ends"), since.elapsed())
}

/// Whether a commit answers that nothing acts: its own look found the target gone, or an earlier one has
/// found that and ended the fault.
fn is_refused(committed: &Result<Vec<Status>, AgentError>) -> bool {
    matches!(committed, Err(AgentError::Gone(_) | AgentError::Ended(_)))
}

fn nothing_is_held() {
    assert_eq!(held_by(std::process::id()), [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_before_the_commit_is_gone() {
    let rig = Rig::pair();
    for reaped in [false, true] {
        let process = idler(rig.node("b"));
        let fault = onto(&process_target(&rig, &process), rig.fault("a", "b", packet_cut()));
        let id = fault.id;
        rig.agent.prepare(vec![fault], Earnest::Real, None).await.unwrap();
        assert_ne!(held_by(std::process::id()), [].into());
        process.signal(Signal::SIGKILL).unwrap();
        assert!(process.wait_end(SECOND));
        let mut zombie = Some(process);
        if reaped {
            zombie.take().unwrap().kill().unwrap();
        }
        let committed = rig.agent.commit(vec![id], None, None).await;
        assert!(is_refused(&committed), "reaped {reaped}: {committed:?}");
        let status = rig.until(id, |status| status.state.is_final()).await;
        assert_eq!(status.state, State::Gone(Gone::Process), "reaped {reaped}");
        assert_eq!(status.lease, None, "it never acted");
        nothing_is_held();
    }
    assert!(Probe::new(rig.node("a"), rig.node("b"), Protocol::Udp).run().unwrap().is_whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_with_the_same_pid_is_not_hit() {
    let rig = Rig::pair();
    let process = idler(rig.node("b"));
    let mut target = process_target(&rig, &process);
    let found = target.identity.process.unwrap();
    // As if it had been resolved when an earlier process had this pid.
    target.identity.process = Some(ProcessIdentity { started: found.started - 1, ..found });
    let fault = onto(&target, rig.fault("a", "b", packet_cut()));
    match rig.agent.prepare(vec![fault], Earnest::Real, None).await {
        Err(AgentError::Gone(_)) => {}
        other => panic!("{other:?}"),
    }
    nothing_is_held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_ends_with_the_process_though_its_namespace_lives_on() {
    let rig = Rig::pair();
    let process = idler(rig.node("b"));
    let of_process = onto(&process_target(&rig, &process), rig.fault("a", "b", packet_cut()));
    let id = of_process.id;
    assert_eq!(rig.begin(of_process).await.state, State::Active);
    let there = stream(rig.node("a"), rig.node("b"));
    rig.until(id, |status| status.effect.lost >= 20).await;
    // It stays a zombie: nobody has to reap it for the cut to end.
    let died = BootTime::now();
    process.signal(Signal::SIGKILL).unwrap();
    let late = next_arrival(&there, died);
    assert!(late < 2 * SECOND, "after {late:?}");
    let status = rig.until(id, |status| status.state.is_final()).await;
    assert_eq!(status.state, State::Gone(Gone::Process));
    nothing_is_held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_of_the_namespace_outlives_a_process_that_was_cut_first() {
    let rig = Rig::pair();
    let process = idler(rig.node("b"));
    let of_process = onto(&process_target(&rig, &process), rig.fault("a", "b", packet_cut()));
    let id = of_process.id;
    rig.begin(of_process).await;
    let of_namespace = rig.cut("a", "b", packet_cut()).await;
    process.kill().unwrap();
    let status = rig.until(id, |status| status.state.is_final()).await;
    assert_eq!(status.state, State::Gone(Gone::Process));
    assert_eq!(rig.status(of_namespace).await.state, State::Active);
    let (a, b) = (rig.node("a"), rig.node("b"));
    assert!(Probe::new(a, b, Protocol::Udp).run().unwrap().is_lost());
    // It goes on following what happens there.
    let new = crate::rig::at(b, crate::rig::second_address(b));
    b.namespace.batch(&format!("addr add {}/24 dev {DEVICE}\n", new.v4)).unwrap();
    a.namespace.batch(&format!("route add {} dev {DEVICE}\n", new.v4)).unwrap();
    let there = stream(a, &new);
    crate::rig::last_arrival(&there, BootTime::now());
    rig.until(of_namespace, |status| status.effect.lost >= 40).await;
    let healed = BootTime::now();
    assert_eq!(rig.heal(of_namespace).await.state, State::Healed);
    next_arrival(&there, healed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_takes_its_namespace_along_is_what_is_gone() {
    let rig = Rig::pair();
    let process = Process::start(Command::new("unshare").args(["-n", "sleep", "600"])).unwrap();
    arrived(&process);
    let pid = process.id().to_string();
    let veth = ["link", "add", "x", "type", "veth", "peer", "name", "x", "netns", &pid];
    rig.node("a").namespace.ip(&veth).unwrap();
    let fault = onto(&process_target(&rig, &process), rig.fault("a", "b", packet_cut()));
    let id = fault.id;
    assert_eq!(rig.begin(fault).await.state, State::Active);
    let kill = || assert!(!process.kill().unwrap().success());
    let (state, late) = end_of(&rig, id, kill).await;
    assert_eq!(state, State::Gone(Gone::Process));
    assert!(late < 2 * SECOND, "after {late:?}");
    nothing_is_held();
}

/// Deletes these namespaces one after the other, each when the fault of the one before has ended.
async fn delete(rig: &Rig, all: &[(&str, FaultId)], expected: Gone) {
    let began = BootTime::now();
    for (label, id) in all {
        let name = rig.node(label).namespace.name();
        let (state, late) = end_of(rig, *id, || drop(ip(&["netns", "del", name]).unwrap())).await;
        assert_eq!(state, State::Gone(expected));
        assert!(late < BY_EVENT, "after {late:?}");
    }
    // The timer of a second can be the reason for one of them, not for all.
    assert!(began.elapsed() < SECOND, "they took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_namespace_is_gone_at_once() {
    let rig = Rig::hub(&["a", "b", "c", "d"]);
    let mut cuts = Vec::new();
    for label in ["b", "c", "d"] {
        cuts.push((label, rig.cut("a", label, packet_cut()).await));
    }
    delete(&rig, &cuts, Gone::Namespace).await;
    nothing_is_held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_whose_sender_is_gone_ends_at_once() {
    let rig = Rig::hub(&["a", "b", "c", "d", "e"]);
    let mut cuts = Vec::new();
    for label in ["a", "d", "e"] {
        cuts.push((label, rig.cut(label, "b", packet_cut()).await));
    }
    let other = rig.cut("c", "b", packet_cut()).await;
    delete(&rig, &cuts, Gone::Peer).await;
    assert_eq!(rig.status(other).await.state, State::Active);
    let (b, c) = (rig.node("b"), rig.node("c"));
    assert!(Probe::new(c, b, Protocol::Udp).run().unwrap().is_lost());
    rig.heal(other).await;
    nothing_is_held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_its_name_stays_cut_while_a_process_lives_there() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let process = idler(b);
    let id = rig.cut("a", "b", packet_cut()).await;
    let there = stream(a, b);
    ip(&["netns", "del", b.namespace.name()]).unwrap();
    // Longer than the timer of a second needs.
    let before = rig.status(id).await.effect.lost;
    let status = rig.until(id, |status| status.effect.lost >= before + 3_000).await;
    assert_eq!(status.state, State::Active);
    assert_eq!(status.drifts, []);
    assert_eq!(rig.agent.renew(vec![id], None).await.unwrap().renewed, [id]);
    let healed = BootTime::now();
    assert_eq!(rig.heal(id).await.state, State::Healed);
    next_arrival(&there, healed);
    nothing_is_held();
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_made_anew_under_the_same_name_is_another_one() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let old = rig.target("b").identity;
    let waiting = rig.fault("a", "b", packet_cut());
    let waiting_id = waiting.id;
    rig.agent.prepare(vec![waiting], Earnest::Real, None).await.unwrap();
    let id = rig.cut("a", "b", packet_cut()).await;
    let late_request = rig.fault("a", "b", packet_cut());

    let (name, index) = (b.namespace.name(), "3");
    ip(&["netns", "del", name]).unwrap();
    ip(&["netns", "add", name]).unwrap();
    assert_ne!(rig.target("b").identity, old);
    let committed = rig.agent.commit(vec![waiting_id], None, None).await;
    assert!(is_refused(&committed), "{committed:?}");
    match rig.agent.prepare(vec![late_request], Earnest::Real, None).await {
        Err(AgentError::Gone(_)) => {}
        other => panic!("{other:?}"),
    }
    for id in [id, waiting_id] {
        let status = rig.until(id, |status| status.state.is_final()).await;
        assert_eq!(status.state, State::Gone(Gone::Namespace));
    }
    // What the others left to the late request goes after its refusal.
    eventually("nothing is held", || held_by(std::process::id()).is_empty());

    // The old link goes with the old namespace; the new one has its names and addresses.
    eventually("the old link is gone", || {
        a.namespace.links().unwrap().iter().all(|link| link.name != DEVICE)
    });
    let (at_a, at_b) = (a.v4, b.v4);
    a.namespace
        .batch(&format!(
            "link add {DEVICE} index 2 type veth peer name {DEVICE} index {index} netns {name}\n\
             addr add {at_a}/24 dev {DEVICE}\nlink set {DEVICE} up\n"
        ))
        .unwrap();
    b.namespace.batch(&format!("addr add {at_b}/24 dev {DEVICE}\nlink set {DEVICE} up\n")).unwrap();
    let there = stream(a, b);
    next_arrival(&there, BootTime::now());
}

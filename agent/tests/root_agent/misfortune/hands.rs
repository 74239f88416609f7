//! Many hands at once, hands that let go, and that none of ours stays in a target.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use agent::worker::{Agent, AgentError, Earnest};
use fault::{Cut, Fault, Peers, State};
use lab::clock::BootTime;
use lab::ip::ip;
use lab::topology::{DEVICE, Node};
use lab::traffic::{Probe, Protocol};
use nix::sys::signal::Signal;
use proto::agent as wire;

use crate::bounds::{Binary, put_in};
use crate::rig::{
    Rig, await_freed, eventually, held_by, initiator_cut, next_arrival, packet_cut, stream,
};

fn nothing_is_held() {
    assert_eq!(held_by(std::process::id()), [].into());
}

fn arrives(rig: &Rig) -> bool {
    Probe::new(rig.node("a"), rig.node("b"), Protocol::Udp).run().unwrap().is_whole()
}

async fn rounds(rig: &Rig, agent: Agent, cut: Cut, rounds: u32) {
    for round in 0..rounds {
        let fault = rig.fault("a", "b", cut);
        let id = fault.id;
        agent.prepare(vec![fault], Earnest::Real, None).await.unwrap();
        let begun = agent.commit(vec![id], None, None).await.unwrap();
        assert_eq!(begun[0].state, State::Active, "{round}: {:?}", begun[0].drifts);
        let healed = agent.heal(vec![id]).await.unwrap();
        assert_eq!(healed[0].state, State::Healed, "{round}: {:?}", healed[0].drifts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_put_in_and_take_out_without_a_leak() {
    let rig = Rig::pair();
    let two = |count| {
        let (rig, first, second) = (&rig, rig.agent.clone(), rig.agent.clone());
        async move {
            tokio::join!(
                rounds(rig, first, packet_cut(), count),
                rounds(rig, second, initiator_cut(), count)
            );
        }
    };
    // While another cut keeps everything loaded, as loading takes most of the time ...
    let other = rig.cut("a", "b", packet_cut()).await;
    two(50).await;
    // ... with one rule, one peer table and one place in the chain left, which still work ...
    assert!(!arrives(&rig));
    assert_eq!(rig.heal(other).await.state, State::Healed);
    nothing_is_held();
    assert!(arrives(&rig));
    // ... and where each may be the first to come or the last to go.
    two(5).await;
    assert_eq!(rig.agent.list().await.unwrap().len(), 111);
    nothing_is_held();
    assert!(arrives(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_healed_right_after_its_preparation_never_acts() {
    let rig = Rig::pair();
    let fault = rig.fault("a", "b", packet_cut());
    let id = fault.id;
    rig.agent.prepare(vec![fault.clone()], Earnest::Real, None).await.unwrap();
    assert_eq!(rig.heal(id).await.state, State::Healed);
    // A commit and a preparation that come late find it healed.
    let committed = rig.agent.commit(vec![id], None, None).await;
    assert!(matches!(committed, Err(AgentError::Ended(ended)) if ended == id), "{committed:?}");
    rig.agent.prepare(vec![fault], Earnest::Real, None).await.unwrap();
    assert_eq!(rig.status(id).await.state, State::Healed);
    nothing_is_held();
    assert!(arrives(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_healed_before_its_turn_to_be_prepared_leaves_nothing() {
    let rig = Rig::pair();
    let faults: Vec<Fault> = (0..8).map(|_| rig.fault("a", "b", packet_cut())).collect();
    let ids: Vec<_> = faults.iter().map(|fault| fault.id).collect();
    // The heals arrive while all but the first preparation wait.
    let (prepared, healed) =
        tokio::join!(rig.agent.prepare(faults, Earnest::Real, None), rig.agent.heal(ids.clone()));
    assert!(matches!(prepared, Err(AgentError::Ended(_))), "{prepared:?}");
    for status in healed.unwrap() {
        assert_eq!(status.state, State::Healed);
    }
    let all = rig.agent.list().await.unwrap();
    assert!(all.iter().all(|status| status.state == State::Healed), "{all:?}");
    eventually("nothing is held", || held_by(std::process::id()).is_empty());
    assert!(arrives(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preparation_that_fails_behind_the_last_heal_leaves_nothing() {
    let rig = Rig::pair();
    let old = rig.cut("a", "b", packet_cut()).await;
    let slow = rig.fault("a", "b", packet_cut());
    let slow_id = slow.id;
    let nobody = Peers { fixed: Vec::new(), followed: None };
    let hopeless = Fault { peers: nobody, ..rig.fault("a", "b", packet_cut()) };
    // Both heals are done while the hopeless one still waits, so neither of them unloads.
    let (overtaken, failed, healed) = tokio::join!(
        rig.agent.prepare(vec![slow], Earnest::Real, None),
        rig.agent.prepare(vec![hopeless], Earnest::Real, None),
        rig.agent.heal(vec![old, slow_id])
    );
    // Whether its heal overtook it is chance.
    let overtaken = overtaken.map(drop);
    assert!(matches!(overtaken, Ok(()) | Err(AgentError::Ended(_))), "{overtaken:?}");
    assert!(matches!(failed, Err(AgentError::Plan(_))), "{failed:?}");
    for status in healed.unwrap() {
        assert_eq!(status.state, State::Healed);
    }
    eventually("nothing is held", || held_by(std::process::id()).is_empty());
    assert!(arrives(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_ends_when_the_agent_is_dropped() {
    let rig = Rig::pair();
    let id = rig.cut("a", "b", packet_cut()).await;
    let there = stream(rig.node("a"), rig.node("b"));
    rig.until(id, |status| status.effect.lost >= 20).await;
    let held = held_by(std::process::id());
    assert!(!held.is_empty());
    let Rig { lab, kernel, agent, driven } = rig;
    drop(driven);
    let dropped = BootTime::now();
    drop(agent);
    drop(kernel);
    let late = next_arrival(&there, dropped);
    assert!(late < Duration::from_millis(500), "after {late:?}");
    await_freed(&held);
    drop(lab);
}

/// The inodes of every socket in a namespace that /proc/net lists.
fn sockets_in(node: &Node) -> BTreeSet<String> {
    let kinds = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix", "netlink", "packet"];
    let tables = node.namespace.inside(|| {
        kinds.map(|kind| {
            fs::read_to_string(format!("/proc/thread-self/net/{kind}")).unwrap_or_default()
        })
    });
    let tables = tables.unwrap();
    let words = tables.iter().flat_map(|table| table.split_whitespace());
    words.map(ToOwned::to_owned).collect()
}

/// The inodes of this process's sockets.
fn own_sockets() -> BTreeSet<String> {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inodes = links.filter_map(|link| {
        Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    });
    inodes.collect()
}

/// The namespaces that this process's threads are in and its descriptors hold, by inode.
fn own_namespaces() -> BTreeSet<u64> {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let threads = threads.map(|thread| thread.path().join("ns/net"));
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let held = descriptors.map(|entry| entry.path()).filter(|path| {
        fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("net:["))
    });
    threads.chain(held).filter_map(|path| Some(fs::metadata(path).ok()?.ino())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_ours_stays_in_a_target_while_it_is_cut() {
    let rig = Rig::pair();
    for label in ["a", "b"] {
        let node = rig.node(label);
        let witness = node.udp_socket(node.socket_address(lab::topology::Family::V4, 0)).unwrap();
        assert_eq!(sockets_in(node).intersection(&own_sockets()).count(), 1, "the test is blind");
        drop(witness);
    }
    let id = rig.cut("a", "b", initiator_cut()).await;
    // A look is under way now and then; what stays is there every time.
    let inode = |label| fs::metadata(rig.node(label).namespace.path()).unwrap().ino();
    let inodes = BTreeSet::from([inode("a"), inode("b")]);
    eventually("no thread and no descriptor in a target", || own_namespaces().is_disjoint(&inodes));
    for label in ["a", "b"] {
        eventually("no socket in a target", || {
            sockets_in(rig.node(label)).is_disjoint(&own_sockets())
        });
    }
    assert_eq!(rig.status(id).await.state, State::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_can_go_though_the_agent_that_cuts_it_is_stopped() {
    let rig = Rig::pair();
    let binary = Binary::start("pins");
    let mut client = binary.client().await;
    put_in(&mut client, &rig.fault("a", "b", initiator_cut())).await;
    // So that it is not stopped while it looks.
    eventually("the agent looks nowhere", || threads_of(binary.process.id()).len() < 2);
    binary.process.signal(Signal::SIGSTOP).unwrap();
    let (a, b) = (rig.node("a"), rig.node("b"));
    ip(&["netns", "del", b.namespace.name()]).unwrap();
    // The namespace takes its end of the veth along, and that the other end.
    eventually("the veth is gone", || {
        a.namespace.links().unwrap().iter().all(|link| link.name != DEVICE)
    });
    binary.process.signal(Signal::SIGCONT).unwrap();
    for _ in 0..500 {
        let list = client.list(wire::ListRequest {}).await.unwrap().into_inner();
        if list.faults[0].state() == wire::State::GoneNamespace {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the agent does not find out");
}

/// The namespaces that a process's threads are in.
fn threads_of(pid: u32) -> BTreeSet<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    threads
        .filter_map(|thread| Some(fs::metadata(thread.path().join("ns/net")).ok()?.ino()))
        .collect()
}

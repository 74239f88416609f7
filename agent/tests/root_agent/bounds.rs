//! Promise 1: a fault ends in time, whoever is dead or stopped; promise 2: nothing is left.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use agent::residue::{self, Removal};
use fault::{Fault, State};
use hyper_util::rt::TokioIo;
use lab::clock::BootTime;
use lab::process::Process;
use lab::topology::Family;
use lab::traffic::Pinger;
use nix::sys::signal::Signal;
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use tonic::transport::{Channel, Endpoint};

use crate::rig::{Rig, packet_cut, terms};

const PING: Duration = Duration::from_micros(200);
const SECOND: Duration = Duration::from_secs(1);

/// The agent as a process of its own, on a socket of its own.
pub(crate) struct Binary {
    pub(crate) process: Process,
    pub(crate) socket: PathBuf,
}

impl Binary {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, |_| {})
    }

    /// Starts it as changed by `adjust`.
    pub(crate) fn start_with(name: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        let directory = std::env::temp_dir().join(format!("schism-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let socket = directory.join("agent.sock");
        let mut command = Command::new(env!("CARGO_BIN_EXE_schism-agent"));
        command.arg("--socket").arg(&socket).env("SCHISM_LOG", "warn");
        adjust(&mut command);
        let process = Process::start(&mut command).unwrap();
        Self { process, socket }
    }

    /// Connects as soon as the socket is there.
    pub(crate) async fn client(&self) -> AgentClient<Channel> {
        for _ in 0..500 {
            if UnixStream::connect(&self.socket).is_ok() {
                let socket = Arc::new(self.socket.clone());
                let connect = tower::service_fn(move |_| {
                    let socket = Arc::clone(&socket);
                    async move { tokio::net::UnixStream::connect(&*socket).await.map(TokioIo::new) }
                });
                let endpoint = Endpoint::from_static("http://agent");
                return AgentClient::new(endpoint.connect_with_connector(connect).await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the agent does not listen");
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        if let Some(directory) = self.socket.parent() {
            // What a killed agent leaves there is looked at by the tests themselves.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

pub(crate) async fn put_in(client: &mut AgentClient<Channel>, fault: &Fault) {
    let request = wire::PrepareRequest { faults: vec![fault.into()], dry_run: false };
    client.prepare(request).await.unwrap();
    let request = wire::CommitRequest { ids: vec![fault.id.into()], start: 0 };
    let committed = client.commit(request).await.unwrap().into_inner();
    assert_eq!(committed.faults[0].state(), wire::State::Active);
}

fn pinger(rig: &Rig) -> Pinger {
    Pinger::start(rig.node("a"), rig.node("b"), Family::V4, PING).unwrap()
}

fn pinger_waits(pinger: &Pinger) {
    assert!(pinger.wait_silence(Duration::from_millis(20), SECOND), "the cut does not act");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_renews_ends_on_time() {
    let rig = Rig::pair();
    let pinger = pinger(&rig);
    let fault = Fault { terms: terms(1_000, 60_000), ..rig.fault("a", "b", packet_cut()) };
    let status = rig.begin(fault).await;
    let end = BootTime::from_nanos(status.lease.unwrap().end.nanos());
    pinger_waits(&pinger);
    let passed = pinger.wait_arrival(end, 2 * SECOND).expect("traffic comes back");
    assert!(passed - end < Duration::from_millis(50), "late by {:?}", passed - end);
    let expired = rig.until(status.fault.id, |status| status.state.is_final()).await;
    assert_eq!(expired.state, State::Expired);
    let recording = pinger.finish();
    let outage = recording.longest_outage().unwrap();
    assert!(outage.duration() > Duration::from_millis(950), "{outage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_stop_at_the_deadline() {
    let rig = Rig::pair();
    let fault = Fault { terms: terms(1_000, 2_000), ..rig.fault("a", "b", packet_cut()) };
    let id = fault.id;
    let status = rig.begin(fault).await;
    let window = status.lease.unwrap();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(rig.agent.renew(vec![id]).await.unwrap().renewed, [id]);
        let renewed = rig.status(id).await.lease.unwrap();
        assert!(renewed.end <= window.deadline);
    }
    let expired = rig.until(id, |status| status.state.is_final()).await;
    assert!(expired.now >= window.deadline);
    assert_eq!(rig.agent.renew(vec![id]).await.unwrap().refused, [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_of_the_agent_ends_the_fault_at_once() {
    let rig = Rig::pair();
    let binary = Binary::start("kill");
    let mut client = binary.client().await;
    let pinger = pinger(&rig);
    put_in(&mut client, &rig.fault("a", "b", packet_cut())).await;
    pinger_waits(&pinger);
    let used = residue::search(Removal::Keep, &binary.socket).unwrap();
    assert!(
        used.iter().all(|remnant| !remnant.holders.is_empty()),
        "none is taken for left: {used:?}"
    );
    let killed = BootTime::now();
    binary.process.signal(Signal::SIGKILL).unwrap();
    let passed = pinger.wait_arrival(killed, SECOND).expect("traffic comes back");
    assert!(passed - killed < Duration::from_millis(500), "after {:?}", passed - killed);
    assert!(binary.process.wait_end(SECOND));
    let left = residue::search(Removal::Keep, &binary.socket).unwrap();
    let mut kinds: Vec<_> = left
        .iter()
        .filter(|remnant| remnant.holders.is_empty())
        .map(|remnant| remnant.kind)
        .collect();
    kinds.sort();
    assert_eq!(kinds, [fault::RemnantKind::Socket, fault::RemnantKind::Lock], "{left:?}");
    residue::search(Removal::Remove, &binary.socket).unwrap();
    assert!(!binary.socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_cannot_prolong_a_fault() {
    let rig = Rig::pair();
    let binary = Binary::start("stop");
    let mut client = binary.client().await;
    let pinger = pinger(&rig);
    let fault = Fault { terms: terms(1_000, 60_000), ..rig.fault("a", "b", packet_cut()) };
    put_in(&mut client, &fault).await;
    let list = client.list(wire::ListRequest {}).await.unwrap().into_inner();
    let end = BootTime::from_nanos(list.faults[0].lease_end);
    binary.process.signal(Signal::SIGSTOP).unwrap();
    pinger_waits(&pinger);
    let passed = pinger.wait_arrival(end, 2 * SECOND).expect("traffic comes back");
    assert!(passed - end < Duration::from_millis(50), "late by {:?}", passed - end);
    binary.process.signal(Signal::SIGCONT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_heals_answers_and_leaves_nothing() {
    let rig = Rig::pair();
    let binary = Binary::start("term");
    let mut client = binary.client().await;
    let pinger = pinger(&rig);
    put_in(&mut client, &rig.fault("a", "b", packet_cut())).await;
    pinger_waits(&pinger);
    let told = BootTime::now();
    binary.process.signal(Signal::SIGTERM).unwrap();
    pinger.wait_arrival(told, SECOND).expect("traffic comes back");
    assert!(binary.process.wait_end(5 * SECOND), "the agent takes more than 5 s to end");
    let left = residue::search(Removal::Keep, &binary.socket).unwrap();
    assert!(left.iter().all(|remnant| !remnant.holders.is_empty()), "{left:?}");
    assert!(!binary.socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_is_refused_and_a_restarted_one_says_what_it_found() {
    let rig = Rig::pair();
    let first = Binary::start("twice");
    let mut client = first.client().await;
    put_in(&mut client, &rig.fault("a", "b", packet_cut())).await;

    let mut command = Command::new(env!("CARGO_BIN_EXE_schism-agent"));
    command.arg("--socket").arg(&first.socket);
    let second = command.output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another agent of this machine"), "{said}");

    first.process.signal(Signal::SIGKILL).unwrap();
    assert!(first.process.wait_end(SECOND));
    let third = Process::start(&mut command).unwrap();
    let again = Binary { process: third, socket: first.socket.clone() };
    let mut client = again.client().await;
    let description = client.describe(wire::DescribeRequest {}).await.unwrap().into_inner();
    let found: Vec<_> = description.found_at_start.iter().map(wire::Remnant::kind).collect();
    assert_eq!(found, [wire::remnant::Kind::Socket]);
    assert!(client.list(wire::ListRequest {}).await.unwrap().into_inner().faults.is_empty());
}

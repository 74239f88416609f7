//! What the root tests of the agent stand on: two or three namespaces and a worker over the real kernel.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent::brake::Brake;
use agent::kernel::bpf::{self, ObjectKind};
use agent::kernel::{Kernel, Linux};
use agent::residue::{self, Removal};
use agent::worker::Agent;
use fault::{
    Aspect, Chance, Cut, Fault, FaultId, FlowAge, IntentId, Kind, LeaseTerms, Mode, PeerTarget,
    Peers, RemnantKind, Selector, Side, Target, Verdict,
};
use lab::clock::BootTime;
use lab::process::Process;
use lab::topology::{Family, Node, Topology};
use lab::traffic::Pinger;

use crate::driven::Driven;

/// A topology with an agent beside it.
pub(crate) struct Rig {
    pub(crate) lab: Topology,
    pub(crate) kernel: Arc<Linux>,
    pub(crate) agent: Agent,
    pub(crate) driven: Driven,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// An id that no other fault of this process has.
pub(crate) fn fresh_id() -> FaultId {
    let number = NEXT.fetch_add(1, Ordering::Relaxed) | u64::from(std::process::id()) << 16;
    FaultId { intent: IntentId::from_random(number), part: 0 }
}

/// A cut of everything, for the receiver.
pub(crate) fn packet_cut() -> Cut {
    Cut {
        mode: Mode::Packet,
        protocol: None,
        port: None,
        flows: FlowAge::All,
        loss: Chance::CERTAIN,
        seed: 1,
        verdict: Verdict::Drop,
        side: Side::Ingress,
    }
}

/// A cut of the flows that the sending side opened.
pub(crate) fn initiator_cut() -> Cut {
    Cut { mode: Mode::Initiator, ..packet_cut() }
}

impl Rig {
    /// Nodes `a` and `b` on one veth.
    pub(crate) fn pair() -> Self {
        Self::over(Topology::pair())
    }

    /// These nodes on one bridge.
    pub(crate) fn hub(labels: &[&str]) -> Self {
        Self::over(Topology::hub(labels))
    }

    fn over(lab: Result<Topology, lab::topology::TopologyError>) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        let kernel = Arc::new(Linux::new(agent::kernel::node_name()).unwrap());
        let shared: Arc<dyn Kernel> = kernel.clone();
        let agent = Agent::start(shared, Brake::in_memory());
        Self { lab: lab.unwrap(), kernel, driven: Driven(agent.clone()), agent }
    }

    pub(crate) fn node(&self, label: &str) -> &Node {
        &self.lab[label]
    }

    pub(crate) fn target(&self, label: &str) -> Target {
        self.named(&selector(self.node(label)))
    }

    pub(crate) fn named(&self, selector: &Selector) -> Target {
        self.kernel
            .resolve(selector, Aspect::Network)
            .unwrap()
            .pop()
            .expect("the selector names something")
    }

    /// A fault that cuts `from` from `to` for a minute, with a lease of 15 s.
    pub(crate) fn fault(&self, from: &str, to: &str, cut: Cut) -> Fault {
        let (target, peer) = match cut.side {
            Side::Ingress => (self.target(to), self.target(from)),
            Side::Egress => (self.target(from), self.target(to)),
        };
        Fault {
            id: fresh_id(),
            selector: target.selector.clone(),
            target: target.identity,
            kind: Kind::Cut(cut),
            peers: Peers {
                fixed: Vec::new(),
                followed: Some(PeerTarget {
                    selector: peer.selector.clone(),
                    identity: peer.identity,
                }),
            },
            terms: terms(15_000, 60_000),
            control_path: Vec::new(),
        }
    }

    /// A fault on a node, with peers that do not change.
    pub(crate) fn fixed(&self, label: &str, peers: Vec<fault::Prefix>, cut: Cut) -> Fault {
        let target = self.target(label);
        Fault {
            id: fresh_id(),
            selector: target.selector.clone(),
            target: target.identity,
            kind: Kind::Cut(cut),
            peers: Peers { fixed: peers, followed: None },
            terms: terms(15_000, 60_000),
            control_path: Vec::new(),
        }
    }

    /// Puts a cut in and returns its id.
    pub(crate) async fn cut(&self, from: &str, to: &str, cut: Cut) -> FaultId {
        let status = self.begin(self.fault(from, to, cut)).await;
        assert_eq!(status.state, fault::State::Active, "{:?}", status.drifts);
        status.fault.id
    }
}

impl std::ops::Deref for Rig {
    type Target = Driven;

    fn deref(&self) -> &Driven {
        &self.driven
    }
}

pub(crate) fn selector(node: &Node) -> Selector {
    format!("netns:{}", node.namespace.name()).parse().unwrap()
}

pub(crate) fn terms(lease: u64, total: u64) -> LeaseTerms {
    LeaseTerms::new(Duration::from_millis(lease), Duration::from_millis(total)).unwrap()
}

/// A datagram every half millisecond.
pub(crate) fn stream(from: &Node, to: &Node) -> Pinger {
    Pinger::start(from, to, Family::V4, Duration::from_micros(500)).unwrap()
}

/// Waits until nothing has arrived for 100 ms, and says how long after `since` the last datagram did.
pub(crate) fn last_arrival(stream: &Pinger, since: BootTime) -> Duration {
    let mut last = since;
    while let Some(arrival) = stream.wait_arrival(last, Duration::from_millis(100)) {
        last = arrival;
        assert!(last - since < Duration::from_secs(5), "the traffic does not stop");
    }
    last - since
}

/// Waits for a datagram, and says how long after `since` it came.
pub(crate) fn next_arrival(stream: &Pinger, since: BootTime) -> Duration {
    let arrival = stream.wait_arrival(since, Duration::from_secs(5));
    arrival.expect("the traffic does not come back") - since
}

/// The node with another IPv4 address.
pub(crate) fn at(node: &Node, v4: Ipv4Addr) -> Node {
    Node { v4, ..node.clone() }
}

/// An address for a node on a second link, where it has the same number as on the first.
pub(crate) fn second_address(node: &Node) -> Ipv4Addr {
    let [_, _, subnet, host] = node.v4.octets();
    Ipv4Addr::new(10, 78, subnet, host)
}

/// A process in a node's namespace that does nothing.
pub(crate) fn idler(node: &Node) -> Process {
    let process = Process::start(node.namespace.exec("sleep").arg("600")).unwrap();
    arrived(&process);
    process
}

/// Waits until a process has become the `sleep` that it was started for, and so is where it belongs.
pub(crate) fn arrived(process: &Process) {
    let comm = format!("/proc/{}/comm", process.id());
    eventually("the process starts", || std::fs::read_to_string(&comm).unwrap() == "sleep\n");
}

/// Waits for what makes no event, for at most 5 s.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let since = BootTime::now();
    while !is() {
        assert!(since.elapsed() < Duration::from_secs(5), "not within 5 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Our programs and maps that a process holds.
pub(crate) fn held_by(pid: u32) -> BTreeSet<(RemnantKind, u32)> {
    let found = residue::search(Removal::Keep, Path::new("/nonexistent")).unwrap();
    let held = found.into_iter().filter(|remnant| remnant.holders.contains(&pid));
    held.map(|remnant| (remnant.kind, remnant.id)).collect()
}

/// Waits until none of these is in the kernel any more: it frees them a little after their holder.
pub(crate) fn await_freed(objects: &BTreeSet<(RemnantKind, u32)>) {
    let ids = |kind, remnant| {
        let found = bpf::objects(kind, "schism_").unwrap();
        found.into_iter().map(move |object| (remnant, object.id))
    };
    eventually("the kernel frees our programs and maps", || {
        let programs = ids(ObjectKind::Program, RemnantKind::Program);
        programs.chain(ids(ObjectKind::Map, RemnantKind::Map)).all(|id| !objects.contains(&id))
    });
}

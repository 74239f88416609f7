//! Three etcd members in three namespaces, and the tool that cuts between them.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use lab::{
    clock::BootTime,
    etcd::{Cluster, Status, Writer},
    interruption::Interruption,
    topology::{Node, Topology},
};

use crate::{
    page::Page,
    quantity::time,
    report,
    schism::{Run, Schism},
};

const LABELS: [&str; 3] = ["etcd-0", "etcd-1", "etcd-2"];

/// For how long the members must agree before a chapter begins: etcd elects anew after 1 to 2 s
/// without a heartbeat, so a quarrel that is left shows in this time.
const CALM: Duration = Duration::from_millis(1_200);

/// How long they may take to agree.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(30);

/// Everything that the chapters act on. Goes away with its handle, in this order.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The members.
    pub(crate) cluster: Cluster,
    /// The tool.
    pub(crate) schism: Schism,
    /// Whether somebody asked the demo to end.
    pub(crate) interruption: Interruption,
    topology: Topology,
}

/// Who does what in the cluster, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Leads.
    pub(crate) leader: usize,
    /// The follower that a chapter cuts off.
    pub(crate) follower: usize,
    /// The other one.
    pub(crate) bystander: usize,
    /// The raft term.
    pub(crate) term: u64,
}

/// What must be gone at the end.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    /// Files of namespaces, and the directory of the demo.
    pub(crate) paths: Vec<PathBuf>,
    /// Members.
    pub(crate) processes: Vec<u32>,
}

impl Scene {
    /// Sets everything up and says what it is.
    pub(crate) fn open(page: &mut Page, interruption: &Interruption) -> Result<Self> {
        page.chapter("Schism: one-way cuts on a real etcd cluster, on this machine")?;
        let began = Instant::now();
        let schism = Schism::find(interruption)?;
        let topology = Topology::hub(&LABELS)?;
        interruption.check()?;
        let cluster = Cluster::start(&topology, LABELS.len())?;
        interruption.check()?;
        let scene = Self { cluster, schism, interruption: interruption.clone(), topology };
        page.say(&format!(
            "Three members of etcd (Debian's, its default timing: heartbeat 100 ms, election after \
             1 to 2 s of silence), each in a network namespace of its own behind one bridge, up in \
             {}. The tale takes about two minutes.",
            time(began.elapsed())
        ))?;
        for node in scene.topology.nodes() {
            let text = format!("netns:{:<22} {:<11} {}", node.namespace.name(), node.v4, node.v6);
            page.figure(&node.label, &text)?;
        }
        page.say(
            "A client in the bridge's namespace writes all the time. Every line with a $ is really \
             run. --local lets the command be this machine's agent itself; an agent that may run \
             here is left alone, because SCHISM_AGENT_SOCKET names a socket of the demo's own:",
        )?;
        page.command(&[
            "export".to_owned(),
            format!("SCHISM_AGENT_SOCKET={}", scene.schism.socket().display()),
        ])?;
        Ok(scene)
    }

    /// The machines and what is between them.
    pub(crate) const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Where a member runs.
    pub(crate) fn node(&self, member: usize) -> &Node {
        self.cluster.node(member)
    }

    /// A member's name.
    pub(crate) fn name(&self, member: usize) -> &str {
        &self.cluster.node(member).label
    }

    /// Waits until the members have agreed on a leader for a while.
    pub(crate) fn calm(&self) -> Result<Roles> {
        let deadline = Instant::now() + PATIENCE;
        let mut since = Instant::now();
        let mut known = None;
        while Instant::now() < deadline {
            let roles = agreed(&self.cluster.statuses());
            if roles != known || roles.is_none() {
                (known, since) = (roles, Instant::now());
            }
            if let Some(roles) = roles.filter(|_| since.elapsed() >= CALM) {
                return Ok(roles);
            }
            self.interruption.pause(LOOK)?;
        }
        bail!("the members of etcd did not agree on a leader within {}", time(PATIENCE))
    }

    /// Waits until a writer's next write is acknowledged.
    pub(crate) fn first_write(&self, writer: &Writer) -> Result<()> {
        let acknowledged = writer.wait_acknowledged(BootTime::now(), PATIENCE);
        self.interruption.check()?;
        acknowledged.map(drop).context("etcd acknowledges no write, before anything is cut")
    }

    /// Waits until this many faults act, and returns them.
    pub(crate) fn acting(&self, count: usize, runs: &[Run]) -> Result<Vec<report::Fault>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let status = self.schism.run(&["schism", "status", "-o", "json"], PATIENCE)?;
            // Before the command has become the agent there is none to ask.
            if status.code == Some(0) {
                let faults = report::faults(&status.document("schism.status/v1")?)?;
                let active: Vec<_> = faults.into_iter().filter(|fault| fault.active).collect();
                if active.len() == count {
                    return Ok(active);
                }
            }
            if let Some(run) = runs.iter().find(|run| run.has_ended()) {
                bail!("a cut ended before it began; it said:\n{}", run.said());
            }
            self.interruption.pause(LOOK)?;
        }
        bail!("the cut did not begin within {}", time(PATIENCE))
    }

    /// Lets time pass until this moment.
    pub(crate) fn until(&self, moment: BootTime) -> Result<()> {
        Ok(self.interruption.pause(moment - BootTime::now())?)
    }

    /// What must be gone at the end.
    pub(crate) fn traces(&self) -> Traces {
        let nodes = self.topology.nodes().iter().chain(self.topology.hub_node());
        let mut paths: Vec<PathBuf> = nodes.map(|node| node.namespace.path()).collect();
        paths.push(self.schism.directory().to_owned());
        let members = 0..self.cluster.size();
        let processes = members.filter_map(|member| self.cluster.pid(member).ok()).collect();
        Traces { paths, processes }
    }
}

/// The roles, where all members answer and agree.
fn agreed(statuses: &[Option<Status>]) -> Option<Roles> {
    let all: Vec<Status> = statuses.iter().copied().collect::<Option<_>>()?;
    let first = all.first()?;
    let leader = all.iter().position(Status::is_leader)?;
    let alike = |status: &Status| (status.leader, status.term) == (first.leader, first.term);
    let mut followers = (0..all.len()).filter(|member| *member != leader);
    let (follower, bystander) = (followers.next()?, followers.next()?);
    all.iter().all(alike).then_some(Roles { leader, follower, bystander, term: first.term })
}

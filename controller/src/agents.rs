//! The agents that have dialled: one channel per node, kept warm by heartbeats that renew what they name.

mod admission;
mod clock;
mod notices;
mod session;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fault::{FaultId, NodeName, Status};
use proto::agent as wire;
use tokio::sync::watch;
use tokio::time::Instant;

pub use admission::{AdmissionError, Way};
pub use clock::{Clock, Offset};
pub use notices::Notices;

use crate::link::Link;
use crate::sequence::Moment;
use notices::Teller;

/// What an agent says or becomes, for whoever drives intents.
#[derive(Debug)]
pub enum Notice {
    /// It is there, or there again.
    Found(NodeName),
    /// Its connection is gone. Nothing is healed by that: leases end.
    Lost(NodeName),
    /// A fault of it changed.
    Status(NodeName, Box<Status>),
    /// A heartbeat that was sent at this moment was answered: these were renewed.
    Renewed(NodeName, Vec<FaultId>, Moment),
}

/// The faults that a heartbeat renews, and how often it must.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewals {
    /// Which.
    pub faults: Vec<FaultId>,
    /// A third of the shortest lease among them.
    pub every: Option<Duration>,
    /// Counts how often the node's clock was asked for.
    pub clock: u64,
}

/// Every agent that has ever dialled in this life of the controller.
#[derive(Clone)]
pub struct Agents(Arc<Shared>);

struct Shared {
    holder: wire::Holder,
    began: Instant,
    notices: Teller,
    known: Mutex<HashMap<NodeName, Known>>,
}

struct Known {
    /// Which of the node's connections this is: a later one takes the place of an earlier one.
    connection: u64,
    link: Option<Link>,
    description: wire::Description,
    /// Why it takes no faults, by its last word; empty where it does.
    halted: String,
    /// Whether its answers to heartbeats say that: those of an older agent do not.
    tells_halted: bool,
    /// When it last confirmed a halt or a resume.
    braked: Moment,
    remote: Option<SocketAddr>,
    local: Option<SocketAddr>,
    heard: Instant,
    clock: Clock,
    renewals: watch::Sender<Renewals>,
    active: u32,
    /// Which process of an agent it is.
    instance: u64,
    /// When another one was last seen to take its place while it was connected.
    contested: Option<Instant>,
}

/// How long two agents of one certificate are told of (1 min): they take turns within seconds.
const CONTESTED: Duration = Duration::from_secs(60);

/// An agent, for people.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its node.
    pub node: NodeName,
    /// Whether it is connected.
    pub connected: bool,
    /// What it said of itself when it last connected.
    pub description: wire::Description,
    /// Why it takes no faults, as it said last; empty where it does.
    pub halted: String,
    /// When it was last heard, ago.
    pub heard_ago: Duration,
    /// Its clock.
    pub offset: Option<Offset>,
    /// Where it dialled from.
    pub remote: Option<SocketAddr>,
    /// How many faults it holds.
    pub active: u32,
    /// Whether another agent with this node's certificate takes its place again and again.
    pub contested: bool,
}

impl Agents {
    /// Nobody yet. What agents say is sent to the receiver.
    #[must_use]
    pub fn new(holder: wire::Holder) -> (Self, Notices) {
        let (notices, heard) = notices::notices();
        let known = Mutex::default();
        (Self(Arc::new(Shared { holder, began: Instant::now(), notices, known })), heard)
    }

    /// Now, on this controller's clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.0.began.elapsed()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<NodeName, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to an agent, if it is connected.
    #[must_use]
    pub(crate) fn link(&self, node: &NodeName) -> Option<Link> {
        self.known().get(node)?.link.clone()
    }

    /// Whether an agent takes faults, by its latest answer to a heartbeat; `None` of one that does not say so there.
    pub(crate) fn takes_faults(&self, node: &NodeName) -> Option<bool> {
        let known = self.known();
        let agent = known.get(node).filter(|agent| agent.tells_halted)?;
        Some(agent.halted.is_empty())
    }

    /// Why an agent that is connected takes no faults, as it said last; `None` where it does.
    pub(crate) fn halted(&self, node: &NodeName) -> Option<String> {
        let known = self.known();
        let agent = known.get(node).filter(|agent| agent.link.is_some())?;
        Some(agent.halted.clone()).filter(|halted| !halted.is_empty())
    }

    /// An agent has confirmed that it takes no faults for this reason, or that it does.
    pub(crate) fn confirmed_brake(&self, node: &NodeName, halted: Option<&str>) {
        let now = self.now();
        if let Some(known) = self.known().get_mut(node) {
            // It says so itself, of one without a reason.
            let reason =
                halted.map(|reason| if reason.is_empty() { "no reason given" } else { reason });
            (known.halted, known.braked) = (reason.unwrap_or_default().to_owned(), now);
        }
    }

    /// The way to every agent that is connected, by node.
    #[must_use]
    pub(crate) fn links(&self) -> BTreeMap<NodeName, Link> {
        let known = self.known();
        let links = known.iter().filter_map(|(node, one)| Some((node.clone(), one.link.clone()?)));
        links.collect()
    }

    /// A node's clock against ours.
    #[must_use]
    pub fn offset(&self, node: &NodeName) -> Option<Offset> {
        self.known().get(node)?.clock.offset(self.now())
    }

    /// Where agents reach this controller, as its end of their connections has it.
    #[must_use]
    pub fn control_path(&self) -> BTreeSet<SocketAddr> {
        self.known().values().filter_map(|known| known.local).collect()
    }

    /// What the next heartbeat to a node renews.
    pub fn renew(&self, node: &NodeName, renewals: Renewals) {
        if let Some(known) = self.known().get_mut(node) {
            known.active = u32::try_from(renewals.faults.len()).unwrap_or(u32::MAX);
            known.renewals.send_if_modified(|held| {
                let wanted = Renewals { clock: held.clock, ..renewals };
                let changes = *held != wanted;
                *held = wanted;
                changes
            });
        }
    }

    /// Asks a node for its clock at once: what is known of it grows old between heartbeats.
    pub fn ask_clock(&self, node: &NodeName) {
        if let Some(known) = self.known().get(node) {
            known.renewals.send_modify(|held| held.clock += 1);
        }
    }

    /// Every agent that is known, by node.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let now = self.now();
        let mut all: Vec<Seen> = self
            .known()
            .iter()
            .map(|(node, known)| Seen {
                node: node.clone(),
                connected: known.link.is_some(),
                description: known.description.clone(),
                halted: known.halted.clone(),
                heard_ago: known.heard.elapsed(),
                offset: known.clock.offset(now),
                remote: known.remote,
                active: known.active,
                contested: known.contested.is_some_and(|last| last.elapsed() < CONTESTED),
            })
            .collect();
        all.sort_by(|one, other| one.node.cmp(&other.node));
        all
    }

    /// Forgets nodes that are away.
    pub(crate) fn forget(&self, nodes: &BTreeSet<NodeName>) {
        self.known().retain(|node, known| known.link.is_some() || !nodes.contains(node));
    }

    fn notify(&self, notice: Notice) {
        self.0.notices.tell(notice);
    }
}

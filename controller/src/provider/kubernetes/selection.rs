//! Which pods can be hit, and why others cannot. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cluster::{Node, Phase, Pod};
use fault::{MemberName, NodeName};

use super::guard::{Guard, Protected};

/// The name of a pod, with its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodName {
    /// In which namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl PodName {
    pub(crate) fn of(pod: &Pod) -> Self {
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone(),
        }
    }

    /// What it is called in a group of pods, of whatever namespaces.
    #[must_use]
    pub fn member(&self) -> Option<MemberName> {
        MemberName::new(&format!("{}.{}", self.namespace, self.name))
    }
}

/// A pod that can be hit, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// What it is called.
    pub pod: PodName,
    /// Which one it is.
    pub uid: String,
    /// Where it runs.
    pub node: NodeName,
    /// Its addresses, at least one.
    pub addresses: BTreeSet<IpAddr>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Why a pod cannot be hit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It goes.
    #[error("it is terminating")]
    Terminating,
    /// All of its containers have ended.
    #[error("it has ended")]
    Ended,
    /// It has no node.
    #[error("it is pending: no node was found for it yet")]
    Unscheduled,
    /// None of its containers runs.
    #[error("it is pending: none of its containers runs yet")]
    Pending,
    /// Nobody knows where it can be reached.
    #[error("it has no address yet")]
    NoAddress,
    /// Its network is that of its node.
    #[error("its network is that of its node {0}, which other pods and the node itself use")]
    HostNetwork(String),
    /// Its node does not answer.
    #[error("its node {node} is not ready: {reason}")]
    NodeNotReady {
        /// Which.
        node: String,
        /// What is said of it.
        reason: String,
    },
    /// Its node is not known.
    #[error("its node {0} is not known to the API server")]
    NoNode(String),
    /// It would be gone for good.
    #[error("nothing makes it anew once it is gone")]
    Alone,
    /// It is not to be hit.
    #[error(transparent)]
    Protected(#[from] Protected),
}

impl Unusable {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Terminating | Self::Ended => "name the pod that takes its place",
            Self::Unscheduled | Self::Pending | Self::NoAddress => {
                "wait until it runs: `kubectl wait --for=condition=Ready`"
            }
            Self::HostNetwork(_) => {
                "name the node itself, host:NODE, or as a peer the addresses that are meant, addr:PREFIX"
            }
            Self::NodeNotReady { .. } | Self::NoNode(_) => {
                "`kubectl describe node` says what is wrong with it"
            }
            Self::Alone => "`schism pod terminate` and `schism pod evict` have it go all the same",
            Self::Protected(protected) => protected.hint(),
        }
    }

    /// Whether it may be hit a little later, without anybody changing anything.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Unscheduled
            | Self::Pending
            | Self::NoAddress
            | Self::NodeNotReady { .. }
            | Self::NoNode(_) => true,
            Self::Terminating
            | Self::Ended
            | Self::HostNetwork(_)
            | Self::Alone
            | Self::Protected(_) => false,
        }
    }

    /// Whether it is on its way out, and so none of those that are meant by a set.
    const fn leaves(&self) -> bool {
        match self {
            Self::Terminating | Self::Ended => true,
            Self::Unscheduled
            | Self::Pending
            | Self::NoAddress
            | Self::HostNetwork(_)
            | Self::NodeNotReady { .. }
            | Self::NoNode(_)
            | Self::Alone
            | Self::Protected(_) => false,
        }
    }
}

/// A pod that cannot be hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// Which.
    pub pod: PodName,
    /// Where it is; `None` where no node was found for it yet.
    pub node: Option<String>,
    /// Why not.
    pub why: Unusable,
}

/// The pods that a selector names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that can be hit, by their names.
    pub usable: Vec<Located>,
    /// Those that are meant and cannot be.
    pub unusable: Vec<Excluded>,
    /// Those that are on their way out.
    pub leaving: Vec<Excluded>,
}

impl Found {
    /// All of them, whatever can be done to them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &PodName> {
        let excluded = self.unusable.iter().chain(&self.leaving).map(|one| &one.pod);
        self.usable.iter().map(|one| &one.pod).chain(excluded)
    }

    /// Sorts pods by what can be done to them.
    pub(super) fn of(
        pods: &[Arc<Pod>],
        nodes: &BTreeMap<String, Arc<Node>>,
        guard: &Guard,
    ) -> Self {
        Self::sorted(pods, |pod| locate(pod, nodes, guard))
    }

    /// The same by whatever decides it.
    pub(super) fn sorted(
        pods: &[Arc<Pod>],
        locate: impl Fn(&Pod) -> Result<Located, Unusable>,
    ) -> Self {
        let mut found = Self::default();
        for pod in pods {
            let excluded =
                |why| Excluded { pod: PodName::of(pod), node: pod.spec.node_name.clone(), why };
            match locate(pod) {
                Ok(located) => found.usable.push(located),
                Err(why) if why.leaves() => found.leaving.push(excluded(why)),
                Err(why) => found.unusable.push(excluded(why)),
            }
        }
        found.usable.sort_by(|one, other| one.pod.cmp(&other.pod));
        found.unusable.sort_by(|one, other| one.pod.cmp(&other.pod));
        found.leaving.sort_by(|one, other| one.pod.cmp(&other.pod));
        found
    }

    /// Those of a node. What has no node yet is on none, and is told only where there is nothing else.
    #[must_use]
    pub fn on(mut self, node: &NodeName) -> Self {
        let is_there = |one: &Excluded| one.node.as_deref() == Some(node.as_str());
        self.usable.retain(|one| one.node == *node);
        self.leaving.retain(is_there);
        let (there, elsewhere): (Vec<_>, Vec<_>) = self.unusable.into_iter().partition(is_there);
        let nothing = self.usable.is_empty() && self.leaving.is_empty() && there.is_empty();
        self.unusable = if nothing {
            elsewhere.into_iter().filter(|one| one.node.is_none()).collect()
        } else {
            there
        };
        self
    }
}

pub(super) fn locate(
    pod: &Pod,
    nodes: &BTreeMap<String, Arc<Node>>,
    guard: &Guard,
) -> Result<Located, Unusable> {
    guard.admit(pod.metadata.namespace.as_deref().unwrap_or_default())?;
    let node = pod.spec.node_name.as_deref();
    guard.admit_pod(pod, node.and_then(|node| nodes.get(node)).map(Arc::as_ref))?;
    let node = scheduled(pod)?;
    has_own_network(pod, node)?;
    let known = nodes.get(node).ok_or_else(|| Unusable::NoNode(node.to_owned()))?;
    if let Some(reason) = known.unready() {
        let (node, reason) = (node.to_owned(), reason.to_owned());
        return Err(Unusable::NodeNotReady { node, reason });
    }
    reachable(running(pod, node)?)
}

/// Where a pod is that can be hit by all that it says itself: of its node nothing is known.
pub(super) fn touchable(pod: &Pod) -> Result<Located, Unusable> {
    let node = scheduled(pod)?;
    has_own_network(pod, node)?;
    reachable(running(pod, node)?)
}

/// Where a pod is of which something runs.
pub(super) fn begun(pod: &Pod) -> Result<Located, Unusable> {
    running(pod, scheduled(pod)?)
}

/// The node of a pod that is not on its way out.
fn scheduled(pod: &Pod) -> Result<&str, Unusable> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Err(Unusable::Terminating);
    }
    match pod.status.phase {
        Phase::Succeeded | Phase::Failed => return Err(Unusable::Ended),
        Phase::Pending | Phase::Running | Phase::Unknown => {}
    }
    pod.spec.node_name.as_deref().ok_or(Unusable::Unscheduled)
}

fn has_own_network(pod: &Pod, node: &str) -> Result<(), Unusable> {
    if pod.spec.host_network { Err(Unusable::HostNetwork(node.to_owned())) } else { Ok(()) }
}

fn running(pod: &Pod, node: &str) -> Result<Located, Unusable> {
    let all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let mut running = all.filter(|status| status.is_running() && status.id().is_some());
    let node = NodeName::new(node).ok_or_else(|| Unusable::NoNode(node.to_owned()))?;
    let located = Located::of(pod, node);
    // Between two lives of its only container nothing runs, and the pod is there all the same.
    if pod.status.phase == Phase::Pending && running.next().is_none() {
        return Err(Unusable::Pending);
    }
    Ok(located)
}

fn reachable(located: Located) -> Result<Located, Unusable> {
    if located.addresses.is_empty() {
        return Err(Unusable::NoAddress);
    }
    Ok(located)
}

impl Located {
    /// A pod that is on a node, however it is.
    pub(super) fn of(pod: &Pod, node: NodeName) -> Self {
        Self {
            pod: PodName::of(pod),
            uid: pod.metadata.uid.clone(),
            node,
            addresses: pod.status.pod_ips.iter().filter_map(|one| one.ip.parse().ok()).collect(),
            labels: pod.metadata.labels.clone(),
        }
    }
}

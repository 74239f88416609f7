//! What the API server is asked to do: that pods go, and that none come to a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{ApiError, Grace, Name, NameError, Node, Pod, Reason, Selection, Watch, Within};
use fault::{IntentId, NodeName};

use super::asking::PodsError;
use super::inmates::stays;
use super::mark::{self, Mark, Put, Taken};
use super::selection::{PodName, locate};
use super::{Kubernetes, likeness};
use crate::disruption::Manner;

/// How often a node is looked at again that somebody else has changed meanwhile: its kubelet does so all the time.
const TRIES: usize = 8;

/// Why the API server did not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeedError {
    /// A PodDisruptionBudget forbids it.
    #[error("{0}")]
    Budget(String),
    /// The controller has no right to it.
    #[error(
        "{error}; the controller has the right to {what} only where `schism install --allow {allow}` gives it"
    )]
    Forbidden {
        /// What it was to do.
        what: &'static str,
        /// How the right is called.
        allow: &'static str,
        /// What was said.
        error: ApiError,
    },
    /// It is another one by now.
    #[error("it was gone already")]
    Gone,
    /// Anything else.
    #[error(transparent)]
    Api(ApiError),
    /// A name that it would not take.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl DeedError {
    /// Whether the API server, or somebody by it, says that it must not be.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Budget(_) | Self::Forbidden { .. } => true,
            Self::Gone | Self::Api(_) | Self::Name(_) => false,
        }
    }

    /// Whether the same may be done a little later, budgets apart.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Api(error) => error.is_passing(),
            Self::Budget(_) | Self::Forbidden { .. } | Self::Gone | Self::Name(_) => false,
        }
    }

    fn of(error: ApiError, what: &'static str, allow: &'static str) -> Self {
        if let Some(said) = error.budget() {
            return Self::Budget(said.to_owned());
        }
        if error.reason() == Some(&Reason::Forbidden) {
            return Self::Forbidden { what, allow, error };
        }
        Self::Api(error)
    }
}

/// How a node stands after it was to be cordoned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cordoned {
    /// As it was to be.
    Ours,
    /// Somebody else had cordoned it before.
    Foreign,
    /// Another one of ours has.
    Taken(Mark),
}

/// What became of a node of which something was to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Pods may come again.
    Uncordoned,
    /// Somebody had let them come before.
    Open,
    /// Nothing was ours any more, or the node is gone.
    Nothing,
}

/// The pods of a node that is to be drained.
#[derive(Clone, Debug, Default)]
pub struct Inmates {
    /// Those that go.
    pub evicted: Vec<Pod>,
    /// Of these, those that agents know.
    pub located: Vec<PodName>,
}

impl Kubernetes {
    /// Has a pod go, if it is still the one with this UID.
    ///
    /// # Errors
    /// It does not go, and why.
    pub async fn remove(
        &self,
        pod: &PodName,
        uid: &str,
        manner: Manner,
        grace: Option<Grace>,
    ) -> Result<(), DeedError> {
        let (within, name) = (Within::Namespace(pod.namespace.parse()?), pod.name.parse()?);
        let (asked, what) = match manner {
            Manner::Restart => {
                (self.client.delete_pod(&within, &name, uid, grace).await, "delete pods")
            }
            Manner::Terminate => {
                (self.client.delete_pod(&within, &name, uid, Some(Grace(0))).await, "delete pods")
            }
            Manner::Evict => (self.client.evict(&within, &name, uid, grace).await, "evict pods"),
        };
        match asked {
            Err(error) if error.reason() == Some(&Reason::Conflict) => Err(DeedError::Gone),
            asked => asked.map_err(|error| DeedError::of(error, what, "pods")),
        }
    }

    /// What becomes of the pods of a namespace, from now on.
    ///
    /// # Errors
    /// No name of a namespace.
    pub fn pods_of(&self, namespace: &str) -> Result<Watch<Pod>, NameError> {
        Ok(self.client.watch(Within::Namespace(namespace.parse()?), Selection::default()))
    }

    /// What becomes of the pods of a node, from now on.
    #[must_use]
    pub fn pods_on(&self, node: &NodeName) -> Watch<Pod> {
        self.client.watch(Within::Cluster, on(node))
    }

    /// Pods as they are now, by UID; those that are gone are missing. One question for each namespace.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn as_they_are(
        &self,
        pods: &[(PodName, String)],
    ) -> Result<BTreeMap<String, Pod>, PodsError> {
        let mut all = BTreeMap::new();
        let namespaces: std::collections::BTreeSet<&str> =
            pods.iter().map(|(pod, _)| pod.namespace.as_str()).collect();
        for namespace in namespaces {
            let within = Within::Namespace(namespace.parse()?);
            let there = self.client.list::<Pod>(&within, &Selection::default()).await?.items;
            let is_meant = |pod: &Pod| pods.iter().any(|(_, uid)| *uid == pod.metadata.uid);
            let meant = there.into_iter().filter(is_meant);
            all.extend(meant.map(|pod| (pod.metadata.uid.clone(), pod)));
        }
        Ok(all)
    }

    /// A node that may be cordoned.
    ///
    /// # Errors
    /// There is none of this name, or it is left alone.
    pub async fn node(&self, node: &NodeName) -> Result<Node, PodsError> {
        let name: Name = node.as_str().parse()?;
        let found = match self.client.get::<Node>(&Within::Cluster, &name).await {
            Err(error) if error.reason() == Some(&Reason::NotFound) => {
                let there = self.client.list::<Node>(&Within::Cluster, &Selection::default()).await;
                let there = there.map(|list| list.items).unwrap_or_default();
                let there: Vec<String> = there.into_iter().map(|node| node.metadata.name).collect();
                let hint = likeness::hint(node.as_str(), &there);
                return Err(PodsError::NoNode { name: node.clone(), hint });
            }
            found => found?,
        };
        let admitted = self.guard.admit_node(&found);
        admitted.map_err(|why| PodsError::Node { node: node.clone(), why })?;
        Ok(found)
    }

    /// The pods of a node that go where it is drained, each of which may be hit.
    ///
    /// # Errors
    /// One of them may not, or the API server does not say.
    pub async fn inmates(&self, node: &Node, name: &NodeName) -> Result<Inmates, PodsError> {
        let there = self.client.list::<Pod>(&Within::Cluster, &on(name)).await?.items;
        let nodes = BTreeMap::from([(node.metadata.name.clone(), Arc::new(node.clone()))]);
        let mut inmates = Inmates::default();
        for pod in there {
            if stays(&pod).is_some() {
                continue;
            }
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let admitted = self.guard.admit(namespace);
            admitted
                .and_then(|()| self.guard.admit_pod(&pod, Some(node)))
                .map_err(|why| PodsError::Unusable { pod: PodName::of(&pod), why: why.into() })?;
            if locate(&pod, &nodes, &self.guard).is_ok() {
                inmates.located.push(PodName::of(&pod));
            }
            inmates.evicted.push(pod);
        }
        Ok(inmates)
    }

    /// Has no pods come to a node, and says so on it, in one call.
    ///
    /// # Errors
    /// Nothing was changed, and why, or that is not known.
    pub async fn cordon(&self, node: &NodeName, mark: &Mark) -> Result<Cordoned, DeedError> {
        let name: Name = node.as_str().parse()?;
        let failed = |error| DeedError::of(error, "cordon nodes", "nodes");
        let mut tries = 0;
        loop {
            let found = self.client.get::<Node>(&Within::Cluster, &name).await.map_err(failed)?;
            let change = match mark.put(&found) {
                Put::Done => return Ok(Cordoned::Ours),
                Put::Foreign => return Ok(Cordoned::Foreign),
                Put::Taken(other) => return Ok(Cordoned::Taken(other)),
                Put::Change(change) => change,
            };
            tries += 1;
            match self.client.merge::<Node>(&Within::Cluster, &name, &change).await {
                Ok(_) => return Ok(Cordoned::Ours),
                Err(error) if is_conflict(&error) && tries < TRIES => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Has pods come to a node again, if it is by this that none do.
    ///
    /// # Errors
    /// Whether they may is not known.
    pub async fn uncordon(&self, node: &NodeName, id: IntentId) -> Result<Undone, DeedError> {
        let name: Name = node.as_str().parse()?;
        let failed = |error| DeedError::of(error, "cordon nodes", "nodes");
        let mut tries = 0;
        loop {
            let found = match self.client.get::<Node>(&Within::Cluster, &name).await {
                Err(error) if error.reason() == Some(&Reason::NotFound) => {
                    return Ok(Undone::Nothing);
                }
                found => found.map_err(failed)?,
            };
            let (change, undone) = match mark::take(id, &found) {
                Taken::Nothing => return Ok(Undone::Nothing),
                Taken::Open(change) => (change, Undone::Open),
                Taken::Change(change) => (change, Undone::Uncordoned),
            };
            tries += 1;
            match self.client.merge::<Node>(&Within::Cluster, &name, &change).await {
                Ok(_) => return Ok(undone),
                Err(error) if error.reason() == Some(&Reason::NotFound) => {
                    return Ok(Undone::Nothing);
                }
                Err(error) if is_conflict(&error) && tries < TRIES => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// The nodes that say that they are cordoned by us.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn marked(&self) -> Result<Vec<(NodeName, Mark)>, ApiError> {
        let all = self.client.list::<Node>(&Within::Cluster, &Selection::default()).await?.items;
        let marked = |node: &Node| Some((NodeName::new(&node.metadata.name)?, Mark::of(node)?));
        Ok(all.iter().filter_map(marked).collect())
    }
}

fn on(node: &NodeName) -> Selection {
    Selection { labels: None, fields: Some(format!("spec.nodeName={node}")) }
}

fn is_conflict(error: &ApiError) -> bool {
    error.reason() == Some(&Reason::Conflict)
}

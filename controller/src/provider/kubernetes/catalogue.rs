//! All pods and nodes of a cluster as its API server tells them, so that a fault asks it for nothing that is told.
//!
//! What is told may be old, by moments while both watches are current, and is not used at all while one is not. What
//! follows from it is bounded by where it is used: the agent of a node makes sure that a pod is the one that is meant and
//! has the addresses that are told; and whatever would be refused, or is not there, is asked for before that is said.

mod shelf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{Client, Event, Node, Pod, Selection, Watch, Within};
use fault::LabelSelector;
use tokio::task::JoinSet;

use shelf::Slim;
pub(super) use shelf::{Moved, Shelf, Subscription};

use super::selection::PodName;

/// How many objects come in one answer, where all are listed: of a thousand pods as they are sent each takes kilobytes.
const PAGE: usize = 100;

/// What is known of a cluster. Clones share it; with the last of them it ends.
#[derive(Clone, Debug)]
pub(super) struct Catalogue(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    pods: Arc<Shelf<Pod>>,
    nodes: Arc<Shelf<Node>>,
    /// They end with it.
    _watching: JoinSet<()>,
}

impl Catalogue {
    /// Begins to watch.
    pub(super) fn open(client: &Client) -> Self {
        let client = client.clone().in_pages_of(PAGE);
        let mut watching = JoinSet::new();
        let pods = follow(&client, &mut watching);
        let nodes = follow(&client, &mut watching);
        Self(Arc::new(Kept { pods, nodes, _watching: watching }))
    }

    /// Whether what is known is how things are, or were moments ago.
    pub(super) fn is_current(&self) -> bool {
        self.0.pods.is_current() && self.0.nodes.is_current()
    }

    pub(super) fn pod(&self, name: &PodName) -> Option<Arc<Pod>> {
        self.0.pods.get(&name.namespace, &name.name)
    }

    /// Those of a namespace, by their names.
    pub(super) fn within(&self, namespace: &str) -> Vec<Arc<Pod>> {
        self.0.pods.within(namespace)
    }

    /// Those of them that have these labels.
    pub(super) fn pods(&self, namespace: &str, labels: &LabelSelector) -> Vec<Arc<Pod>> {
        let mut all = self.within(namespace);
        all.retain(|pod| labels.selects(&pod.metadata.labels));
        all
    }

    /// All of all namespaces.
    pub(super) fn all(&self) -> Vec<Arc<Pod>> {
        self.0.pods.all()
    }

    pub(super) fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.0.nodes.get("", name)
    }

    /// Tells of pods from now on.
    pub(super) fn subscribe(&self) -> Subscription<Pod> {
        Subscription::of(&self.0.pods)
    }
}

/// Watches all of a kind.
fn follow<R: Slim>(client: &Client, watching: &mut JoinSet<()>) -> Arc<Shelf<R>> {
    let watch = client.watch::<R>(Within::Cluster, Selection::default()).keeping(R::slim);
    let shelf = Arc::new(Shelf::new(watch.pulse()));
    watching.spawn(keep(Arc::clone(&shelf), watch));
    shelf
}

async fn keep<R: Slim>(shelf: Arc<Shelf<R>>, mut watch: Watch<R>) {
    // What was last told of an API server that does not answer, so that hours of it fill no disk.
    let mut trouble = String::new();
    loop {
        let event = watch.next().await;
        if let Event::Trouble(error) = &event {
            let reason = error.to_string();
            if trouble != reason {
                tracing::warn!(%reason, "asked for at each fault until that is over");
                trouble = reason;
            }
        } else {
            trouble.clear();
        }
        shelf.take(event);
    }
}

impl Slim for Pod {
    fn slim(mut self) -> Self {
        const USED: [&str; 2] =
            ["kubernetes.io/config.hash", "kubectl.kubernetes.io/default-container"];
        self.metadata.annotations.retain(|key, _| USED.contains(&key.as_str()));
        self.metadata.finalizers = Vec::new();
        self.metadata.owner_references.retain(|owner| owner.controller == Some(true));
        self.metadata.owner_references.shrink_to_fit();
        for container in self.spec.containers.iter_mut().chain(&mut self.spec.init_containers) {
            container.ports.shrink_to_fit();
        }
        self.spec.containers.shrink_to_fit();
        self.spec.init_containers.shrink_to_fit();
        self.status.conditions = Vec::new();
        self.status.pod_ips.shrink_to_fit();
        self.status.container_statuses.shrink_to_fit();
        self.status.init_container_statuses.shrink_to_fit();
        self
    }
}

impl Slim for Node {
    fn slim(mut self) -> Self {
        self.metadata.annotations = BTreeMap::new();
        self.metadata.finalizers = Vec::new();
        self.status.conditions.retain(|condition| condition.kind == "Ready");
        self.status.conditions.shrink_to_fit();
        self
    }
}

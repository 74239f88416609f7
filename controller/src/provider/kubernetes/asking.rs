//! What is asked of the API server for a selector.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::{
    ApiError, Client, Deployment, Name, NameError, NamespaceObject, Node, Pod, Reason, ReplicaSet,
    Resource, Selection, StatefulSet, Within, WorkloadSpec,
};
use fault::{ContainerName, KubernetesPods, LabelSelector, NodeName, ObjectName, PodUid, PodsBy};
use futures_util::future::try_join_all;

use super::catalogue::Catalogue;
use super::guard::Protected;
use super::roll::Roll;
use super::selection::{Found, Located, PodName, Unusable};
use super::{Kubernetes, likeness};

/// Of so many nodes each is asked for by itself; of more, all at once.
const FEW_NODES: usize = 4;

/// Of whom pods are known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// They are told.
    Told(&'a Catalogue),
    /// They are asked for now.
    Asked,
}

/// Why no pods were found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodsError {
    /// There is nobody to ask.
    #[error("this controller knows no Kubernetes cluster")]
    NoCluster,
    /// The API server did not say.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A name that it would not take.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No such object.
    #[error("namespace {namespace} has no {kind} {name}")]
    NoObject {
        /// In which namespace.
        namespace: String,
        /// Of which kind.
        kind: &'static str,
        /// Which.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// No such namespace.
    #[error("there is no namespace {name}")]
    NoNamespace {
        /// Which.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// A service that is but a name.
    #[error(
        "service {namespace}/{name} is but a name for {stands_for}: it has no addresses of its own"
    )]
    ExternalName {
        /// In which namespace.
        namespace: String,
        /// Which.
        name: String,
        /// The name for which it stands.
        stands_for: String,
    },
    /// No such container.
    #[error("pod {pod} has no container {container}")]
    NoContainer {
        /// In which pod.
        pod: PodName,
        /// Which.
        container: String,
        /// What may have been meant.
        hint: String,
    },
    /// A pod that cannot be hit.
    #[error("pod {pod} cannot be hit: {why}")]
    Unusable {
        /// Which.
        pod: PodName,
        /// Why not.
        why: Unusable,
    },
    /// A service that is left alone.
    #[error("service {service} cannot be cut off: {why}")]
    Service {
        /// Which.
        service: PodName,
        /// Why not.
        why: Protected,
    },
    /// No such node.
    #[error("the cluster has no node {name}")]
    NoNode {
        /// Which.
        name: NodeName,
        /// What may have been meant.
        hint: String,
    },
    /// A node that is left alone.
    #[error("node {node} cannot be cordoned: {why}")]
    Node {
        /// Which.
        node: NodeName,
        /// Why not.
        why: Protected,
    },
    /// The node has no agent here.
    #[error("pod {pod} is on node {node}, whose agent is not connected")]
    NoAgent {
        /// Which.
        pod: PodName,
        /// Where it is.
        node: NodeName,
    },
    /// The agent finds nothing of it.
    #[error("the agent of {node} finds no process of pod {pod}")]
    NotOnNode {
        /// Which.
        pod: PodName,
        /// Where it should be.
        node: NodeName,
    },
    /// Nobody can say whether it may be hit.
    #[error("it is in a pod, {uid}, which the API server does not have on node {node}")]
    Unknown {
        /// Which pod.
        uid: PodUid,
        /// Where it is.
        node: NodeName,
    },
    /// The agent finds something else in its place.
    #[error("pod {pod} has {} for the API server and {} on node {node}", list(told), list(found))]
    OtherAddresses {
        /// Which.
        pod: PodName,
        /// Where it is.
        node: NodeName,
        /// Its addresses as the API server has them.
        told: BTreeSet<std::net::IpAddr>,
        /// As its node has them.
        found: BTreeSet<std::net::IpAddr>,
    },
}

fn list(addresses: &BTreeSet<std::net::IpAddr>) -> String {
    match addresses.len() {
        0 => "no address".to_owned(),
        _ => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

impl PodsError {
    /// What to do about it; empty where that is said already.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoCluster => {
                "`schism serve --kubernetes`, or [kubernetes] in the schism.toml of the \
                                controller, says where one is"
                    .to_owned()
            }
            Self::Api(error) => error.hint().to_owned(),
            Self::Name(_) => String::new(),
            Self::NoObject { hint, .. }
            | Self::NoNamespace { hint, .. }
            | Self::NoNode { hint, .. }
            | Self::NoContainer { hint, .. } => hint.clone(),
            Self::ExternalName { .. } => {
                "name the addresses that are meant, addr:PREFIX, in a cut of its own".to_owned()
            }
            Self::Unusable { why, .. } => why.hint().to_owned(),
            Self::Service { why, .. } | Self::Node { why, .. } => why.hint().to_owned(),
            Self::Unknown { .. } => {
                "what the cluster does not know may be anybody's; `kubectl get pods -A` lists those that it has"
                    .to_owned()
            }
            Self::NoAgent { .. } => "`schism agents` lists the nodes that are there".to_owned(),
            Self::NotOnNode { .. } | Self::OtherAddresses { .. } => {
                "it may have been made anew just now: ask again".to_owned()
            }
        }
    }
}

impl Kubernetes {
    /// The pods that a selector names now, and how they are. Of a container that is named it is made sure that
    /// its pod has one. What is told of pods is believed where all of them can be hit: whatever is not there, or in the
    /// way, is asked for.
    ///
    /// # Errors
    /// The API server does not say, or there is nothing of that name.
    pub async fn find(&self, pods: &KubernetesPods) -> Result<Found, PodsError> {
        self.admit_named(pods)?;
        if let Some(catalogue) = self.current() {
            let found = self.found(pods, Source::Told(catalogue)).await?;
            if !found.usable.is_empty() && found.unusable.is_empty() {
                return Ok(found);
            }
        }
        self.found(pods, Source::Asked).await
    }

    /// The same, where the API server is asked in any case.
    ///
    /// # Errors
    /// As those of [`Self::find`].
    pub async fn find_anew(&self, pods: &KubernetesPods) -> Result<Found, PodsError> {
        self.admit_named(pods)?;
        self.found(pods, Source::Asked).await
    }

    /// The same for whoever is told what becomes of them: what is told is believed as it is.
    ///
    /// # Errors
    /// As those of [`Self::find`].
    pub async fn find_told(&self, pods: &KubernetesPods) -> Result<Found, PodsError> {
        self.admit_named(pods)?;
        self.found(pods, self.current().map_or(Source::Asked, Source::Told)).await
    }

    /// Before anything is told of it.
    fn admit_named(&self, pods: &KubernetesPods) -> Result<(), PodsError> {
        let namespace = pods.namespace.as_str();
        self.guard.admit(namespace).map_err(|protected| {
            let (namespace, name) = (namespace.to_owned(), named(&pods.which));
            let (pod, why) = (PodName { namespace, name }, protected.into());
            PodsError::Unusable { pod, why }
        })
    }

    async fn found(&self, pods: &KubernetesPods, source: Source<'_>) -> Result<Found, PodsError> {
        let namespace = pods.namespace.as_str();
        let within = Within::Namespace(namespace.parse()?);
        let named = self.named(&within, pods, source).await?;
        if named.is_empty() && matches!(source, Source::Asked) {
            self.check_namespace(namespace).await?;
        }
        match (check_containers(&named, &pods.which), source) {
            (Err(_), Source::Told(_)) => return Ok(Found::default()),
            (checked, _) => checked?,
        }
        let nodes: BTreeSet<&str> =
            named.iter().filter_map(|pod| pod.spec.node_name.as_deref()).collect();
        let nodes = self.nodes(&nodes).await?;
        Ok(Found::of(&named, &nodes, &self.guard))
    }

    /// Makes sure that pods may be hit that agents have found on their nodes, under whatever name. Returned: what the
    /// API server has of each.
    ///
    /// # Errors
    /// One of them may not, or the API server does not say or does not know it.
    pub async fn admit(
        &self,
        found: &BTreeSet<(NodeName, PodUid)>,
    ) -> Result<BTreeMap<(NodeName, PodUid), Located>, PodsError> {
        let mut roll = Roll::of(found);
        let names = roll.nodes();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let nodes = self.nodes(&names).await?;
        let admit = |pod: &Pod, node: &str| {
            let admitted = self.guard.admit(pod.metadata.namespace.as_deref().unwrap_or_default());
            let node = nodes.get(node).map(Arc::as_ref);
            admitted.and_then(|()| self.guard.admit_pod(pod, node))
        };
        if let Some(catalogue) = self.current() {
            roll.call(&catalogue.all());
        }
        // Whoever would be refused is asked for.
        let asked = roll.doubtful(|pod, node| admit(pod, node).is_ok());
        if asked.len() > FEW_NODES {
            asked.iter().for_each(|node| roll.forget(node));
            roll.call(&self.list_pods(&Within::Cluster, &Selection::default()).await?);
        } else {
            let one = async |node: &str| {
                let fields = Some(format!("spec.nodeName={node}"));
                self.list_pods(&Within::Cluster, &Selection { labels: None, fields }).await
            };
            let there = try_join_all(asked.iter().map(|node| one(node))).await?;
            asked.iter().zip(&there).for_each(|(node, there)| roll.call_on(node, there));
        }
        let mut known = BTreeMap::new();
        for (node, uid) in found {
            let unknown = || PodsError::Unknown { uid: uid.clone(), node: node.clone() };
            let there = roll.found(node, uid);
            let pod = there.first().ok_or_else(unknown)?;
            for pod in there {
                admit(pod, node.as_str()).map_err(|protected| PodsError::Unusable {
                    pod: PodName::of(pod),
                    why: protected.into(),
                })?;
            }
            known.insert((node.clone(), uid.clone()), Located::of(pod, node.clone()));
        }
        Ok(known)
    }

    /// The pod of a name, however it is and whether or not it may be hit; `None` where there is none.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn pod(&self, name: &PodName, node: &NodeName) -> Result<Option<Located>, PodsError> {
        if let Some(pod) = self.current().and_then(|catalogue| catalogue.pod(name)) {
            return Ok(Some(Located::of(&pod, node.clone())));
        }
        let within = Within::Namespace(name.namespace.parse()?);
        match self.client.get::<Pod>(&within, &name.name.parse()?).await {
            Ok(pod) => Ok(Some(Located::of(&pod, node.clone()))),
            Err(error) if error.reason() == Some(&Reason::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn named(
        &self,
        within: &Within,
        pods: &KubernetesPods,
        source: Source<'_>,
    ) -> Result<Vec<Arc<Pod>>, PodsError> {
        match &pods.which {
            PodsBy::Service(name) => {
                let told = self.service_of(within, pods, name).await?;
                self.behind(within, &told, source).await
            }
            PodsBy::Name { pod, .. } => match source {
                Source::Told(catalogue) => {
                    let (namespace, name) = (pods.namespace.to_string(), pod.to_string());
                    Ok(catalogue.pod(&PodName { namespace, name }).into_iter().collect())
                }
                Source::Asked => Ok(vec![Arc::new(self.object::<Pod>(within, pods, pod).await?)]),
            },
            PodsBy::StatefulSet { name, ordinal } => {
                let set: StatefulSet = self.object(within, pods, name).await?;
                let makers = [set.metadata.uid];
                let mut all = self.made_by(pods, within, &set.spec, &makers, source).await?;
                if let Some(ordinal) = ordinal {
                    let one = format!("{name}-{ordinal}");
                    all.retain(|pod| pod.metadata.name == one);
                }
                Ok(all)
            }
            PodsBy::Deployment(name) => {
                let deployment: Deployment = self.object(within, pods, name).await?;
                let labels = selection(&deployment.spec);
                let sets = self.client.list::<ReplicaSet>(within, &labels).await?.items;
                let own = |set: &ReplicaSet| {
                    let owner = set.metadata.controller();
                    owner.is_some_and(|owner| owner.uid == deployment.metadata.uid)
                };
                let sets = sets.into_iter().filter(own).map(|set| set.metadata.uid);
                let sets: Vec<String> = sets.collect();
                self.made_by(pods, within, &deployment.spec, &sets, source).await
            }
            PodsBy::Labels(labels) => match source {
                Source::Told(catalogue) => Ok(catalogue.pods(pods.namespace.as_str(), labels)),
                Source::Asked => {
                    self.list_pods(within, &Selection::labels(labels.to_string())).await
                }
            },
        }
    }

    /// The pods that one of these has made, and not merely those whose labels fit: others may have them too.
    async fn made_by(
        &self,
        pods: &KubernetesPods,
        within: &Within,
        spec: &WorkloadSpec,
        makers: &[String],
        source: Source<'_>,
    ) -> Result<Vec<Arc<Pod>>, PodsError> {
        let mut all = match (source, spec.selector.to_string().parse::<LabelSelector>()) {
            (Source::Told(catalogue), Ok(labels)) => {
                catalogue.pods(pods.namespace.as_str(), &labels)
            }
            (Source::Told(_), Err(_)) | (Source::Asked, _) => {
                self.list_pods(within, &selection(spec)).await?
            }
        };
        all.retain(|pod| {
            pod.metadata.controller().is_some_and(|owner| makers.contains(&owner.uid))
        });
        Ok(all)
    }

    pub(super) async fn list_pods(
        &self,
        within: &Within,
        selection: &Selection,
    ) -> Result<Vec<Arc<Pod>>, PodsError> {
        let all = self.client.list::<Pod>(within, selection).await?.items;
        Ok(all.into_iter().map(Arc::new).collect())
    }

    pub(super) async fn object<R: Resource>(
        &self,
        within: &Within,
        pods: &KubernetesPods,
        name: &ObjectName,
    ) -> Result<R, PodsError> {
        let wanted: Name = name.as_str().parse()?;
        match self.client.get::<R>(within, &wanted).await {
            Err(error) if error.reason() == Some(&Reason::NotFound) => {
                self.check_namespace(pods.namespace.as_str()).await?;
                let there = names::<R>(&self.client, within).await;
                Err(PodsError::NoObject {
                    namespace: pods.namespace.to_string(),
                    kind: R::KIND.kind,
                    name: name.to_string(),
                    hint: likeness::hint(name.as_str(), &there),
                })
            }
            found => Ok(found?),
        }
    }

    /// Makes sure that a namespace is there of which nothing was found. Who may not look finds no fault.
    pub(super) async fn check_namespace(&self, name: &str) -> Result<(), PodsError> {
        let wanted: Name = name.parse()?;
        match self.client.get::<NamespaceObject>(&Within::Cluster, &wanted).await {
            Err(error) if error.reason() == Some(&Reason::NotFound) => {
                let there = names::<NamespaceObject>(&self.client, &Within::Cluster).await;
                let hint = likeness::hint(name, &there);
                Err(PodsError::NoNamespace { name: name.to_owned(), hint })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Nodes by their names. One by which its pods would be refused, or that is not told of, is asked for.
    pub(super) async fn nodes(
        &self,
        names: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Arc<Node>>, PodsError> {
        let told = |name: &str| {
            let node = self.current()?.node(name)?;
            (node.unready().is_none() && !node.is_of_control_plane()).then_some(node)
        };
        let mut nodes = BTreeMap::new();
        let mut asked = BTreeSet::new();
        for name in names {
            if let Some(node) = told(name) {
                nodes.insert((*name).to_owned(), node);
            } else {
                asked.insert(*name);
            }
        }
        let known: Vec<Node> = if asked.len() > FEW_NODES {
            self.client.list(&Within::Cluster, &Selection::default()).await?.items
        } else {
            let one = async |name: &str| {
                let name: Name = name.parse()?;
                match self.client.get::<Node>(&Within::Cluster, &name).await {
                    Err(error) if error.reason() == Some(&Reason::NotFound) => Ok(None),
                    found => Ok::<_, PodsError>(Some(found?)),
                }
            };
            let known = try_join_all(asked.iter().map(|name| one(name))).await?;
            known.into_iter().flatten().collect()
        };
        nodes.extend(known.into_iter().map(|node| (node.metadata.name.clone(), Arc::new(node))));
        Ok(nodes)
    }
}

/// What there is of a kind, for people; nothing where that cannot be told.
async fn names<R: Resource>(client: &Client, within: &Within) -> Vec<String> {
    let all = client.list::<R>(within, &Selection::default()).await;
    let all = all.map(|list| list.items).unwrap_or_default();
    all.iter().map(|one| one.metadata().name.clone()).collect()
}

pub(super) fn selection(spec: &WorkloadSpec) -> Selection {
    Selection::labels(spec.selector.to_string())
}

pub(super) fn named(which: &PodsBy) -> String {
    match which {
        PodsBy::Name { pod, .. } => pod.to_string(),
        PodsBy::StatefulSet { name, .. } | PodsBy::Deployment(name) | PodsBy::Service(name) => {
            name.to_string()
        }
        PodsBy::Labels(labels) => labels.to_string(),
    }
}

/// Makes sure that pods have the container that is named with them, if one is.
pub(super) fn check_containers(pods: &[Arc<Pod>], which: &PodsBy) -> Result<(), PodsError> {
    match which {
        PodsBy::Name { container: Some(container), .. } => {
            pods.iter().try_for_each(|pod| check_container(pod, container))
        }
        PodsBy::Name { container: None, .. }
        | PodsBy::StatefulSet { .. }
        | PodsBy::Deployment(_)
        | PodsBy::Service(_)
        | PodsBy::Labels(_) => Ok(()),
    }
}

fn check_container(pod: &Pod, wanted: &ContainerName) -> Result<(), PodsError> {
    let all = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let there: Vec<String> = all.map(|container| container.name.clone()).collect();
    if there.iter().any(|name| name == wanted.as_str()) {
        return Ok(());
    }
    let (pod, container) = (PodName::of(pod), wanted.to_string());
    let hint = likeness::hint(wanted.as_str(), &there);
    Err(PodsError::NoContainer { pod, container, hint })
}

//! Looking at every cluster that can be asked, and at who owns its members' addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use fault::{Aspect, ClusterName, ClusterPath, MemberName, NodeName, Target};
use futures_util::future::join_all;

use super::pods;
use crate::agents::Agents;
use crate::provider::etcd::Etcd;
use crate::provider::kubernetes::{GroupsError, Homes, Kubernetes, Located};
use crate::provider::zeebe::Zeebe;
use crate::sight::{AskError, Cluster, GroupName, Sight, System, View};

/// How long the agents may take to say which addresses are their targets'.
const PATIENCE: Duration = Duration::from_secs(5);

/// The clusters that a controller can ask, by name.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    etcd: BTreeMap<ClusterName, Etcd>,
    zeebe: BTreeMap<ClusterName, Zeebe>,
    kubernetes: Option<Kubernetes>,
}

type Owned = BTreeMap<NodeName, Result<Vec<Target>, String>>;

impl Clusters {
    /// These clusters.
    #[must_use]
    pub fn new(
        etcd: impl IntoIterator<Item = (ClusterName, Etcd)>,
        zeebe: impl IntoIterator<Item = (ClusterName, Zeebe)>,
    ) -> Self {
        let (etcd, zeebe) = (etcd.into_iter().collect(), zeebe.into_iter().collect());
        Self { etcd, zeebe, kubernetes: None }
    }

    /// The same, and the Kubernetes cluster in which agents are.
    #[must_use]
    pub fn within(mut self, kubernetes: Option<Kubernetes>) -> Self {
        self.kubernetes = kubernetes;
        self
    }

    /// The same, where pods and nodes of the Kubernetes cluster are watched from now on.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.kubernetes = self.kubernetes.map(Kubernetes::watched);
        self
    }

    /// The Kubernetes cluster, where there is one.
    pub(crate) fn kubernetes(&self) -> Option<&Kubernetes> {
        self.kubernetes.as_ref()
    }

    /// Whether the settings call a cluster so.
    #[must_use]
    pub fn has(&self, group: &GroupName) -> bool {
        let name = &group.path.name;
        let named = match group.system {
            System::Etcd => self.etcd.contains_key(name),
            System::Zeebe => self.zeebe.contains_key(name),
        };
        named && group.path.instance().is_none()
    }

    /// Asks all of them and all agents, and of those that are in namespaces the ones that are meant; what cannot be seen
    /// is part of the sight.
    pub(super) async fn sight(&self, agents: &Agents, meant: &BTreeSet<GroupName>) -> Sight {
        let housed = meant.iter().filter(|group| !self.has(group)).cloned().collect();
        let mut housed_only = Sight::default();
        let (mut sight, ()) =
            tokio::join!(self.configured(agents), self.look_at(agents, &mut housed_only, housed));
        sight.housed = housed_only.housed;
        sight.silent.extend(housed_only.silent);
        sight
    }

    /// Adds to a sight those of namespaces that are not in it yet, and what the agents of their nodes say.
    pub(super) async fn look_at(
        &self,
        agents: &Agents,
        sight: &mut Sight,
        meant: BTreeSet<GroupName>,
    ) {
        let Some(kubernetes) = &self.kubernetes else { return };
        let new = meant.into_iter().filter(|group| !sight.housed.contains_key(group));
        let new: Vec<GroupName> = new.collect();
        let seen = new.into_iter().map(async |group| {
            let seen = housed(kubernetes, agents, &group).await;
            (group, seen)
        });
        for (group, seen) in join_all(seen).await {
            let seen = seen.map(|(cluster, silent)| {
                sight.silent.extend(silent);
                cluster
            });
            sight.housed.insert(group, seen);
        }
    }

    /// Asks those of the settings, and all agents.
    async fn configured(&self, agents: &Agents) -> Sight {
        let etcd = |(name, etcd): (&ClusterName, &Etcd)| {
            let group = GroupName { system: System::Etcd, path: ClusterPath::of(name.clone()) };
            let etcd = etcd.clone();
            async move { (group, etcd.view().await.map(View::Etcd).map_err(AskError::from)) }
        };
        let zeebe = |(name, zeebe): (&ClusterName, &Zeebe)| {
            let group = GroupName { system: System::Zeebe, path: ClusterPath::of(name.clone()) };
            let zeebe = zeebe.clone();
            async move { (group, zeebe.view().await.map(View::Zeebe).map_err(AskError::from)) }
        };
        let (etcd, zeebe) = (self.etcd.iter().map(etcd), self.zeebe.iter().map(zeebe));
        let (etcd, zeebe) = tokio::join!(join_all(etcd), join_all(zeebe));
        let views: Vec<(GroupName, Result<View, AskError>)> =
            etcd.into_iter().chain(zeebe).collect();
        let told = views.iter().filter_map(|(_, view)| view.as_ref().ok());
        let members = told.flat_map(View::members);
        let addresses: BTreeSet<IpAddr> =
            members.flat_map(|(_, addresses, _)| addresses).copied().collect();
        let owned = owners(agents, &addresses).await;
        let cluster = |view: View| Cluster { owners: matched(&view, &owned), view, homes: None };
        let clusters = views.into_iter().map(|(name, view)| (name, view.map(cluster))).collect();
        let silent = owned.into_iter().filter_map(|(node, told)| Some((node, told.err()?)));
        let mut silent: BTreeMap<NodeName, String> = silent.collect();
        if !addresses.is_empty() {
            let away = agents.seen().into_iter().filter(|agent| !agent.connected);
            silent.extend(away.map(|agent| (agent.node, "its agent is away".to_owned())));
        }
        Sight { clusters, housed: BTreeMap::new(), silent }
    }
}

type Housed = (Cluster, BTreeMap<NodeName, String>);

/// A cluster in a namespace as its members tell it, and the nodes that do not say what is theirs.
async fn housed(
    kubernetes: &Kubernetes,
    agents: &Agents,
    group: &GroupName,
) -> Result<Housed, AskError> {
    let (name, instance) = (&group.path.name, group.path.instance());
    let namespace = group.path.namespace();
    let namespace = namespace.ok_or_else(|| GroupsError::NoNamespace(name.clone()))?;
    let (view, homes) = match group.system {
        System::Etcd => {
            let found = kubernetes.etcd_in(&namespace, instance).await?;
            (View::Etcd(found.group.view().await?), found.homes)
        }
        System::Zeebe => {
            let found = kubernetes.zeebe_in(&namespace, instance).await?;
            (View::Zeebe(found.group.view().await?), found.homes)
        }
    };
    let (owners, silent) = at_home(agents, &view, &homes).await;
    Ok((Cluster { view, owners, homes: Some(homes) }, silent))
}

type Owners = BTreeMap<MemberName, Vec<(NodeName, Target)>>;

/// Whose pods members are in: each is looked for on the node that the API server says, and nowhere else.
async fn at_home(
    agents: &Agents,
    view: &View,
    homes: &Homes,
) -> (Owners, BTreeMap<NodeName, String>) {
    let members = view.members().into_iter().filter_map(|(member, addresses, _)| {
        let located = homes.of(addresses)?.pod.as_ref().ok()?;
        Some((member, located))
    });
    let looked = members.map(async |(member, located): (MemberName, &Located)| {
        let found = pods::housed(agents, located, None, Aspect::Network).await;
        (member, located.node.clone(), found)
    });
    let (mut owners, mut silent) = (Owners::new(), BTreeMap::new());
    for (member, node, found) in join_all(looked).await {
        match found {
            Ok(found) => {
                let found = found.into_iter().map(|target| (node.clone(), target));
                owners.entry(member).or_default().extend(found);
            }
            Err(reason) => {
                silent.insert(node, reason);
            }
        }
    }
    (owners, silent)
}

/// Which targets own any of these addresses, by what each agent says.
async fn owners(agents: &Agents, addresses: &BTreeSet<IpAddr>) -> Owned {
    if addresses.is_empty() {
        return Owned::new();
    }
    let addresses: Vec<IpAddr> = addresses.iter().copied().collect();
    let addresses = &addresses;
    let ask = |(node, mut link): (NodeName, crate::link::Link)| async move {
        let told = match tokio::time::timeout(PATIENCE, link.owners(addresses)).await {
            Ok(told) => told.map_err(|failure| failure.reason),
            Err(_) => Err("no answer in time".to_owned()),
        };
        (node, told)
    };
    join_all(agents.links().into_iter().map(ask)).await.into_iter().collect()
}

fn matched(view: &View, owned: &Owned) -> BTreeMap<MemberName, Vec<(NodeName, Target)>> {
    let told = || owned.iter().filter_map(|(node, told)| Some((node, told.as_ref().ok()?)));
    let mut matched: BTreeMap<MemberName, Vec<(NodeName, Target)>> = BTreeMap::new();
    for (member, addresses, _) in view.members() {
        for (node, targets) in told() {
            let own = targets.iter().filter(|target| {
                target.addresses.iter().any(|own| addresses.contains(&own.address))
            });
            let own = own.map(|target| (node.clone(), target.clone()));
            matched.entry(member.clone()).or_default().extend(own);
        }
    }
    matched
}

//! Looking at every cluster that can be asked, and at who owns its members' addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use fault::{ClusterName, MemberName, NodeName, Target};
use futures_util::future::join_all;

use crate::agents::Agents;
use crate::provider::etcd::{AskError, Etcd, EtcdView};
use crate::sight::{Cluster, Sight};

/// How long the agents may take to say which addresses are their targets'.
const PATIENCE: Duration = Duration::from_secs(5);

/// The clusters that a controller can ask, by name.
#[derive(Clone, Debug, Default)]
pub struct Clusters(BTreeMap<ClusterName, Etcd>);

type Owned = BTreeMap<NodeName, Result<Vec<Target>, String>>;

impl Clusters {
    /// These clusters.
    #[must_use]
    pub fn new(clusters: impl IntoIterator<Item = (ClusterName, Etcd)>) -> Self {
        Self(clusters.into_iter().collect())
    }

    /// Asks all of them and all agents; what cannot be seen is part of the sight.
    pub(super) async fn sight(&self, agents: &Agents) -> Sight {
        let ask = |(name, etcd): (&ClusterName, &Etcd)| {
            let (name, etcd) = (name.clone(), etcd.clone());
            async move { (name, etcd.view().await) }
        };
        let views: Vec<(ClusterName, Result<EtcdView, AskError>)> =
            join_all(self.0.iter().map(ask)).await;
        let told = views.iter().filter_map(|(_, view)| view.as_ref().ok());
        let members = told.flat_map(|view| &view.members);
        let addresses: BTreeSet<IpAddr> =
            members.flat_map(|member| &member.addresses).copied().collect();
        let owned = owners(agents, &addresses).await;
        let cluster = |view: EtcdView| Cluster { owners: matched(&view, &owned), view };
        let clusters = views.into_iter().map(|(name, view)| (name, view.map(cluster))).collect();
        let silent = owned.into_iter().filter_map(|(node, told)| Some((node, told.err()?)));
        let mut silent: BTreeMap<NodeName, String> = silent.collect();
        if !addresses.is_empty() {
            let away = agents.seen().into_iter().filter(|agent| !agent.connected);
            silent.extend(away.map(|agent| (agent.node, "its agent is away".to_owned())));
        }
        Sight { clusters, silent }
    }
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

fn matched(view: &EtcdView, owned: &Owned) -> BTreeMap<MemberName, Vec<(NodeName, Target)>> {
    let told = || owned.iter().filter_map(|(node, told)| Some((node, told.as_ref().ok()?)));
    let mut matched: BTreeMap<MemberName, Vec<(NodeName, Target)>> = BTreeMap::new();
    for member in &view.members {
        for (node, targets) in told() {
            let own = targets.iter().filter(|target| {
                target.addresses.iter().any(|own| member.addresses.contains(&own.address))
            });
            let own = own.map(|target| (node.clone(), target.clone()));
            matched.entry(member.name.clone()).or_default().extend(own);
        }
    }
    matched
}

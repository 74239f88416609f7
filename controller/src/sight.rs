//! The clusters that a controller can ask, as they were seen at one moment. Pure.
//!
//! One look serves a whole request: FROM, TO and the guard of majorities mean the same leader.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use fault::{
    ClusterName, ClusterPath, EtcdMembers, Fault, Group, GroupError, Impairment, Kind, Link,
    MemberName, NodeName, Scheme, Selector, Side, Stop, Target, ZeebeMembers,
};

use crate::admit::Known;
use crate::planning::{End, Place};
use crate::provider::Selected;
pub use crate::provider::System;
use crate::provider::etcd::{self, EtcdView};
use crate::provider::kubernetes::{
    Excluded, GroupsError, Home, Homes, Located, PodName, PodsError,
};
use crate::provider::zeebe::{self, ZeebeView};

/// Every cluster, or why it could not be seen.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// The clusters of the settings by name.
    pub clusters: BTreeMap<GroupName, Result<Cluster, AskError>>,
    /// Those that are in namespaces of Kubernetes, as far as anybody means them.
    pub housed: BTreeMap<GroupName, Result<Cluster, AskError>>,
    /// The agents that did not say which addresses are their targets', and why.
    pub silent: BTreeMap<NodeName, String>,
}

/// What a controller calls a cluster: `etcd:NAME`, `zeebe:NAME`, `zeebe:NAMESPACE/INSTANCE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupName {
    /// Of which sort it is.
    pub system: System,
    /// Its name among those of its sort, or where it is.
    pub path: ClusterPath,
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.system, self.path)
    }
}

impl GroupName {
    /// The cluster that a selector says that its members are of; `None` where it names no members, or leaves that open.
    #[must_use]
    pub fn of(selector: &Selector) -> Option<Self> {
        let (system, path) = match &selector.scheme {
            Scheme::Etcd(members) => (System::Etcd, members.cluster.as_ref()),
            Scheme::Zeebe(members) => (System::Zeebe, members.cluster.as_ref()),
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Pod(_)
            | Scheme::Host(_)
            | Scheme::Addr(_)
            | Scheme::Kubernetes(_) => return None,
        };
        path.map(|path| Self { system, path: path.clone() })
    }
}

/// Which members are meant, as a selector says.
#[derive(Clone, Copy, Debug)]
pub enum Members<'a> {
    /// Of etcd.
    Etcd(&'a EtcdMembers),
    /// Of Zeebe.
    Zeebe(&'a ZeebeMembers),
}

/// Why a cluster could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// One of etcd.
    #[error(transparent)]
    Etcd(#[from] etcd::AskError),
    /// One of Zeebe.
    #[error(transparent)]
    Zeebe(#[from] zeebe::AskError),
    /// One that should be in a namespace.
    #[error(transparent)]
    Groups(#[from] GroupsError),
}

/// Why a role names nobody that can be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Of etcd.
    #[error(transparent)]
    Etcd(#[from] etcd::SelectError),
    /// Of Zeebe.
    #[error(transparent)]
    Zeebe(#[from] zeebe::SelectError),
}

/// What the members of a cluster say.
#[derive(Clone, Debug)]
pub enum View {
    /// Those of etcd.
    Etcd(EtcdView),
    /// Those of Zeebe.
    Zeebe(ZeebeView),
}

/// A cluster that has answered.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// What its members say.
    pub view: View,
    /// Which targets own a member's addresses. One, if all is well; members may share it.
    pub owners: BTreeMap<MemberName, Vec<(NodeName, Target)>>,
    /// The pods in which members are; `None` of a cluster of the settings.
    pub homes: Option<Homes>,
}

/// Who plays a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Player {
    /// What it is, and where.
    pub end: End,
    /// Its pod, of a cluster in a namespace.
    pub home: Option<Box<Home>>,
}

/// Why a role leads to no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SightError {
    /// No cluster is configured.
    #[error("this controller knows no cluster of {0}")]
    NoCluster(System),
    /// A pod that cannot be hit, or that nobody finds.
    #[error(transparent)]
    Pods(Box<PodsError>),
    /// A pod whose node says nothing.
    #[error("pod {pod} is on node {node}: {reason}")]
    Away {
        /// Which.
        pod: PodName,
        /// Where it is.
        node: NodeName,
        /// What came of asking.
        reason: String,
    },
    /// Several, and none was named.
    #[error("this controller knows several clusters of {system}: {}", list(there))]
    Unnamed {
        /// Of which sort.
        system: System,
        /// Those that it knows.
        there: Vec<ClusterName>,
    },
    /// None of this name.
    #[error("this controller knows no cluster {name}; it knows {}", list(there))]
    Unknown {
        /// Which was meant.
        name: ClusterPath,
        /// Those that it knows.
        there: Vec<ClusterName>,
    },
    /// Nobody says who the members are.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It is not known who plays the role.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// No agent has it.
    #[error("no agent has the member {member}, which is at {}{}", list(addresses), silence(silent))]
    Unowned {
        /// Which member.
        member: MemberName,
        /// Where it is.
        addresses: BTreeSet<IpAddr>,
        /// Agents that were asked in vain.
        silent: BTreeMap<NodeName, String>,
    },
    /// Several have it.
    #[error("the member {member} is at {}, which is of {}", list(addresses), targets.join(" and of "))]
    Owned {
        /// Which member.
        member: MemberName,
        /// Where it is.
        addresses: BTreeSet<IpAddr>,
        /// Who has that.
        targets: Vec<String>,
    },
}

impl SightError {
    /// What to do about it; empty where waiting is all there is.
    #[must_use]
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::NoCluster(system) => {
                return format!(
                    "[{system}] in the schism.toml of the controller says where one is asked; where it knows a \
                     Kubernetes cluster, -n NAMESPACE finds one there"
                );
            }
            Self::Unnamed { .. } | Self::Unknown { .. } => {
                "write the cluster before the role, as in etcd:CLUSTER/ROLE"
            }
            Self::Unowned { .. } | Self::Away { .. } => {
                "`schism agents` lists the nodes that are there"
            }
            Self::Owned { .. } => "name the target itself, such as netns:NAME@NODE",
            Self::Ask(AskError::Groups(error)) => return error.hint(),
            Self::Pods(error) => return error.hint(),
            Self::Ask(AskError::Etcd(_) | AskError::Zeebe(_)) | Self::Select(_) => "",
        };
        hint.to_owned()
    }
}

/// A cluster of which it cannot be said whether it would keep its majority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("whether {name} would keep its majority cannot be told: {why}")]
pub struct Unseen {
    name: GroupName,
    why: Blindness,
}

/// What hides how a cluster stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blindness {
    /// Nobody says who the members are.
    #[error(transparent)]
    Cluster(#[from] AskError),
    /// A node on which something acts, or would, does not say which members are its own.
    #[error("{node} does not say which members are its own: {reason}")]
    Silent {
        /// Which.
        node: NodeName,
        /// What came of asking.
        reason: String,
    },
    /// A member of which nobody says what of its node it is, though something acts there, or would.
    #[error("what is done to {member} is not known: {why}")]
    Lost {
        /// Which.
        member: MemberName,
        /// What is known of its pod.
        why: String,
    },
}

impl Sight {
    /// The targets of members that play a role, by the members' names.
    ///
    /// # Errors
    /// Who plays it is not known, or not where they are.
    pub fn players(
        &self,
        selector: &Selector,
        members: Members<'_>,
    ) -> Result<Vec<Player>, SightError> {
        let (system, named) = match members {
            Members::Etcd(members) => (System::Etcd, members.cluster.as_ref()),
            Members::Zeebe(members) => (System::Zeebe, members.cluster.as_ref()),
        };
        let cluster = self.cluster(system, named)?;
        let selected = match (members, &cluster.view) {
            (Members::Etcd(members), View::Etcd(view)) => {
                view.select(&members.role).map_err(SelectError::from)?
            }
            (Members::Zeebe(members), View::Zeebe(view)) => {
                view.select(&members.role).map_err(SelectError::from)?
            }
            // By its name a cluster is of the sort that was asked for.
            (Members::Etcd(_), View::Zeebe(_)) | (Members::Zeebe(_), View::Etcd(_)) => {
                return Err(SightError::NoCluster(system));
            }
        };
        selected.into_iter().map(|one| self.player(cluster, selector, one)).collect()
    }

    fn cluster(&self, system: System, path: Option<&ClusterPath>) -> Result<&Cluster, SightError> {
        let known = || self.clusters.iter().filter(|(group, _)| group.system == system);
        let there = || known().map(|(group, _)| group.path.name.clone()).collect::<Vec<_>>();
        let seen = match (path, known().count()) {
            (Some(path), count) => {
                let group = GroupName { system, path: path.clone() };
                match self.clusters.get(&group).or_else(|| self.housed.get(&group)) {
                    Some(found) => found,
                    None if count == 0 => return Err(SightError::NoCluster(system)),
                    None => return Err(SightError::Unknown { name: group.path, there: there() }),
                }
            }
            (None, 0) => return Err(SightError::NoCluster(system)),
            // One that is in a namespace has to be asked for by that.
            (None, 1) => known().next().ok_or(SightError::NoCluster(system))?.1,
            (None, _) => return Err(SightError::Unnamed { system, there: there() }),
        };
        seen.as_ref().map_err(|error| error.clone().into())
    }

    fn player(
        &self,
        cluster: &Cluster,
        selector: &Selector,
        selected: Selected,
    ) -> Result<Player, SightError> {
        let Selected { member, addresses, mut evidence } = selected;
        let home = match &cluster.homes {
            None => None,
            Some(homes) => Some(homes.of(&addresses).ok_or_else(|| {
                let silent = BTreeMap::new();
                SightError::Unowned { member: member.clone(), addresses: addresses.clone(), silent }
            })?),
        };
        let located = home.map(|home| home.located().map_err(SightError::Pods)).transpose()?;
        let (node, target) = match (cluster.owners(&member), located) {
            ([one], _) => one,
            ([], Some(located)) => return Err(self.unfound(located)),
            ([], None) => {
                let silent = self.silent.clone();
                return Err(SightError::Unowned { member, addresses, silent });
            }
            (several, _) => {
                let targets = several.iter().map(|(node, t)| format!("{}@{node}", t.selector));
                return Err(SightError::Owned { member, addresses, targets: targets.collect() });
            }
        };
        evidence.push(match located {
            Some(Located { pod, uid, .. }) => {
                format!("it is pod {pod}, {uid}, on {node}, and its agent found it")
            }
            None => format!("the agent of {node} has it as {}", target.selector),
        });
        let place = Place::Target(node.clone(), Box::new(target.clone()));
        let end = End {
            troubles: cluster.view.troubles_of(&member),
            member: Some(member),
            pod: located.cloned().map(Box::new),
            ..End::found(selector.clone(), place, evidence)
        };
        Ok(Player { end, home: home.cloned().map(Box::new) })
    }

    /// Why an agent does not have a pod that is on its node.
    fn unfound(&self, located: &Located) -> SightError {
        let (pod, node) = (located.pod.clone(), located.node.clone());
        match self.silent.get(&node) {
            Some(reason) => SightError::Away { pod, node, reason: reason.clone() },
            None => SightError::Pods(Box::new(PodsError::NotOnNode { pod, node })),
        }
    }

    /// What faults do to each cluster that those which are asked for touch, beside those that are active;
    /// for the guards. A cluster that cannot be seen is an error, and so is one of which a node on which
    /// anything acts does not say what is its own: that may be a member.
    #[must_use]
    pub fn known(
        &self,
        asked: &[(NodeName, Fault)],
        active: &[(NodeName, Fault)],
    ) -> Vec<Result<Known, Unseen>> {
        let known = self.clusters.iter().chain(&self.housed).flat_map(|(name, seen)| {
            match self.known_of(name, seen, asked, active) {
                Ok(known) => known.into_iter().map(Ok).collect(),
                Err(why) => vec![Err(Unseen { name: name.clone(), why })],
            }
        });
        known.collect()
    }

    fn known_of(
        &self,
        name: &GroupName,
        seen: &Result<Cluster, AskError>,
        asked: &[(NodeName, Fault)],
        active: &[(NodeName, Fault)],
    ) -> Result<Vec<Known>, Blindness> {
        let cluster = seen.as_ref().map_err(|error| error.clone())?;
        self.speak(asked)?;
        let known = cluster.known(name, asked, active);
        let known = known.map_err(|GroupError::NamedTwice(one)| {
            AskError::from(etcd::AskError::NamedTwice(one))
        })?;
        if !known.is_empty() {
            self.speak(active)?;
        }
        if asked.iter().any(silences) {
            let all = asked.iter().chain(active).filter(|one| silences(one));
            self.lose_nobody(cluster, &all.map(|(node, _)| node).collect())?;
        }
        Ok(known)
    }

    /// Whether it is known which target every member is on whose node anything acts. Of who does not answer that does
    /// not matter: it counts as lost in any case.
    fn lose_nobody(
        &self,
        cluster: &Cluster,
        acted_on: &BTreeSet<&NodeName>,
    ) -> Result<(), Blindness> {
        let Some(homes) = &cluster.homes else { return Ok(()) };
        for (member, addresses, answers) in cluster.view.members() {
            if !answers || !cluster.view.counts(&member) || !cluster.owners(&member).is_empty() {
                continue;
            }
            let on = |node: Option<&str>| {
                node.is_none_or(|node| acted_on.iter().any(|one| one.as_str() == node))
            };
            let why = match homes.of(addresses).map(|home| &home.pod) {
                None => Some("its pod is not known".to_owned()),
                Some(Err(Excluded { pod, node, why })) => {
                    on(node.as_deref()).then(|| format!("of pod {pod} it is said that {why}"))
                }
                // Of a node that says nothing it is told as that.
                Some(Ok(Located { node, .. })) if self.silent.contains_key(node) => None,
                Some(Ok(Located { pod, node, .. })) => on(Some(node.as_str()))
                    .then(|| format!("the agent of node {node} does not find pod {pod}")),
            };
            if let Some(why) = why {
                return Err(Blindness::Lost { member, why });
            }
        }
        Ok(())
    }

    /// Whether the nodes of faults say which members are their own.
    fn speak(&self, faults: &[(NodeName, Fault)]) -> Result<(), Blindness> {
        let silent = faults.iter().find_map(|(node, _)| self.silent.get_key_value(node));
        silent.map_or(Ok(()), |(node, reason)| {
            Err(Blindness::Silent { node: node.clone(), reason: reason.clone() })
        })
    }
}

impl View {
    /// All members with where they are, and whether they answered.
    #[must_use]
    pub fn members(&self) -> Vec<(MemberName, &BTreeSet<IpAddr>, bool)> {
        match self {
            Self::Etcd(view) => {
                let members = view.members.iter();
                members.map(|one| (one.name.clone(), &one.addresses, one.answer.is_ok())).collect()
            }
            Self::Zeebe(view) => view.members().collect(),
        }
    }

    /// Whether a member has a part in majorities.
    fn counts(&self, member: &MemberName) -> bool {
        match self {
            Self::Etcd(_) => true,
            Self::Zeebe(view) => view.is_broker(member),
        }
    }

    /// What keeps a member from being of use to the others.
    fn troubles_of(&self, member: &MemberName) -> Vec<String> {
        match self {
            Self::Etcd(view) => {
                let own = view.members.iter().find(|one| one.name == *member);
                let silence = own.and_then(|one| one.answer.as_ref().err());
                silence.map(|why| format!("{member} says nothing: {why}")).into_iter().collect()
            }
            Self::Zeebe(view) => view.troubles_of(&[member.as_str()]),
        }
    }

    /// Those that have a majority among themselves, each with what it is called.
    fn groups(&self, name: &GroupName) -> Result<Vec<(String, Group)>, GroupError> {
        match self {
            Self::Etcd(view) => Ok(vec![(name.to_string(), view.group()?)]),
            Self::Zeebe(view) => {
                let groups = view.groups()?.into_iter();
                let named = |(partition, group)| (format!("{name}/partition/{partition}"), group);
                Ok(groups.map(named).collect())
            }
        }
    }
}

impl Cluster {
    fn owners(&self, member: &MemberName) -> &[(NodeName, Target)] {
        self.owners.get(member).map_or(&[], Vec::as_slice)
    }

    /// What is done to each of its groups; nothing where nothing that is asked for touches it.
    fn known(
        &self,
        name: &GroupName,
        asked: &[(NodeName, Fault)],
        active: &[(NodeName, Fault)],
    ) -> Result<Vec<Known>, GroupError> {
        let touches = |(node, fault): &(NodeName, Fault)| match &fault.kind {
            Kind::Cut(_) => !self.links(node, fault).is_empty(),
            Kind::Freeze(_) | Kind::Kill(_) => !self.members_of(node, fault).is_empty(),
            // Members whose clocks are moved, or who have less of the machine, can talk; how they take it is
            // theirs to show.
            Kind::Skew(_) | Kind::Stress(_) => false,
        };
        if !asked.iter().any(touches) {
            return Ok(Vec::new());
        }
        let members = self.view.members();
        let absent = members.iter().filter(|(_, _, answers)| !answers);
        let mut impairments: Vec<Impairment> = absent
            .map(|(name, _, _)| Impairment::Stop { member: name.clone(), cause: Stop::Absent })
            .collect();
        let mut hit = BTreeSet::new();
        for (node, fault) in active.iter().chain(asked) {
            let members = self.members_of(node, fault).into_iter().cloned();
            match &fault.kind {
                Kind::Cut(cut) => {
                    hit.extend(members);
                    let links = self.links(node, fault).into_iter();
                    impairments.extend(links.filter_map(|link| Impairment::of_cut(link, cut)));
                }
                Kind::Freeze(_) | Kind::Kill(_) => {
                    let members: Vec<MemberName> = members.collect();
                    hit.extend(members.iter().cloned());
                    let killed = matches!(fault.kind, Kind::Kill(_));
                    let cause = if killed { Stop::Killed } else { Stop::Frozen };
                    let stop = |member| Impairment::Stop { member, cause };
                    impairments.extend(members.into_iter().map(stop));
                }
                Kind::Skew(_) | Kind::Stress(_) => {}
            }
        }
        let groups = self.view.groups(name)?.into_iter().map(|(name, group)| {
            let hit = hit.intersection(&group.names()).cloned().collect();
            Known { name, group, impairments: impairments.clone(), hit }
        });
        Ok(groups.collect())
    }

    /// Between which members a fault loses anything.
    fn links(&self, node: &NodeName, fault: &Fault) -> Vec<Link> {
        let Kind::Cut(cut) = &fault.kind else { return Vec::new() };
        let (targets, peers) = (self.members_of(node, fault), self.peers_of(node, fault));
        let pairs = targets.iter().flat_map(|target| peers.iter().map(move |peer| (*target, peer)));
        let links = pairs.filter(|(target, peer)| target != peer).map(|(target, peer)| {
            let (from, to) = match cut.side {
                Side::Ingress => (peer, target),
                Side::Egress => (target, peer),
            };
            Link { from: from.clone(), to: to.clone() }
        });
        links.collect()
    }

    /// The members that live in a fault's target.
    fn members_of(&self, node: &NodeName, fault: &Fault) -> Vec<&MemberName> {
        let lives = |owner: &(NodeName, Target)| {
            owner.0 == *node && owner.1.identity.namespace == fault.target.namespace
        };
        let members = self.owners.iter().filter(|(_, owners)| owners.iter().any(lives));
        members.map(|(member, _)| member).collect()
    }

    /// The members that are a fault's peers: by their addresses, or because it follows their target.
    fn peers_of(&self, node: &NodeName, fault: &Fault) -> Vec<MemberName> {
        let is_fixed =
            |address: &IpAddr| fault.peers.fixed.iter().any(|prefix| prefix.contains(*address));
        let is_followed = |owner: &(NodeName, Target)| {
            fault.peers.followed.as_ref().is_some_and(|peer| {
                owner.0 == *node && owner.1.identity.namespace == peer.identity.namespace
            })
        };
        // Of whom nobody knows the target the addresses are known all the same.
        let members = self.view.members().into_iter().filter(|(name, addresses, _)| {
            addresses.iter().any(is_fixed) || self.owners(name).iter().any(is_followed)
        });
        members.map(|(name, ..)| name).collect()
    }
}

/// Whether members may hear less of each other by a fault.
const fn silences((_, fault): &(NodeName, Fault)) -> bool {
    match fault.kind {
        Kind::Cut(_) | Kind::Freeze(_) | Kind::Kill(_) => true,
        Kind::Skew(_) | Kind::Stress(_) => false,
    }
}

fn list<T: ToString>(things: impl IntoIterator<Item = T>) -> String {
    things.into_iter().map(|thing| thing.to_string()).collect::<Vec<_>>().join(", ")
}

fn silence(silent: &BTreeMap<NodeName, String>) -> String {
    let silent = silent.iter().map(|(node, why)| format!("; {node} did not say: {why}"));
    silent.collect()
}

#[cfg(test)]
mod tests;

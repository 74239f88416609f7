//! The clusters that a controller can ask, as they were seen at one moment. Pure.
//!
//! One look serves a whole request: FROM, TO and the guard of majorities mean the same leader.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fault::{
    ClusterName, EtcdMembers, Fault, GroupError, Impairment, Kind, Link, MemberName, NodeName,
    Selector, Side, Stop, Target,
};

use crate::admit::Known;
use crate::planning::{End, Place};
use crate::provider::Selected;
use crate::provider::etcd::{AskError, EtcdView, SelectError};

/// Every cluster, or why it could not be seen.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// The clusters by name.
    pub clusters: BTreeMap<ClusterName, Result<Cluster, AskError>>,
    /// The agents that did not say which addresses are their targets', and why.
    pub silent: BTreeMap<NodeName, String>,
}

/// A cluster that has answered.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// What its members say.
    pub view: EtcdView,
    /// Which targets own a member's addresses. One, if all is well; members may share it.
    pub owners: BTreeMap<MemberName, Vec<(NodeName, Target)>>,
}

/// Why a role leads to no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SightError {
    /// No cluster is configured.
    #[error("this controller knows no cluster of etcd")]
    NoCluster,
    /// Several, and none was named.
    #[error("this controller knows several clusters of etcd: {}", list(.0))]
    Unnamed(Vec<ClusterName>),
    /// None of this name.
    #[error("this controller knows no cluster {name}; it knows {}", list(there))]
    Unknown {
        /// Which was meant.
        name: ClusterName,
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
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoCluster => {
                "[etcd] in the schism.toml of the controller says where one is asked"
            }
            Self::Unnamed(_) | Self::Unknown { .. } => "write etcd:CLUSTER/ROLE",
            Self::Unowned { .. } => "`schism agents` lists the nodes that are there",
            Self::Owned { .. } => "name the target itself, such as netns:NAME@NODE",
            Self::Ask(_) | Self::Select(_) => "",
        }
    }
}

/// A cluster of which it cannot be said whether it would keep its majority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("whether etcd:{name} would keep its majority cannot be told: {why}")]
pub struct Unseen {
    name: ClusterName,
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
}

impl Sight {
    /// The targets of members that play a role, by the members' names.
    ///
    /// # Errors
    /// Who plays it is not known, or not where they are.
    pub fn ends(&self, selector: &Selector, members: &EtcdMembers) -> Result<Vec<End>, SightError> {
        let cluster = self.cluster(members.cluster.as_ref())?;
        let selected = cluster.view.select(&members.role)?;
        selected.into_iter().map(|one| self.end(cluster, selector, one)).collect()
    }

    fn cluster(&self, name: Option<&ClusterName>) -> Result<&Cluster, SightError> {
        let there = || self.clusters.keys().cloned().collect();
        let seen = match name {
            Some(name) => self
                .clusters
                .get(name)
                .ok_or_else(|| SightError::Unknown { name: name.clone(), there: there() })?,
            None if self.clusters.len() > 1 => return Err(SightError::Unnamed(there())),
            None => self.clusters.values().next().ok_or(SightError::NoCluster)?,
        };
        seen.as_ref().map_err(|error| error.clone().into())
    }

    fn end(
        &self,
        cluster: &Cluster,
        selector: &Selector,
        selected: Selected,
    ) -> Result<End, SightError> {
        let Selected { member, addresses, mut evidence } = selected;
        let (node, target) = match cluster.owners(&member) {
            [one] => one,
            [] => {
                let silent = self.silent.clone();
                return Err(SightError::Unowned { member, addresses, silent });
            }
            several => {
                let targets = several.iter().map(|(node, t)| format!("{}@{node}", t.selector));
                return Err(SightError::Owned { member, addresses, targets: targets.collect() });
            }
        };
        evidence.push(format!("the agent of {node} has it as {}", target.selector));
        Ok(End {
            selector: selector.clone(),
            place: Place::Target(node.clone(), Box::new(target.clone())),
            evidence,
            member: Some(member),
        })
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
        let known = self.clusters.iter().map(|(name, seen)| {
            let unseen = |why: Blindness| Unseen { name: name.clone(), why };
            let cluster = seen.as_ref().map_err(|error| unseen(error.clone().into()))?;
            self.speak(asked).map_err(unseen)?;
            let known = cluster
                .known(format!("etcd:{name}"), asked, active)
                .map_err(|GroupError::NamedTwice(one)| unseen(AskError::NamedTwice(one).into()))?;
            if known.is_some() {
                self.speak(active).map_err(unseen)?;
            }
            Ok(known)
        });
        known.filter_map(Result::transpose).collect()
    }

    /// Whether the nodes of faults say which members are their own.
    fn speak(&self, faults: &[(NodeName, Fault)]) -> Result<(), Blindness> {
        let silent = faults.iter().find_map(|(node, _)| self.silent.get_key_value(node));
        silent.map_or(Ok(()), |(node, reason)| {
            Err(Blindness::Silent { node: node.clone(), reason: reason.clone() })
        })
    }
}

impl Cluster {
    fn owners(&self, member: &MemberName) -> &[(NodeName, Target)] {
        self.owners.get(member).map_or(&[], Vec::as_slice)
    }

    /// `None` where nothing that is asked for touches it.
    fn known(
        &self,
        name: String,
        asked: &[(NodeName, Fault)],
        active: &[(NodeName, Fault)],
    ) -> Result<Option<Known>, GroupError> {
        let touches = |(node, fault): &(NodeName, Fault)| match &fault.kind {
            Kind::Cut(_) => !self.links(node, fault).is_empty(),
            Kind::Freeze(_) | Kind::Kill(_) => !self.members_of(node, fault).is_empty(),
            // Members whose clocks are moved, or who have less of the machine, can talk; how they take it is
            // theirs to show.
            Kind::Skew(_) | Kind::Stress(_) => false,
        };
        if !asked.iter().any(touches) {
            return Ok(None);
        }
        let absent = self.view.members.iter().filter(|member| member.answer.is_err());
        let mut impairments: Vec<Impairment> = absent
            .map(|member| Impairment::Stop { member: member.name.clone(), cause: Stop::Absent })
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
        Ok(Some(Known { name, group: self.view.group()?, impairments, hit }))
    }

    /// Between which members a fault loses anything.
    fn links(&self, node: &NodeName, fault: &Fault) -> Vec<Link> {
        let Kind::Cut(cut) = &fault.kind else { return Vec::new() };
        let (targets, peers) = (self.members_of(node, fault), self.peers_of(node, fault));
        let pairs =
            targets.iter().flat_map(|target| peers.iter().map(move |peer| (*target, *peer)));
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
    fn peers_of(&self, node: &NodeName, fault: &Fault) -> Vec<&MemberName> {
        let is_fixed =
            |address: &IpAddr| fault.peers.fixed.iter().any(|prefix| prefix.contains(*address));
        let is_followed = |owner: &(NodeName, Target)| {
            fault.peers.followed.as_ref().is_some_and(|peer| {
                owner.0 == *node && owner.1.identity.namespace == peer.identity.namespace
            })
        };
        let members = self.view.members.iter().filter(|member| {
            member.addresses.iter().any(is_fixed)
                || self.owners(&member.name).iter().any(is_followed)
        });
        members.map(|member| &member.name).collect()
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

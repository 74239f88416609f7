//! What brokers and gateways said, all of them, at about the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use fault::{Group, GroupError, MemberName, PartitionNumber, Standing};
use zeebe::{
    GatewayError, GatewayUrl, Health, ManagementError, NodeId, OwnPartition, PartitionId, RaftRole,
    Role, Topology,
};

/// A cluster as its members told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeebeView {
    /// How many partitions there are, as far as anybody said.
    pub partitions: u32,
    /// All brokers, whether they answered or not, by number.
    pub brokers: BTreeMap<NodeId, ZeebeBroker>,
    /// The gateways that are configured.
    pub gateways: Vec<ZeebeGateway>,
}

/// A broker, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeebeBroker {
    /// Where it is.
    pub addresses: BTreeSet<IpAddr>,
    /// Of each host that leads nowhere in particular, why.
    pub astray: Vec<String>,
    /// What it has of each partition, by its own word.
    pub answer: Result<BTreeMap<PartitionId, OwnPartition>, BrokerSilence>,
}

/// Why a broker said nothing that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerSilence {
    /// Nobody tells where it is.
    #[error("no gateway names it")]
    Unnamed,
    /// What it is called leads nowhere.
    #[error("{0}")]
    Place(String),
    /// It was asked.
    #[error(transparent)]
    Management(#[from] ManagementError),
}

/// A gateway, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeebeGateway {
    /// What it is called here: `gateway-1` and so on, in the order of the settings.
    pub name: MemberName,
    /// Where it listens for clients.
    pub at: GatewayUrl,
    /// Where that is.
    pub addresses: BTreeSet<IpAddr>,
    /// Why its host leads nowhere in particular.
    pub astray: Vec<String>,
    /// The cluster as it has heard of it.
    pub answer: Result<Topology, GatewayError>,
}

/// A broker as it is called here.
pub(super) fn name(broker: NodeId) -> MemberName {
    MemberName::new(&format!("broker-{broker}"))
        .unwrap_or_else(|| unreachable!("letters and digits"))
}

pub(super) fn partition_id(number: PartitionNumber) -> Option<PartitionId> {
    PartitionId::new(number.get())
}

impl ZeebeView {
    /// All members with where they are, and whether they answered.
    pub fn members(&self) -> impl Iterator<Item = (MemberName, &BTreeSet<IpAddr>, bool)> {
        let brokers = self.brokers.iter();
        let brokers = brokers.map(|(id, one)| (name(*id), &one.addresses, one.answer.is_ok()));
        let gateways = self.gateways.iter();
        brokers.chain(gateways.map(|one| (one.name.clone(), &one.addresses, one.answer.is_ok())))
    }

    /// Whether a member is a broker, and no gateway.
    #[must_use]
    pub fn is_broker(&self, member: &MemberName) -> bool {
        self.brokers.keys().any(|id| name(*id) == *member)
    }

    /// The brokers of every partition, for the guard of majorities: each partition has a majority of its
    /// own. Who did not answer counts as well; of whom nobody says what he has, everywhere.
    ///
    /// # Errors
    /// Never, as no two brokers have the same number.
    pub fn groups(&self) -> Result<Vec<(PartitionId, Group)>, GroupError> {
        let group = |partition: PartitionId| {
            let has = |broker: NodeId| self.has(broker, partition);
            let voters = self.brokers.keys().filter(|id| has(**id));
            let group = Group::new(voters.map(|id| (name(*id), Standing::Voter)))?;
            Ok((partition, group))
        };
        PartitionId::first(self.partitions).map(group).collect()
    }

    /// What does not fit together: two leaders, or a gateway that has heard of another leader.
    #[must_use]
    pub fn disagreements(&self) -> Vec<String> {
        let mut found = Vec::new();
        for partition in PartitionId::first(self.partitions) {
            let leads = |(id, broker): (&NodeId, &ZeebeBroker)| {
                let own = broker.answer.as_ref().ok()?.get(&partition)?;
                (own.role == RaftRole::Leader).then_some(*id)
            };
            let leaders: Vec<NodeId> = self.brokers.iter().filter_map(leads).collect();
            if leaders.len() > 1 {
                let names: Vec<String> = leaders.iter().map(|id| name(*id).to_string()).collect();
                found.push(format!("partition {partition} is led by {}", names.join(" and by ")));
            }
            for gateway in &self.gateways {
                let Ok(topology) = &gateway.answer else { continue };
                match heard(topology, partition) {
                    Some(one) if leaders.contains(&one) => {}
                    None if leaders.is_empty() => {}
                    other => {
                        let other = other.map_or("nobody".to_owned(), |id| name(id).to_string());
                        let said = format!("has heard that {other} leads partition {partition}");
                        found.push(format!("{} {said}", gateway.name));
                    }
                }
            }
        }
        found
    }

    /// What keeps it from being ready: who is silent, what has no leader or lacks followers, what is not
    /// healthy by anybody's word, and all that does not fit together.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, broker) in &self.brokers {
            if let Err(silence) = &broker.answer {
                found.push(format!("{} says nothing: {silence}", name(*id)));
            }
        }
        if self.partitions == 0 {
            found.push("nobody tells of any partition".to_owned());
        }
        for partition in PartitionId::first(self.partitions) {
            let own = self.brokers.iter().filter_map(|(id, broker)| {
                Some((*id, broker.answer.as_ref().ok()?.get(&partition)?.role))
            });
            let own: Vec<(NodeId, RaftRole)> = own.collect();
            if !own.iter().any(|(_, role)| *role == RaftRole::Leader) {
                found.push(format!("partition {partition} has no leader"));
            }
            for (id, role) in own {
                if !matches!(role, RaftRole::Leader | RaftRole::Follower) {
                    let own = OwnRole { role, partition };
                    found.push(format!("{} is {own}", name(id)));
                }
            }
        }
        for gateway in &self.gateways {
            match &gateway.answer {
                Err(error) => found.push(format!("{} says nothing: {error}", gateway.name)),
                Ok(topology) => found.extend(heard_troubles(gateway, topology)),
            }
        }
        found.extend(self.disagreements());
        found
    }

    /// Why these members, as they are called here, are not of use: silent, without a role, or unknown.
    #[must_use]
    pub fn troubles_of(&self, members: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for member in members {
            let broker = self.brokers.iter().find(|(id, _)| name(**id).to_string() == *member);
            let gateway = self.gateways.iter().find(|one| one.name.to_string() == *member);
            match (broker, gateway) {
                (Some((_, ZeebeBroker { answer: Err(silence), .. })), _) => {
                    found.push(format!("{member} says nothing: {silence}"));
                }
                (Some((_, ZeebeBroker { answer: Ok(own), .. })), _) => {
                    let settled = |own: &OwnPartition| {
                        matches!(own.role, RaftRole::Leader | RaftRole::Follower)
                    };
                    if own.is_empty() || !own.values().all(settled) {
                        found.push(format!("{member} does not lead or follow everywhere yet"));
                    }
                }
                (None, Some(gateway)) => match &gateway.answer {
                    Err(error) => found.push(format!("{member} says nothing: {error}")),
                    Ok(topology) => found.extend(heard_troubles(gateway, topology)),
                },
                (None, None) => found.push(format!("{member} is not known here")),
            }
        }
        found
    }

    /// Whether a broker has a partition: by its own word, else by that of gateways.
    pub(super) fn has(&self, broker: NodeId, partition: PartitionId) -> bool {
        match self.brokers.get(&broker).map(|one| &one.answer) {
            Some(Ok(own)) => own.contains_key(&partition),
            Some(Err(_)) | None => {
                let told = self.gateways.iter().filter_map(|gateway| gateway.answer.as_ref().ok());
                let mut told = told.filter_map(|topology| topology.brokers.get(&broker)).peekable();
                told.peek().is_none() || told.any(|one| one.partitions.contains_key(&partition))
            }
        }
    }

    /// What each broker that has a partition says of it, and whom each gateway takes for its leader.
    pub(super) fn said(&self, partition: PartitionId) -> Vec<String> {
        let brokers = self.brokers.iter().filter(|(id, _)| self.has(**id, partition));
        let brokers = brokers.map(|(id, broker)| match &broker.answer {
            Ok(own) => match own.get(&partition) {
                Some(own) => format!("{} says {}", name(*id), Claim { own, partition }),
                None => format!("{} says nothing of partition {partition}", name(*id)),
            },
            Err(silence) => format!("{} says nothing: {silence}", name(*id)),
        });
        let gateways = self.gateways.iter().map(|gateway| match &gateway.answer {
            Ok(topology) => match heard(topology, partition) {
                Some(leader) => format!("{} has heard that {} leads", gateway.name, name(leader)),
                None => format!("{} has heard of no leader", gateway.name),
            },
            Err(error) => format!("{} says nothing: {error}", gateway.name),
        });
        brokers.chain(gateways).collect()
    }
}

fn heard_troubles(gateway: &ZeebeGateway, topology: &Topology) -> Vec<String> {
    let mut found = Vec::new();
    let known = u32::try_from(topology.brokers.len()).unwrap_or(u32::MAX);
    if known < topology.cluster_size {
        let size = topology.cluster_size;
        found.push(format!("{} has heard of {known} of {size} brokers", gateway.name));
    }
    for partition in PartitionId::first(topology.partitions) {
        let has = topology
            .brokers
            .iter()
            .filter_map(|(id, broker)| Some((*id, broker.partitions.get(&partition)?.1)));
        let has: Vec<(NodeId, Health)> = has.collect();
        let replicas = u32::try_from(has.len()).unwrap_or(u32::MAX);
        if replicas < topology.replication_factor {
            let wanted = topology.replication_factor;
            let said =
                format!("has heard of {replicas} of {wanted} brokers of partition {partition}");
            found.push(format!("{} {said}", gateway.name));
        }
        let sick = has.into_iter().filter(|(_, health)| *health != Health::Healthy);
        let gateway = &gateway.name;
        found.extend(sick.map(|(id, _)| {
            format!("{gateway} has heard that partition {partition} is not healthy on {}", name(id))
        }));
    }
    found
}

/// Whom a gateway takes for the leader of a partition.
pub(super) fn heard(topology: &Topology, partition: PartitionId) -> Option<NodeId> {
    let leads = |(id, broker): (&NodeId, &zeebe::Broker)| {
        let role = broker.partitions.get(&partition).map(|(role, _)| *role);
        (role == Some(Role::Leader)).then_some(*id)
    };
    topology.brokers.iter().find_map(leads)
}

/// What a broker says of itself, for people.
struct Claim<'a> {
    own: &'a OwnPartition,
    partition: PartitionId,
}

impl fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OwnRole { role: self.own.role, partition: self.partition }.fmt(f)?;
        match self.own.processed_position {
            Some(position) if position >= 0 => write!(f, " (position {position})"),
            Some(_) | None => Ok(()),
        }
    }
}

/// A role, for people.
struct OwnRole {
    role: RaftRole,
    partition: PartitionId,
}

impl fmt::Display for OwnRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            RaftRole::Leader => "leader",
            RaftRole::Follower => "follower",
            RaftRole::Candidate => "candidate",
            RaftRole::Inactive => "inactive",
            RaftRole::Passive => "passive",
            RaftRole::Promotable => "promotable",
        };
        write!(f, "{role} of partition {}", self.partition)
    }
}

//! The cluster as one gateway sees it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{NodeId, PartitionId, wire};

/// What a broker is for a partition, as gateways hear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It takes no part.
    Inactive,
}

/// How a partition is on a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Well.
    Healthy,
    /// Not well.
    Unhealthy,
    /// For good.
    Dead,
}

/// The cluster as one gateway sees it by gossip. It shows one leader for each partition at most, so that two
/// leaders are never seen here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Topology {
    /// The brokers that it knows.
    pub brokers: BTreeMap<NodeId, Broker>,
    /// How many there are to be.
    pub cluster_size: u32,
    /// How many partitions there are.
    pub partitions: u32,
    /// How many brokers have each.
    pub replication_factor: u32,
    /// The gateway's version.
    pub gateway_version: String,
}

/// A broker as a gateway sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Broker {
    /// Where it says that it is.
    pub host: String,
    /// Where gateways reach it.
    pub port: i32,
    /// Its version.
    pub version: String,
    /// What it is for its partitions, and how they are.
    pub partitions: BTreeMap<PartitionId, (Role, Health)>,
}

pub(super) fn topology(said: wire::TopologyResponse) -> Result<Topology, String> {
    let number =
        |what: &str, number: i32| u32::try_from(number).map_err(|_| format!("{what} is {number}"));
    let mut brokers = BTreeMap::new();
    for broker in said.brokers {
        let id = NodeId::new(number("a broker's id", broker.node_id)?);
        let mut partitions = BTreeMap::new();
        for partition in &broker.partitions {
            let id = PartitionId::new(number("a partition's id", partition.partition_id)?)
                .ok_or_else(|| format!("a partition's id is {}", partition.partition_id))?;
            let role = match partition.role() {
                wire::partition::PartitionBrokerRole::Leader => Role::Leader,
                wire::partition::PartitionBrokerRole::Follower => Role::Follower,
                wire::partition::PartitionBrokerRole::Inactive => Role::Inactive,
            };
            let health = match partition.health() {
                wire::partition::PartitionBrokerHealth::Healthy => Health::Healthy,
                wire::partition::PartitionBrokerHealth::Unhealthy => Health::Unhealthy,
                wire::partition::PartitionBrokerHealth::Dead => Health::Dead,
            };
            partitions.insert(id, (role, health));
        }
        let (host, port, version) = (broker.host, broker.port, broker.version);
        brokers.insert(id, Broker { host, port, version, partitions });
    }
    Ok(Topology {
        brokers,
        cluster_size: number("the cluster's size", said.cluster_size)?,
        partitions: number("the count of partitions", said.partitions_count)?,
        replication_factor: number("the replication factor", said.replication_factor)?,
        gateway_version: said.gateway_version,
    })
}

//! `schism zeebe topology`.

use std::collections::BTreeMap;

use serde::Serialize;
use zeebe::{NodeId, OwnPartition, PartitionId, RaftRole, Topology};

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::table::{Align, Cell, Table, Tone};
use crate::output::{Detail, Output, Report};
use crate::provider::zeebe::ZeebeView;

use super::contact::Contact;
use super::patience::Patience;

/// What every member says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    schema: &'static str,
    partitions: u32,
    brokers: Vec<Broker>,
    gateways: Vec<Gateway>,
    /// What does not fit together.
    disagreements: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Broker {
    id: NodeId,
    addresses: Vec<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<String>,
    partitions: BTreeMap<PartitionId, OwnPartition>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Gateway {
    name: String,
    at: zeebe::GatewayUrl,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topology: Option<Topology>,
}

/// Shows it. Members that are silent and disagreement are part of it, and no failure.
pub(crate) async fn show(
    contact: &Contact,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let view = patience.asked("cannot ask Zeebe", async || contact.view().await).await?;
    output.show(&shown(view))?;
    Ok(Outcome::Effective)
}

fn shown(view: ZeebeView) -> Shown {
    let disagreements = view.disagreements();
    let brokers = view.brokers.into_iter().map(|(id, broker)| {
        let (partitions, silent) = match broker.answer {
            Ok(own) => (own, None),
            Err(silence) => (BTreeMap::new(), Some(silence.to_string())),
        };
        Broker { id, addresses: broker.addresses.into_iter().collect(), silent, partitions }
    });
    let gateways = view.gateways.into_iter().map(|gateway| {
        let (topology, silent) = match gateway.answer {
            Ok(topology) => (Some(topology), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Gateway { name: gateway.name.to_string(), at: gateway.at, silent, topology }
    });
    Shown {
        schema: "schism.zeebe-topology/v1",
        partitions: view.partitions,
        brokers: brokers.collect(),
        gateways: gateways.collect(),
        disagreements,
    }
}

impl Report for Shown {
    fn text(&self, _: Detail) -> String {
        let mut table = Table::new(&[
            ("BROKER", Align::Right),
            ("ADDRESSES", Align::Left),
            ("PARTITIONS", Align::Left),
        ]);
        for broker in &self.brokers {
            let addresses: Vec<String> = broker.addresses.iter().map(ToString::to_string).collect();
            let parts = PartitionId::first(self.partitions).map(|id| self.part(broker, id));
            let parts: Vec<String> = parts.collect();
            let tone = if broker.silent.is_some() { Tone::Bad } else { Tone::Plain };
            let parts = Cell::toned(parts.join(", "), tone);
            table.row(vec![broker.id.into(), addresses.join(",").into(), parts]);
        }
        let mut text = table.text();
        let silent = self.brokers.iter().filter_map(|one| {
            Some(format!("broker-{} says nothing: {}", one.id, one.silent.as_ref()?))
        });
        let gateways = self
            .gateways
            .iter()
            .filter_map(|one| Some(format!("{} says nothing: {}", one.name, one.silent.as_ref()?)));
        for line in silent.chain(gateways).chain(self.disagreements.iter().cloned()) {
            text += "\n";
            text += &line;
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.brokers.iter().map(|broker| format!("broker-{}", broker.id)).collect()
    }
}

impl Shown {
    /// What a broker is for a partition by its own word, and how that is by what gateways have heard.
    fn part(&self, broker: &Broker, partition: PartitionId) -> String {
        let heard = self.gateways.iter().find_map(|gateway| {
            let known = gateway.topology.as_ref()?.brokers.get(&broker.id)?;
            known.partitions.get(&partition).map(|(_, health)| *health)
        });
        let health = match heard {
            Some(zeebe::Health::Healthy) | None => "",
            Some(zeebe::Health::Unhealthy) => " (unhealthy)",
            Some(zeebe::Health::Dead) => " (dead)",
        };
        let role = match broker.partitions.get(&partition).map(|own| own.role) {
            Some(RaftRole::Leader) => "leader".to_owned(),
            Some(RaftRole::Follower) => "follower".to_owned(),
            Some(RaftRole::Candidate) => "candidate".to_owned(),
            Some(RaftRole::Inactive) => "inactive".to_owned(),
            Some(RaftRole::Passive) => "passive".to_owned(),
            Some(RaftRole::Promotable) => "promotable".to_owned(),
            None if broker.silent.is_some() => "?".to_owned(),
            None => "-".to_owned(),
        };
        format!("{partition} {role}{health}")
    }
}

//! `schism zeebe verify readiness` and `leadership`.

use std::collections::BTreeMap;

use fault::PartitionNumber;
use zeebe::{NodeId, PartitionId};

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::provider::zeebe::ZeebeView;

use super::contact::Contact;
use super::patience::{Look, Patience};
use super::report::verdict;

/// Waits until every member answers and all of it fits together.
pub(crate) async fn verify(
    contact: &Contact,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let reached = patience.until("Zeebe is not ready", async || match contact.view().await {
        Err(error) => Look::Not(error.to_string()),
        Ok(view) => match view.troubles().as_slice() {
            [] => Look::Holds(format!(
                "{} brokers, {} partitions, each with one leader, all healthy",
                view.brokers.len(),
                view.partitions
            )),
            troubles => Look::Not(troubles.join("; ")),
        },
    });
    verdict("readiness", reached.await, output)
}

/// Waits until each partition is led by its first choice.
pub(crate) async fn leadership(
    contact: &Contact,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let at = contact.management(patience.limit())?;
    let attempted = "cannot learn who is to lead";
    let configuration = patience.management(attempted, async || at.configuration().await).await?;
    let choices = configuration.first_choices();
    let reached = patience.until("leaders are elsewhere", async || match contact.view().await {
        Err(error) => Look::Not(error.to_string()),
        Ok(view) => match elsewhere(&view, &choices).as_slice() {
            [] => Look::Holds(format!("all of {} partitions", choices.len())),
            elsewhere => Look::Not(elsewhere.join("; ")),
        },
    });
    verdict("leadership", reached.await, output)
}

/// The partitions that are not led by whom they are to be led by.
fn elsewhere(view: &ZeebeView, choices: &BTreeMap<PartitionId, NodeId>) -> Vec<String> {
    let wrong = choices.iter().filter_map(|(partition, choice)| {
        match view.roles(PartitionNumber::new(partition.number())?) {
            Err(error) => Some(error.to_string()),
            Ok(roles) if roles.leader == *choice => None,
            Ok(roles) => Some(format!(
                "partition {partition} is led by broker-{}, and is to be by broker-{choice}",
                roles.leader
            )),
        }
    });
    wrong.collect()
}

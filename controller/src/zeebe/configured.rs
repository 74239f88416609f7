//! `schism zeebe cluster`.

use serde::Serialize;
use zeebe::{Configuration, NodeId, PlannedChange, Scaling};

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::table::{Align, Table};
use crate::output::{Detail, Output, Report};

use super::contact::Contact;
use super::patience::{Look, Patience};
use super::report::verdict;

/// The configuration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    schema: &'static str,
    #[serde(flatten)]
    configuration: Configuration,
}

impl Report for Shown {
    fn text(&self, _: Detail) -> String {
        let mut table = Table::new(&[
            ("BROKER", Align::Right),
            ("STATE", Align::Left),
            ("PARTITIONS (PRIORITY)", Align::Left),
        ]);
        for broker in &self.configuration.brokers {
            let partitions = broker.partitions.iter();
            let partitions: Vec<String> =
                partitions.map(|one| format!("{} ({})", one.id, one.priority)).collect();
            let state = broker.state.as_deref().unwrap_or("-");
            table.row(vec![broker.id.into(), state.into(), partitions.join(", ").into()]);
        }
        let mut text = table.text();
        for (what, change) in [
            ("last change", &self.configuration.last_change),
            ("pending change", &self.configuration.pending_change),
        ] {
            if let Some(change) = change {
                let status = change.status.as_deref().unwrap_or("unknown");
                text += &format!("\n{what}: {} ({status})", change.id);
            }
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.configuration.brokers.iter().map(|broker| broker.id.to_string()).collect()
    }
}

/// Shows it.
pub(crate) async fn show(
    contact: &Contact,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let at = contact.management(patience.limit())?;
    let attempted = "cannot read the configuration";
    let configuration = patience.management(attempted, async || at.configuration().await).await?;
    output.show(&Shown { schema: "schism.zeebe-cluster/v1", configuration })?;
    Ok(Outcome::Effective)
}

/// A change that has begun, or would.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Changed {
    schema: &'static str,
    /// Whether it has begun.
    begun: bool,
    #[serde(flatten)]
    plan: PlannedChange,
}

impl Report for Changed {
    fn text(&self, _: Detail) -> String {
        let steps = self.plan.planned_changes.iter().map(|step| {
            let of = |what: &str, number: Option<u32>| {
                number.map_or_else(String::new, |number| format!(" {what}{number}"))
            };
            let broker = of("broker-", step.broker_id);
            format!("{}{broker}{}", step.operation, of("partition ", step.partition_id))
        });
        let head = match self.begun {
            true => format!(
                "change {} has begun; `schism zeebe cluster wait --change {0}` waits for it",
                self.plan.change_id
            ),
            false if self.plan.planned_changes.is_empty() => {
                "it is so already: there is nothing to do".to_owned()
            }
            false => "nothing was done; it would be".to_owned(),
        };
        std::iter::once(head).chain(steps).collect::<Vec<_>>().join(
            "
",
        )
    }

    fn names(&self) -> Vec<String> {
        vec![self.plan.change_id.to_string()]
    }
}

/// Has the cluster consist of these brokers.
pub(crate) async fn scale(
    contact: &Contact,
    brokers: &[u32],
    replicas: Option<u32>,
    scaling: Scaling,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let at = contact.management(patience.limit())?;
    let attempted = "cannot change the brokers of the cluster";
    let brokers: Vec<NodeId> = brokers.iter().copied().map(NodeId::new).collect();
    // A second try would meet the change of the first: it is awaited that it answers, and then tried once.
    patience.management(attempted, async || at.configuration().await).await?;
    let plan = patience.once(attempted, at.scale(&brokers, replicas, scaling)).await;
    let plan = plan.map_err(|failure| failure.hint("see `schism zeebe cluster status`"))?;
    let begun = match scaling {
        Scaling::Planned => false,
        // Zeebe gives nothing to do a number, too, which no change ever has.
        Scaling::Moved | Scaling::Forced => !plan.planned_changes.is_empty(),
    };
    output.show(&Changed { schema: "schism.zeebe-change/v1", begun, plan })?;
    Ok(Outcome::Effective)
}

/// Waits until a change is completed.
pub(crate) async fn wait(
    contact: &Contact,
    change: i64,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let at = contact.management(patience.limit())?;
    let attempted = format!("change {change} is not completed");
    let reached = patience.until(&attempted, async || match at.configuration().await {
        Err(error) => Look::Not(error.to_string()),
        Ok(configuration) => stands(&configuration, change),
    });
    verdict("cluster-change", reached.await, output)
}

fn stands(configuration: &Configuration, change: i64) -> Look<String> {
    let is = |one: &&zeebe::Change| one.id == change;
    if configuration.pending_change.as_ref().is_some_and(|one| is(&one)) {
        return Look::Not(format!("change {change} is under way"));
    }
    if let Some(last) = configuration.last_change.as_ref().filter(is) {
        return judged(&format!("change {change}"), last.status.as_deref().unwrap_or_default());
    }
    // Zeebe tells how the last one ended, and of those before it nothing: it may have failed or been cancelled.
    let known = [&configuration.last_change, &configuration.pending_change];
    match known.into_iter().flatten().find(|one| one.id > change) {
        Some(later) => Look::Never(format!(
            "change {} is there already, and how {change} ended is not told any more",
            later.id
        )),
        None => Look::Not(format!("there is no change {change} yet")),
    }
}

/// What a state in Zeebe's words means.
pub(crate) fn judged(what: &str, state: &str) -> Look<String> {
    let said = format!("{what} is {state}");
    match state {
        "COMPLETED" => Look::Holds(said),
        "FAILED" | "INCOMPATIBLE" | "CANCELLED" => Look::Never(said),
        _ => Look::Not(said),
    }
}

#[cfg(test)]
mod tests {
    use zeebe::Change;

    use super::*;

    #[test]
    fn a_change_stands_as_it_is_told() {
        let of = |last: (i64, &str), pending: Option<i64>| Configuration {
            version: 1,
            brokers: Vec::new(),
            last_change: Some(Change { id: last.0, status: Some(last.1.to_owned()) }),
            pending_change: pending.map(|id| Change { id, status: None }),
        };
        assert!(matches!(stands(&of((1, "COMPLETED"), Some(2)), 2), Look::Not(_)));
        assert!(matches!(stands(&of((2, "COMPLETED"), None), 2), Look::Holds(_)));
        assert!(matches!(stands(&of((2, "FAILED"), None), 2), Look::Never(_)));
        // It may have failed, or been cancelled.
        assert!(matches!(stands(&of((3, "COMPLETED"), None), 2), Look::Never(_)));
        assert!(matches!(stands(&of((1, "COMPLETED"), Some(3)), 2), Look::Never(_)));
        assert!(matches!(stands(&of((2, "COMPLETED"), Some(3)), 2), Look::Holds(_)));
        assert!(matches!(stands(&of((1, "COMPLETED"), None), 2), Look::Not(_)));
    }
}

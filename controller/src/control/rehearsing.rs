//! What agents would do, without anything being touched.

use std::collections::BTreeSet;
use std::time::Duration;

use fault::{Fault, NodeName};
use futures_util::future::try_join_all;
use proto::control as wire;

use super::asking::Draft;
use super::handle::Control;
use super::resolving::ResolveError;
use crate::failure::{Cause, Failure};
use crate::link::{Prepared, Rehearsal};

/// How long all agents together may take to say what they would do.
const PATIENCE: Duration = Duration::from_secs(10);

impl Control {
    /// What each agent would do for its parts of an intent, in their order.
    ///
    /// # Errors
    /// An agent would refuse it, or cannot say.
    pub async fn rehearse(&self, draft: &Draft) -> Result<Vec<wire::PartPlan>, ResolveError> {
        let nodes = draft.intent.faults().into_iter();
        let all = nodes.map(|(node, faults)| self.rehearse_on(node, faults));
        let prepared = try_join_all(all).await?;
        let mut plans: Vec<wire::PartPlan> = prepared
            .into_iter()
            .flatten()
            .map(|one| wire::PartPlan { part: one.id.part.into(), prepared: Some(one.into()) })
            .collect();
        plans.sort_by_key(|plan| plan.part);
        Ok(plans)
    }

    /// Refuses what is to be put on nodes that are known to take no faults: their own brakes are on.
    ///
    /// # Errors
    /// The first of them.
    pub(super) async fn spare_halted(
        &self,
        nodes: BTreeSet<&NodeName>,
    ) -> Result<(), ResolveError> {
        for node in nodes {
            let (Some(mut reason), Some(mut link)) =
                (self.agents().halted(node), self.agents().link(node))
            else {
                continue;
            };
            // It may have been taken off a moment ago. Of one that does not answer the last word counts.
            if let Ok(description) = link.describe().await {
                reason = description.halted;
            }
            if !reason.is_empty() {
                let reason = format!("the brake is on there: {}", fault::Legible(&reason));
                let hint = "`schism resume` takes the brake off, or whoever removes the file `halt` \
                            beside the agent's socket";
                return Err(ResolveError::Refused {
                    node: node.clone(),
                    reason,
                    hint: hint.to_owned(),
                });
            }
        }
        Ok(())
    }

    async fn rehearse_on(
        &self,
        node: NodeName,
        faults: Vec<Fault>,
    ) -> Result<Vec<Prepared>, ResolveError> {
        let Some(mut link) = self.agents().link(&node) else {
            return Err(ResolveError::Unreachable(node));
        };
        let rehearsed = link.prepare("cannot be put in place", &faults, Rehearsal::Yes);
        match tokio::time::timeout(PATIENCE, rehearsed).await {
            Ok(Ok(prepared)) => Ok(prepared),
            Ok(Err(Failure { cause: Cause::Refused, reason, hint, .. })) => {
                Err(ResolveError::Refused { node, reason, hint: hint.unwrap_or_default() })
            }
            Ok(Err(failure)) => Err(ResolveError::Agent { node, reason: failure.reason }),
            Err(_) => {
                let reason = "no answer in time".to_owned();
                Err(ResolveError::Agent { node, reason })
            }
        }
    }
}

//! Steps of a run that have pods go or none come to a node: asked for as by whoever asks alone, guarded and written down.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use experiment::run::Ending;
use fault::{IntentId, NodeName};
use proto::control as wire;
use serde_json::{Map, Value};

use super::faults::{Faults, Refusal};
use crate::archive::{Audit, Deed, Node, Verdict};
use crate::control::{AskError, Standing};
use crate::disruption::{Disruption, is_over};
use crate::fleet::{disrupted, disruption};
use crate::outcome::Outcome;
use crate::run::disrupting::{Step, step};
use crate::run::zeebe::Behind;

impl Faults {
    /// Does it, and returns once it stands, or nothing more comes of it.
    pub(super) async fn disrupt(&self, behind: Behind, arguments: &Map<String, Value>) -> Ending {
        if self.is_for_an_object() {
            return Ending::Failed(
                "pods and nodes are changed for no run that an object asks for".to_owned(),
            );
        }
        let asked = match step(behind, arguments, &self.names) {
            Ok(Step::Disrupt(asked)) => asked,
            Ok(Step::Uncordon(node)) => return self.uncordon(&node).await,
            Err(why) => return Ending::Failed(why),
        };
        let mut standing = match self.begin_disruption(&asked).await {
            Ok(standing) => standing,
            Err(refusal) => return Ending::Failed(refusal.text()),
        };
        let stands =
            |one: &wire::Disruption| is_over(one) || one.stage() == wire::DisruptionStage::Standing;
        let one = match standing.wait_for(stands).await {
            Ok(one) => one.clone(),
            Err(_) => return Ending::Crashed("the controller ends".to_owned()),
        };
        match disrupted::outcome(&one) {
            Outcome::Effective => Ending::Returned(disrupted::record(&one)),
            Outcome::Deviated
            | Outcome::WrongUsage
            | Outcome::NothingMatched
            | Outcome::Refused
            | Outcome::Unconfirmed
            | Outcome::Interrupted => Ending::Failed(one.reason),
        }
    }

    async fn begin_disruption(&self, asked: &Disruption) -> Result<Standing, Refusal> {
        // An id that is taken is refused.
        let number = crate::cut::random().unwrap_or(1);
        let id = IntentId::from_random(number);
        let mut audit = self.line(asked.to_string(), Some(id));
        let undertaking = self.control.undertake(id, asked.into(), &self.asker, &self.limits).await;
        let undertaking = match undertaking {
            Ok(undertaking) => undertaking,
            Err(error) => {
                audit.verdict = Verdict::Refused(error.to_string());
                self.audit.append(&audit).await?;
                return Err(error.into());
            }
        };
        audit.nodes = undertaking.nodes().into_iter().map(Node).collect();
        let deadline = undertaking.disruption.deadline;
        audit.until = (deadline != 0).then(|| UNIX_EPOCH + Duration::from_nanos(deadline));
        self.audit.append(&audit).await?;
        Ok(self.control.disrupt(undertaking).await.map_err(AskError::from)?)
    }

    fn line(&self, what: String, id: Option<IntentId>) -> Audit {
        Audit {
            at: SystemTime::now(),
            who: self.asker.clone(),
            deed: if id.is_some() { Deed::Disrupt } else { Deed::Heal },
            what,
            intent: id.map(|id| id.to_string()),
            nodes: Vec::new(),
            until: None,
            verdict: Verdict::Admitted,
        }
    }

    /// Ends what keeps pods from a node. Where nothing of ours does there is nothing to be done.
    async fn uncordon(&self, node: &NodeName) -> Ending {
        let known = match self.control.listing().await {
            Ok(known) => known.disruptions,
            Err(error) => return Ending::Failed(error.to_string()),
        };
        let ids: Vec<IntentId> = disruption::cordoning(&known, node);
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        // Nothing is kept standing for want of a line in the log.
        if let Err(error) = self.audit.append(&self.line(names.join(" "), None)).await {
            tracing::error!(%error, "uncordoning all the same");
        }
        let reason = format!("uncordoned by {}", self.asker);
        let mut ended = Vec::new();
        for id in ids {
            match self.control.end_disruption(id, &reason).await {
                Ok(Some(one)) if is_over(&one) => ended.push(disrupted::record(&one)),
                Ok(Some(one)) => {
                    let why = one.notes.last().cloned();
                    return Ending::Failed(
                        why.unwrap_or_else(|| format!("{node} is not uncordoned yet")),
                    );
                }
                Ok(None) => {}
                Err(error) => return Ending::Failed(error.to_string()),
            }
        }
        Ending::Returned(Value::Array(ended))
    }
}

//! What is written down of a run.

use serde_json::{Map, Value, json};

use super::event::HadEffect;
use super::faults::FaultState;
use super::terms::Verdicts;
use super::{Moment, Run};
use crate::journal::{Interrupted, Journal, Owed, Status};
use crate::model::RollbackStrategy;

impl Run {
    /// What is written down so far. At any time it is a journal that stands for itself: one of a run that goes
    /// on says that it is unfinished, and what is owed.
    #[must_use]
    pub fn journal(&self, now: Moment) -> Journal {
        let end = self.ended.unwrap_or(now.max(self.heard));
        let verdict = self.verdict();
        let is_over = self.ended.is_some();
        let interruption = self.leaving.as_ref().map(|by| Interrupted {
            kind: by.named().0,
            name: by.named().1,
            reason: by.reason().map(|reason| self.shared.redaction.text(&reason)),
        });
        Journal {
            host: self.host.clone(),
            experiment: self.experiment(),
            start: self.shared.started,
            status: if is_over { verdict.status } else { Status::Interrupted },
            deviated: verdict.deviated,
            steady_states: self.states.clone(),
            run: self.method.items().to_vec(),
            rollbacks: self.rollbacks.items().to_vec(),
            end: self.shared.at(end),
            duration: end.as_secs_f64(),
            interruption,
            ours: self.ours(),
        }
    }

    fn experiment(&self) -> Map<String, Value> {
        let experiment = &self.shared.experiment;
        let mut written = match &experiment.written {
            Some(written) => self.shared.redaction.experiment(written),
            None => {
                let steps = |steps: &[crate::model::Activity]| -> Vec<Value> {
                    steps.iter().map(|step| Value::Object(step.rendered())).collect()
                };
                let mut map = Map::new();
                map.insert("title".to_owned(), Value::Null);
                map.insert("description".to_owned(), experiment.description.clone().into());
                map.insert("method".to_owned(), steps(&experiment.method).into());
                map.insert("rollbacks".to_owned(), steps(&experiment.rollbacks).into());
                self.shared.redaction.map(&map)
            }
        };
        let title = self.shared.scope.worded(&experiment.title);
        written.insert("title".to_owned(), self.shared.redaction.text(&title).into());
        let dry = self.shared.terms.dry.map(|dry| dry.to_string());
        written.insert("dry".to_owned(), dry.into());
        written
    }

    /// What we add.
    fn ours(&self) -> Map<String, Value> {
        let terms = &self.shared.terms;
        let is_over = self.ended.is_some();
        let mut ours = Map::new();
        let mut put = |key: &str, value: Value| ours.insert(key.to_owned(), value);
        put("schema", "schism.journal/v1".into());
        put(
            "verdicts",
            match terms.verdicts {
                Verdicts::Compat => "compat",
                Verdicts::Strict => "strict",
            }
            .into(),
        );
        put("hypothesis_strategy", terms.hypothesis.to_string().into());
        put("rollbacks_strategy", terms.rollbacks.to_string().into());
        put("seed", terms.seed.into());
        put("unfinished", (!is_over).into());
        if !is_over {
            put("owed", json!({"rollbacks": self.owed_rollbacks(), "faults": self.owed_faults()}));
        }
        let reasons = self.shared.standing.reasons().iter();
        let reasons: Vec<String> =
            reasons.map(|reason| self.shared.redaction.text(&reason.to_string())).collect();
        put("reasons", reasons.into());
        let faults =
            self.shared.faults.all().map(|(label, fault)| {
                (label.to_string(), self.shared.shown(&described(&fault.state)))
            });
        put("faults", Value::Object(faults.collect()));
        ours
    }

    /// What somebody has to do if this run goes no further.
    #[must_use]
    pub fn owed(&self) -> Owed {
        Owed { rollbacks: self.owed_rollbacks(), faults: self.owed_faults() }
    }

    /// The rollbacks that somebody has to play if this run goes no further.
    fn owed_rollbacks(&self) -> Vec<usize> {
        let never = match self.shared.terms.rollbacks {
            RollbackStrategy::Never => true,
            RollbackStrategy::Deviated => !self.shared.standing.deviated(),
            RollbackStrategy::Always | RollbackStrategy::Default => false,
        };
        let is_asked = self.touched && !self.without_rollbacks;
        if is_asked && (self.resumes || !never) { self.rollbacks.unfinished() } else { Vec::new() }
    }

    fn owed_faults(&self) -> Vec<String> {
        let may_stand = self.shared.faults.all().filter(|(_, fault)| match fault.state {
            FaultState::Beginning
            | FaultState::Standing
            | FaultState::Unknown
            | FaultState::Healing
            | FaultState::Unconfirmed(_) => true,
            FaultState::Ended(_) => false,
        });
        may_stand.map(|(label, _)| label.to_string()).collect()
    }
}

fn described(state: &FaultState) -> Value {
    match state {
        FaultState::Beginning => json!({"state": "beginning"}),
        FaultState::Standing => json!({"state": "standing"}),
        FaultState::Unknown => json!({"state": "unknown"}),
        FaultState::Healing => json!({"state": "healing"}),
        FaultState::Unconfirmed(why) => json!({"state": "unconfirmed", "reason": why}),
        FaultState::Ended(effect) => {
            let had = match effect.had {
                HadEffect::Yes => Value::Bool(true),
                HadEffect::No => Value::Bool(false),
                HadEffect::Unknown => Value::Null,
            };
            json!({"state": "ended", "had_effect": had, "effect": effect.figures})
        }
    }
}

//! What is written down of a run.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::event::HadEffect;
use super::faults::{FaultState, RunFault};
use super::terms::Verdicts;
use super::{Moment, Run};
use crate::hint;
use crate::journal::{Changes, Interrupted, Journal, Now, Owed, SCHEMA, Status};
use crate::model::{FaultLabel, RollbackStrategy};

/// How much of the steady state was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    before: bool,
    after: bool,
    during: usize,
}

impl Run {
    /// What is written down so far. At any time it is a journal that stands for itself: one of a run that goes
    /// on says that it is unfinished, and what is owed.
    #[must_use]
    pub fn journal(&self, now: Moment) -> Journal {
        let Now { status, deviated, end, duration, interruption, schism } = self.now(now);
        Journal {
            host: self.host.clone(),
            experiment: self.experiment(),
            start: self.shared.started,
            status,
            deviated,
            steady_states: self.states.clone(),
            run: self.method.items().to_vec(),
            rollbacks: self.rollbacks.items().to_vec(),
            end,
            duration,
            interruption,
            ours: schism,
        }
    }

    /// What changed in the journal since this was asked last, or since the run was made.
    pub fn changes(&mut self, now: Moment) -> Changes {
        let told = self.told;
        self.told = Told {
            before: self.states.before.is_some(),
            after: self.states.after.is_some(),
            during: self.states.during.len(),
        };
        Changes {
            run: self.method.take_changed(),
            rollbacks: self.rollbacks.take_changed(),
            before: self.states.before.clone().filter(|_| !told.before),
            after: self.states.after.clone().filter(|_| !told.after),
            during: {
                let new = self.states.during.iter().enumerate().skip(told.during);
                new.map(|(place, state)| (place, Arc::clone(state))).collect()
            },
            now: self.now(now),
        }
    }

    /// What of the journal is small.
    fn now(&self, now: Moment) -> Now {
        let end = self.ended.unwrap_or(now.max(self.heard));
        let verdict = self.verdict();
        let is_over = self.ended.is_some();
        let interruption = self.leaving.as_ref().map(|by| Interrupted {
            kind: by.named().0,
            name: by.named().1,
            reason: by.reason().map(|reason| self.shared.redaction.text(&reason)),
        });
        Now {
            status: if is_over { verdict.status } else { Status::Interrupted },
            deviated: verdict.deviated,
            end: self.shared.at(end),
            duration: end.as_secs_f64(),
            interruption,
            schism: self.ours(),
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
        put("schema", SCHEMA.into());
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
        if let Some(run) = &self.host.run {
            put("run", run.as_str().into());
        }
        put("unfinished", (!is_over).into());
        let (rollbacks, faults) = (self.owed_rollbacks(), self.owed_faults());
        if !is_over || !rollbacks.is_empty() || !faults.is_empty() {
            put("owed", json!({"rollbacks": rollbacks, "faults": faults}));
            put("faults_at", self.host.faults.clone().into());
        }
        let reasons = self.shared.standing.reasons().iter();
        let reasons: Vec<String> =
            reasons.map(|reason| self.shared.redaction.text(&reason.to_string())).collect();
        put("reasons", reasons.into());
        if self.during.left_out() > 0 {
            put("during_left_out", self.during.left_out().into());
        }
        let faults = self.shared.faults.all().map(|(label, fault)| {
            let mut shown = self.shared.shown(&described(&fault.state));
            shown["id"] = fault.key.to_string().into();
            (label.to_string(), shown)
        });
        put("faults", Value::Object(faults.collect()));
        ours
    }

    /// What somebody has to do if this run goes no further.
    #[must_use]
    pub fn owed(&self) -> Owed {
        Owed {
            rollbacks: self.owed_rollbacks(),
            faults: self.standing().map(|(label, fault)| (label.clone(), fault.key)).collect(),
            at: self.host.faults.clone(),
            run: self.host.run.clone(),
        }
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

    /// The faults that may stand.
    fn standing(&self) -> impl Iterator<Item = (&FaultLabel, &RunFault)> {
        self.shared.faults.all().filter(|(_, fault)| match fault.state {
            FaultState::Beginning
            | FaultState::Standing
            | FaultState::Unknown
            | FaultState::Healing
            | FaultState::Unconfirmed(_) => true,
            FaultState::Ended(_) => false,
        })
    }

    /// The same, with what they are asked for by.
    fn owed_faults(&self) -> Map<String, Value> {
        let owed = self.standing();
        owed.map(|(label, fault)| (label.to_string(), fault.key.to_string().into())).collect()
    }
}

fn described(state: &FaultState) -> Value {
    match state {
        FaultState::Beginning => json!({"state": "beginning"}),
        FaultState::Standing => json!({"state": "standing"}),
        FaultState::Unknown => json!({"state": "unknown"}),
        FaultState::Healing => json!({"state": "healing"}),
        FaultState::Unconfirmed(why) => {
            let (why, hint) = hint::apart(why);
            let mut shown = json!({"state": "unconfirmed", "reason": why});
            if let Some(hint) = hint {
                shown["hint"] = hint.into();
            }
            shown
        }
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

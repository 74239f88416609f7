//! What runs came to, as one document (`-o json`).

mod summary;

use std::path::Path;

use experiment::hint;
use experiment::journal::Status;
use experiment::restoration;
use experiment::run::Verdict;
use serde::Serialize;
use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::output::{Detail, Report};
pub(super) use summary::summary;

/// What runs came to, in the order in which they were asked for.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    schema: &'static str,
    exit_code: u8,
    runs: Vec<Entry>,
}

/// What one run came to.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    file: String,
    title: Value,
    status: String,
    deviated: bool,
    exit_code: u8,
    /// Why, in the order in which it happened.
    reasons: Vec<String>,
    /// Whether the original would have ended otherwise.
    explanation: Option<String>,
    verdicts: Value,
    seed: Value,
    seconds: Value,
    journal: String,
    steady_state: Steady,
    steps: Vec<Step>,
    /// By name: what became of it, and what it did.
    faults: Value,
    /// What it did not come to, by names.
    owed: Dues,
}

/// What a run owes, by names.
#[derive(Debug, Serialize)]
pub(super) struct Dues {
    rollbacks: Vec<String>,
    faults: Vec<String>,
}

impl Dues {
    /// What a journal says.
    pub(super) fn of(journal: &Value) -> Self {
        let owed = &journal["schism"]["owed"];
        let places = owed["rollbacks"].as_array().into_iter().flatten();
        let places = places.filter_map(|place| usize::try_from(place.as_u64()?).ok());
        let experiment = journal["experiment"].as_object();
        Self {
            rollbacks: experiment.map_or_else(Vec::new, |experiment| {
                restoration::names(experiment, &places.collect::<Vec<_>>())
            }),
            faults: owed["faults"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }

    /// What whoever started it should know.
    pub(super) fn told(&self, typed: &str, journal: &Path) -> Option<String> {
        let faults = self.faults.iter().map(|name| format!("the end of the fault {name}"));
        let all: Vec<String> = faults.chain(self.rollbacks.iter().cloned()).collect();
        let journal = journal.display();
        (!all.is_empty()).then(|| {
            format!(
                "owed: {}; `{typed} run --resume-rollbacks {journal}` sees to it",
                all.join(", ")
            )
        })
    }
}

#[derive(Debug, Serialize)]
struct Steady {
    before: Value,
    during: During,
    after: Value,
}

#[derive(Debug, Serialize)]
struct During {
    met: usize,
    not_met: usize,
}

#[derive(Debug, Serialize)]
struct Step {
    section: &'static str,
    name: Value,
    /// Of a step that is repeated, for what it was this time, by the name of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    for_each: Option<Value>,
    #[serde(rename = "type")]
    kind: Value,
    /// With `--compat` none for one that was stopped.
    status: Value,
    seconds: Value,
    tolerance_met: Value,
    error: Option<String>,
    /// What to do about it.
    hint: Option<String>,
}

/// A verdict, whoever decided it.
pub(super) struct Told {
    pub(super) status: String,
    pub(super) deviated: bool,
    pub(super) reasons: Vec<String>,
    pub(super) explanation: Option<String>,
}

impl From<&Verdict> for Told {
    fn from(verdict: &Verdict) -> Self {
        Self {
            status: verdict.status.to_string(),
            deviated: verdict.deviated,
            reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
            explanation: verdict.explanation(),
        }
    }
}

impl Told {
    /// Says what could not be written, by which a run fails that has come to nothing worse.
    pub(super) fn is_not_whole(&mut self, why: Option<&str>) {
        let Some(why) = why else { return };
        let completed = Status::Completed.to_string();
        if self.status == completed {
            self.status = Status::Failed.to_string();
            self.reasons.push(why.to_owned());
        }
    }
}

impl Step {
    fn new(section: &'static str, item: &Value) -> Self {
        let lines = item["exception"].as_array().into_iter().flatten();
        let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
        let told = lines.concat();
        let (error, hint) = hint::apart(told.trim_end());
        let turn = item["activity"]["for-each"]["name"].as_str().and_then(|name| {
            let value = item["schism"].get(name)?;
            Some(json!({ name: value }))
        });
        Self {
            section,
            for_each: turn,
            name: item["activity"]["name"].clone(),
            kind: item["activity"]["type"].clone(),
            status: item["status"].clone(),
            seconds: item["duration"].clone(),
            tolerance_met: item["tolerance_met"].clone(),
            error: (!lines.is_empty()).then(|| error.to_owned()),
            hint: hint.map(str::to_owned),
        }
    }
}

impl Entry {
    /// What a journal says, and the verdict.
    pub(super) fn new(
        file: String,
        place: &Path,
        journal: &Value,
        told: Told,
        outcome: Outcome,
    ) -> Self {
        let ours = &journal["schism"];
        let states = &journal["steady_states"];
        let during = |wanted: bool| {
            let all = states["during"].as_array().into_iter().flatten();
            all.filter(|state| state["steady_state_met"] == wanted).count()
        };
        let steps = |section| journal[section].as_array().into_iter().flatten();
        let method = steps("run").map(|item| Step::new("method", item));
        let rollbacks = steps("rollbacks").map(|item| Step::new("rollbacks", item));
        Self {
            file,
            title: journal["experiment"]["title"].clone(),
            status: told.status,
            deviated: told.deviated,
            exit_code: outcome.code(),
            reasons: told.reasons,
            explanation: told.explanation,
            verdicts: ours["verdicts"].clone(),
            seed: ours["seed"].clone(),
            seconds: journal["duration"].clone(),
            journal: place.display().to_string(),
            steady_state: Steady {
                before: states["before"]["steady_state_met"].clone(),
                during: During { met: during(true), not_met: during(false) },
                after: states["after"]["steady_state_met"].clone(),
            },
            steps: method.chain(rollbacks).collect(),
            faults: ours["faults"].clone(),
            owed: Dues::of(journal),
        }
    }
}

impl RunReport {
    pub(super) const fn new(runs: Vec<Entry>, outcome: Outcome) -> Self {
        Self { schema: "schism.run/v1", exit_code: outcome.code(), runs }
    }
}

impl Report for RunReport {
    /// People were told while it went on.
    fn text(&self, _: Detail) -> String {
        String::new()
    }

    fn names(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.status.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turns_of_a_step_are_told_apart() {
        let step = |each: &Value, ours: &Value| {
            let activity = json!({"name": "a", "type": "action", "for-each": each});
            let item = json!({"activity": activity, "status": "succeeded", "schism": ours});
            serde_json::to_value(Step::new("method", &item)).unwrap()
        };
        let each = json!({"name": "node"});
        let turn = step(&each, &json!({"attempts": 2, "node": "db0"}));
        assert_eq!(turn["for_each"], json!({"node": "db0"}), "{turn:#}");
        let turn = step(&each, &json!({"node": {"at": 1}}));
        assert_eq!(turn["for_each"], json!({"node": {"at": 1}}), "{turn:#}");
        // It could not be repeated at all, or was not to be.
        for (each, ours) in [(&each, &json!({})), (&Value::Null, &json!({"attempts": 2}))] {
            let step = step(each, ours);
            assert!(step.get("for_each").is_none(), "{step:#}");
        }
    }
}

//! What is written down of a run: the original's journal, key by key, and what we add beside it.
//!
//! Secrets are hidden before anything gets in here.

mod changes;
mod owed;
mod resumed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::timestamp::Timestamp;

pub use changes::{Changes, Now, apply};
pub use owed::{Owed, OwedError, SCHEMA};
pub use resumed::resumed;

/// How a run, or a step, has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A run that went its way.
    Completed,
    /// A run that failed.
    Failed,
    /// A run that could not go on.
    Aborted,
    /// A run that somebody ended.
    Interrupted,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Interrupted => "interrupted",
        })
    }
}

/// How a step has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// It has an output.
    Succeeded,
    /// It failed.
    Failed,
    /// It was stopped before its end, or ended the run itself. The original has no word for it, and neither
    /// has a journal in its words.
    Interrupted,
}

/// A step, in the order of keys that the original has.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The step as it was written, which is the same for every look at the steady state.
    pub activity: Arc<Map<String, Value>>,
    /// What it found.
    pub output: Value,
    /// When it began.
    pub start: Timestamp,
    /// How it ended; none for one that goes on and, in the original's words, for one that was stopped or ended
    /// in a way without a name.
    pub status: Option<StepStatus>,
    /// What went wrong, line by line.
    pub exception: Option<Vec<String>>,
    /// When it ended.
    pub end: Option<Timestamp>,
    /// How long it took in seconds.
    pub duration: Option<f64>,
    /// Whether the output was within its tolerance.
    pub tolerance_met: Option<bool>,
    /// What we add, under `schism`.
    pub ours: Map<String, Value>,
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("activity", &*self.activity)?;
        map.serialize_entry("output", &self.output)?;
        map.serialize_entry("start", &self.start)?;
        if let Some(status) = self.status {
            map.serialize_entry("status", &status)?;
        }
        if let Some(exception) = &self.exception {
            map.serialize_entry("exception", exception)?;
        }
        if let Some(end) = self.end {
            map.serialize_entry("end", &end)?;
            map.serialize_entry("duration", &self.duration)?;
        }
        if let Some(met) = self.tolerance_met {
            map.serialize_entry("tolerance_met", &met)?;
        }
        if !self.ours.is_empty() {
            map.serialize_entry("schism", &self.ours)?;
        }
        map.end()
    }
}

/// One evaluation of the steady state.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SteadyState {
    /// Whether all was as it should be; unset for one that was stopped.
    pub steady_state_met: Option<bool>,
    /// The probes that were made.
    pub probes: Vec<Item>,
}

/// All evaluations.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SteadyStates {
    /// Before the method.
    pub before: Option<SteadyState>,
    /// After the method.
    pub after: Option<SteadyState>,
    /// During the method.
    #[serde(serialize_with = "each")]
    pub during: Vec<Arc<SteadyState>>,
}

/// There are thousands of them, which are copied for nobody.
fn each<S: Serializer>(states: &[Arc<SteadyState>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(states.iter().map(|state| &**state))
}

/// Where a run took place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Of which version of the original the journal has the shape, for its readers.
    pub version: String,
    /// The system.
    pub platform: String,
    /// The machine.
    pub node: String,
    /// Who puts its faults in.
    pub faults: String,
    /// What whoever decides the run calls it, where that is a controller.
    pub run: Option<String>,
}

/// Who ended a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interrupted {
    /// `signal`, `control` or `connection`.
    pub kind: &'static str,
    /// Which.
    pub name: &'static str,
    /// Why, if somebody said so.
    pub reason: Option<String>,
}

/// What is written down of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    /// Where it took place.
    pub host: Host,
    /// What was run, as it was written.
    pub experiment: Map<String, Value>,
    /// When it began.
    pub start: Timestamp,
    /// How it ended. One that goes on says `interrupted`: that is what it is if nobody writes any more.
    pub status: Status,
    /// Whether the system deviated.
    pub deviated: bool,
    /// The steady state.
    pub steady_states: SteadyStates,
    /// The method.
    pub run: Vec<Item>,
    /// The rollbacks.
    pub rollbacks: Vec<Item>,
    /// When it ended, or was written.
    pub end: Timestamp,
    /// How long it took in seconds.
    pub duration: f64,
    /// Who ended it.
    pub interruption: Option<Interrupted>,
    /// What we add, under `schism`.
    pub ours: Map<String, Value>,
}

impl Serialize for Journal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("chaoslib-version", &self.host.version)?;
        map.serialize_entry("platform", &self.host.platform)?;
        map.serialize_entry("node", &self.host.node)?;
        map.serialize_entry("experiment", &self.experiment)?;
        map.serialize_entry("start", &self.start)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("deviated", &self.deviated)?;
        map.serialize_entry("steady_states", &self.steady_states)?;
        map.serialize_entry("run", &self.run)?;
        map.serialize_entry("rollbacks", &self.rollbacks)?;
        map.serialize_entry("end", &self.end)?;
        map.serialize_entry("duration", &self.duration)?;
        if let Some(interruption) = &self.interruption {
            map.serialize_entry("interruption", interruption)?;
        }
        map.serialize_entry("schism", &self.ours)?;
        map.end()
    }
}

//! What changed in a journal: a long one is not written anew for each step.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Interrupted, Item, Status, SteadyState};
use crate::timestamp::Timestamp;

/// What changed in a journal since it was asked last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changes {
    /// Steps of the method, by their place.
    pub run: Vec<(usize, Item)>,
    /// Rollbacks, by their place.
    pub rollbacks: Vec<(usize, Item)>,
    /// The steady state before the method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<SteadyState>,
    /// The steady state after the method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<SteadyState>,
    /// Evaluations during the method, by their place.
    #[serde(serialize_with = "each")]
    pub during: Vec<(usize, Arc<SteadyState>)>,
    /// What is small, and stands here whole.
    pub now: Now,
}

fn each<S: Serializer>(
    states: &[(usize, Arc<SteadyState>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(states.iter().map(|(place, state)| (place, &**state)))
}

/// What of a journal is small.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Now {
    /// How it ended, so far.
    pub status: Status,
    /// Whether the system deviated.
    pub deviated: bool,
    /// When it was written.
    pub end: Timestamp,
    /// How long it took in seconds.
    pub duration: f64,
    /// Who ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Interrupted>,
    /// What we add.
    pub schism: Map<String, Value>,
}

/// Puts a change, as it was written down, into a journal, as it was written down. What has no place there
/// is left out.
pub fn apply(journal: &mut Map<String, Value>, mut change: Map<String, Value>) {
    for section in ["run", "rollbacks"] {
        if let Some(Value::Array(list)) = journal.get_mut(section) {
            place(list, change.remove(section));
        }
    }
    if let Some(Value::Object(states)) = journal.get_mut("steady_states") {
        for side in ["before", "after"] {
            if let Some(state) = change.remove(side) {
                states.insert(side.to_owned(), state);
            }
        }
        if let Some(Value::Array(list)) = states.get_mut("during") {
            place(list, change.remove("during"));
        }
    }
    if let Some(Value::Object(now)) = change.remove("now") {
        journal.extend(now);
    }
}

fn place(list: &mut Vec<Value>, changed: Option<Value>) {
    let Some(Value::Array(changed)) = changed else { return };
    for one in changed {
        let Value::Array(mut pair) = one else { continue };
        let (Some(item), Some(at)) = (pair.pop(), pair.pop().and_then(|at| at.as_u64())) else {
            continue;
        };
        match usize::try_from(at).ok().and_then(|at| list.get_mut(at)) {
            Some(there) => *there = item,
            // Nothing is left out on the way: the next place is the only one that can be missing.
            None => list.push(item),
        }
    }
}

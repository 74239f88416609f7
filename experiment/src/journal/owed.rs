//! What a run still owed when its journal was written last.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::model::FaultLabel;
use crate::run::FaultKey;

/// What a run still owed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Which rollbacks, counted from 0 in the order of the experiment.
    pub rollbacks: Vec<usize>,
    /// Which faults may still stand, and what they are asked for by.
    pub faults: BTreeMap<FaultLabel, FaultKey>,
    /// Who was to put them in.
    pub at: String,
    /// What the controller that decides the run calls it, and keeps what it owes by.
    pub run: Option<String>,
}

/// A journal that does not say what is owed.
#[derive(Debug, thiserror::Error)]
pub enum OwedError {
    /// It is not one.
    #[error("this is no journal of a run: {0}")]
    Json(#[from] serde_json::Error),
    /// The run did all that it owed, or touched nothing.
    #[error("the run in this journal owes nothing")]
    Nothing,
}

#[derive(Deserialize)]
struct Whole {
    experiment: Map<String, Value>,
    schism: Ours,
}

#[derive(Deserialize)]
struct Ours {
    /// It tells a journal of ours from others.
    #[serde(rename = "unfinished")]
    _unfinished: bool,
    owed: Option<Written>,
    #[serde(default)]
    faults_at: String,
    run: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    rollbacks: Vec<usize>,
    #[serde(deserialize_with = "faults")]
    faults: BTreeMap<FaultLabel, FaultKey>,
}

fn faults<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<FaultLabel, FaultKey>, D::Error> {
    let written = BTreeMap::<String, String>::deserialize(deserializer)?;
    let read = |(label, key): (String, String)| {
        let label = label.parse().map_err(de::Error::custom)?;
        Ok((label, key.parse().map_err(de::Error::custom)?))
    };
    written.into_iter().map(read).collect()
}

impl Owed {
    /// What a journal says: the experiment, with its secrets hidden, and what is owed of it.
    ///
    /// # Errors
    /// If it is no journal of ours, or nothing is owed.
    pub fn read(journal: &Map<String, Value>) -> Result<(Map<String, Value>, Self), OwedError> {
        let whole = Whole::deserialize(journal)?;
        match whole.schism.owed {
            // A run may end without having been told that its faults are out, and with a rollback that somebody
            // stopped.
            Some(Written { rollbacks, faults }) if !faults.is_empty() || !rollbacks.is_empty() => {
                Ok((
                    whole.experiment,
                    Self { rollbacks, faults, at: whole.schism.faults_at, run: whole.schism.run },
                ))
            }
            Some(_) | None => Err(OwedError::Nothing),
        }
    }
}

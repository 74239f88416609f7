//! What a run still owed when its journal was written last.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::model::FaultLabel;
use crate::run::{FaultKey, Verdicts};

/// What the journals are called that are written and read here.
pub const SCHEMA: &str = "schism.journal/v1";

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
    /// It is another version's, and may mean something else by the same words.
    #[error("this journal is of the schema {0}, and `{SCHEMA}` is read here")]
    Schema(Value),
    /// A word of it is none that a run writes.
    #[error("`schism.{key}` of this journal is {found}, which no run writes: it was altered")]
    Word {
        /// Which.
        key: &'static str,
        /// What stands there.
        found: Value,
    },
    /// A rollback is owed that is not there.
    #[error(
        "rollback {place} is owed by this journal, and its experiment has {count}: it was altered"
    )]
    Place {
        /// Which, counted from 0.
        place: usize,
        /// How many there are.
        count: usize,
    },
}

impl OwedError {
    /// One thing to do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Schema(_) => Some("finish it with the version of schism that wrote it"),
            Self::Json(_) => Some(
                "a journal is what `schism run --journal` writes; `schism status` and `schism residue` tell whether \
                 anything stands, and rollbacks are left to you",
            ),
            Self::Word { .. } | Self::Place { .. } => Some(
                "take the journal as the run wrote it; faults end by their leases (`schism status`), and rollbacks are \
                 left to you",
            ),
        }
    }

    /// Whether something may be owed that cannot be read here.
    #[must_use]
    pub const fn may_owe(&self) -> bool {
        match self {
            Self::Schema(_) | Self::Word { .. } | Self::Place { .. } => true,
            Self::Json(_) | Self::Nothing => false,
        }
    }
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
    verdicts: Option<Value>,
    seed: Option<Value>,
}

impl Ours {
    /// Whether it goes by rules that there are. Where nothing is said, who finishes it decides.
    fn check(&self) -> Result<(), OwedError> {
        let word = |key, found: &Value| Err(OwedError::Word { key, found: found.clone() });
        if let Some(found) = &self.verdicts
            && Verdicts::deserialize(found).is_err()
        {
            return word("verdicts", found);
        }
        match &self.seed {
            Some(found) if !found.is_u64() => word("seed", found),
            Some(_) | None => Ok(()),
        }
    }
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
    /// If it is no journal of ours or was altered, or nothing is owed.
    pub fn read(journal: &Map<String, Value>) -> Result<(Map<String, Value>, Self), OwedError> {
        let schema = journal.get("schism").and_then(|ours| ours.get("schema"));
        if let Some(other) = schema.filter(|schema| schema.as_str() != Some(SCHEMA)) {
            return Err(OwedError::Schema(other.clone()));
        }
        let whole = Whole::deserialize(journal)?;
        whole.schism.check()?;
        let steps = whole.experiment.get("rollbacks").and_then(Value::as_array);
        let count = steps.map_or(0, Vec::len);
        let mut owed = whole.schism.owed.iter().flat_map(|owed| &owed.rollbacks);
        if let Some(place) = owed.find(|place| **place >= count) {
            return Err(OwedError::Place { place: *place, count });
        }
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

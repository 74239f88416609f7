//! What a run still owed when its journal was written last.

use serde::Deserialize;
use serde_json::{Map, Value};

/// What a run still owed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Owed {
    /// Which rollbacks, counted from 0 in the order of the experiment.
    pub rollbacks: Vec<usize>,
    /// Which faults may still stand.
    pub faults: Vec<String>,
}

/// A journal that does not say what is owed.
#[derive(Debug, thiserror::Error)]
pub enum OwedError {
    /// It is not one.
    #[error("this is no journal of a run: {0}")]
    Json(#[from] serde_json::Error),
    /// The run came to its end.
    #[error("the run in this journal has ended, and owes nothing")]
    Ended,
}

#[derive(Deserialize)]
struct Whole {
    experiment: Map<String, Value>,
    schism: Ours,
}

#[derive(Deserialize)]
struct Ours {
    unfinished: bool,
    owed: Option<Owed>,
}

impl Owed {
    /// Reads a journal: the experiment, with its secrets hidden, and what is owed of it. Steps are passed
    /// over without being kept.
    ///
    /// # Errors
    /// If it is no journal of ours, or nothing is owed.
    pub fn read(text: &str) -> Result<(Map<String, Value>, Self), OwedError> {
        let whole: Whole = serde_json::from_str(text)?;
        match whole.schism.owed {
            Some(owed) if whole.schism.unfinished => Ok((whole.experiment, owed)),
            Some(_) | None => Err(OwedError::Ended),
        }
    }
}

//! Arguments of the probes `metric` and `logs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What a metric is asked for by. Exactly one of `url` and `prometheus` is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricArguments {
    /// An address that answers with metrics as text.
    pub(super) url: Option<String>,
    /// The name of the metric there.
    pub(super) metric: Option<String>,
    /// What its labels must be; others may be anything.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// A server that answers PromQL.
    pub(super) prometheus: Option<String>,
    /// The question to it.
    pub(super) query: Option<String>,
    /// What several series come to.
    pub(super) combine: Option<Combine>,
    /// What it was before: the change is returned.
    pub(super) since: Option<Value>,
    /// Headers of the request.
    #[serde(default)]
    pub(super) headers: Map<String, Value>,
    /// How long it may take (s).
    pub(super) timeout: Option<f64>,
}

/// What several series come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Combine {
    /// All of them together.
    Sum,
    /// The largest one.
    Max,
    /// The smallest one.
    Min,
    /// How many there are, also none.
    Count,
}

/// What is looked for in which lines. Exactly one of `file` and `command` is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsArguments {
    /// A file of this machine.
    pub(super) file: Option<PathBuf>,
    /// A program that writes them, and what it is given.
    pub(super) command: Option<Vec<String>>,
    /// What is looked for, in the language of Python's patterns.
    pub(super) pattern: String,
    /// What an earlier `logs` found: only what came after that is looked at.
    pub(super) since: Option<Value>,
    /// How long the program may take (s).
    pub(super) timeout: Option<f64>,
}

/// Reads arguments.
///
/// # Errors
/// They make no sense, and why.
pub(super) fn arguments<T: DeserializeOwned>(given: &Map<String, Value>) -> Result<T, String> {
    T::deserialize(Value::Object(given.clone())).map_err(|error| error.to_string())
}

impl MetricArguments {
    /// What is missing or too much.
    pub(super) fn trouble(&self) -> Option<String> {
        let pair = match (&self.url, &self.prometheus) {
            (Some(_), Some(_)) => return Some("either `url` or `prometheus` is asked".to_owned()),
            (None, None) => {
                return Some(
                    "`url` with `metric`, or `prometheus` with `query`, is missing".to_owned(),
                );
            }
            (Some(_), None) => (&self.metric, "metric"),
            (None, Some(_)) => (&self.query, "query"),
        };
        let (None, name) = pair else { return None };
        Some(format!("`{name}` is missing"))
    }
}

impl LogsArguments {
    /// What is missing or too much.
    pub(super) fn trouble(&self) -> Option<String> {
        match (&self.file, self.command.as_deref()) {
            (Some(_), Some(_)) => Some("either `file` or `command` is read".to_owned()),
            (None, None) => Some("`file` or `command` is missing".to_owned()),
            (None, Some([])) => Some("`command` is empty".to_owned()),
            (Some(_), None) | (None, Some(_)) => None,
        }
    }
}

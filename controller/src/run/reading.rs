//! Arguments of the probes `metric` and `logs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use experiment::document::kind;
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

/// What is looked for in which lines. Exactly one of `file`, `command` and `target` is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsArguments {
    /// A file of this machine.
    pub(super) file: Option<PathBuf>,
    /// A program that writes them, and what it is given.
    pub(super) command: Option<Vec<String>>,
    /// What names targets whose processes write them.
    pub(super) target: Option<String>,
    /// What is looked for, in the language of Python's patterns.
    pub(super) pattern: String,
    /// What an earlier `logs` found, or `now`: only what came after that is looked at.
    pub(super) since: Option<Value>,
    /// How long the program, or whoever tells the target's log, may take (s).
    pub(super) timeout: Option<f64>,
}

/// What an argument has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Text,
    Seconds,
    /// A list of words.
    Words,
    /// A mapping to texts.
    Texts,
    Mapping,
    Combine,
    Anything,
}

impl Expected {
    const fn told(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Seconds => "a number of seconds",
            Self::Words => "a list of words",
            Self::Texts => "a mapping to texts",
            Self::Mapping => "a mapping",
            Self::Combine => "one of sum, max, min, count",
            Self::Anything => "anything",
        }
    }

    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Anything, _) => true,
            (Self::Text | Self::Seconds | Self::Words | Self::Combine, Value::Null)
            | (Self::Text, Value::String(_))
            | (Self::Mapping, Value::Object(_)) => true,
            (Self::Seconds, Value::Number(number)) => {
                number.as_f64().is_some_and(|number| Duration::try_from_secs_f64(number).is_ok())
            }
            (Self::Words, Value::Array(list)) => list.iter().all(Value::is_string),
            (Self::Texts, Value::Object(map)) => map.values().all(Value::is_string),
            (Self::Combine, _) => Combine::deserialize(value).is_ok(),
            (Self::Text | Self::Seconds | Self::Words | Self::Texts | Self::Mapping, _) => false,
        }
    }
}

/// What a probe takes.
pub(super) trait Arguments: DeserializeOwned {
    /// By name.
    const KNOWN: &'static [(&'static str, Expected)];

    /// Arguments that are something else than they should be, and what is wrong with them; how what stands
    /// there is told, the caller knows.
    fn misfits(
        given: &Map<String, Value>,
        found: impl Fn(&Value) -> String,
    ) -> Vec<(&'static str, String)> {
        let misfit = |(name, expected): &(&'static str, Expected)| {
            let value = given.get(*name).filter(|value| !expected.is(value))?;
            Some((*name, format!("{} was expected here, found {}", expected.told(), found(value))))
        };
        Self::KNOWN.iter().filter_map(misfit).collect()
    }
}

impl Arguments for MetricArguments {
    const KNOWN: &'static [(&'static str, Expected)] = &[
        ("url", Expected::Text),
        ("metric", Expected::Text),
        ("labels", Expected::Texts),
        ("prometheus", Expected::Text),
        ("query", Expected::Text),
        ("combine", Expected::Combine),
        ("since", Expected::Anything),
        ("headers", Expected::Mapping),
        ("timeout", Expected::Seconds),
    ];
}

impl Arguments for LogsArguments {
    const KNOWN: &'static [(&'static str, Expected)] = &[
        ("file", Expected::Text),
        ("command", Expected::Words),
        ("target", Expected::Text),
        ("pattern", Expected::Text),
        ("since", Expected::Anything),
        ("timeout", Expected::Seconds),
    ];
}

/// Reads arguments. There may be secrets in them, so that no value is repeated that is cut.
///
/// # Errors
/// They make no sense, and why.
pub(super) fn arguments<T: Arguments>(given: &Map<String, Value>) -> Result<T, String> {
    if let Some((name, why)) = T::misfits(given, |value| kind(value).to_owned()).first() {
        return Err(format!("{name}: {why}"));
    }
    T::deserialize(Value::Object(given.clone())).map_err(|error| {
        let told = error.to_string();
        match told.strip_prefix("missing field ") {
            Some(name) => format!("{name} is missing"),
            None => told,
        }
    })
}

impl MetricArguments {
    /// What is missing or too much.
    pub(super) fn trouble(&self) -> Option<String> {
        let pair = match (&self.url, &self.prometheus) {
            (Some(_), Some(_)) => return Some(both("url", "prometheus")),
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
        match (&self.file, self.command.as_deref(), &self.target) {
            (Some(_), Some(_), _) => Some(both("file", "command")),
            (Some(_), None, Some(_)) => Some(both("file", "target")),
            (None, Some(_), Some(_)) => Some(both("command", "target")),
            (None, None, None) => Some("`file`, `command` or `target` is missing".to_owned()),
            (None, Some([]), None) => {
                let wanted = "a program and what it is given";
                Some(format!("command: {wanted} was expected here, found an empty list"))
            }
            (Some(_), None, None) | (None, Some(_), None) | (None, None, Some(_)) => None,
        }
    }
}

fn both(one: &str, other: &str) -> String {
    format!("either `{one}` or `{other}` was expected here, found both")
}

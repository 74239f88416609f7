//! What an executor performs: providers with all values in place.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::terms::Verdicts;
use crate::model::{
    FaultVerb, HttpTimeout, Process, ProcessArguments, Provider, Reading, Template, Tls, Verb,
};
use crate::substitution::{Scope, wording};

/// What an executor performs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invocation {
    /// Run a program. Returned: `{status, stdout, stderr}`, whatever the status is.
    Process {
        /// A file, or a name to look for in PATH; `~` stands for the home directory.
        path: String,
        /// What it is given.
        arguments: Arguments,
        /// It has failed after this time.
        timeout: Option<Duration>,
    },
    /// Make a request. Returned: `{status, headers, body}`, whatever the status is.
    Http {
        /// Whom to ask.
        url: String,
        /// How.
        method: String,
        /// Headers.
        headers: Map<String, Value>,
        /// The query of a GET; the body of others, JSON if a header says `application/json`, else a form.
        arguments: Option<Value>,
        /// To connect, and to wait for bytes.
        timeout: (Option<Duration>, Option<Duration>),
        /// Whether the other side's certificate matters.
        tls: Tls,
        /// How often a connection is tried again.
        retries: u32,
    },
    /// Call a function. Returned: what it returns.
    Python {
        /// Where it is.
        module: String,
        /// What it is called.
        func: String,
        /// What it is given by name.
        arguments: Map<String, Value>,
        /// What a parameter `configuration` is given.
        configuration: Map<String, Value>,
        /// What a parameter `secrets` is given; `None` where the step names none.
        secrets: Option<Map<String, Value>>,
    },
    /// Let this system do or read something. Returned for a fault: what was verified.
    Schism {
        /// What.
        verb: Verb,
        /// Arguments, by the names of the command's options.
        arguments: Map<String, Value>,
    },
    /// Find the targets that a selector names. Returned: a list of selectors, one each.
    Targets {
        /// What names them.
        selector: String,
        /// From what a pick is drawn.
        seed: u64,
        /// What of them the step is about.
        #[serde(default)]
        concern: Concern,
    },
}

/// What of a target a step is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concern {
    /// Its network.
    #[default]
    Network,
    /// Its processes.
    Processes,
    /// Nobody knows: it is a program, or somebody else, who is given its name.
    Anything,
}

impl Concern {
    /// What of its targets a step is about.
    #[must_use]
    pub const fn of(provider: &Provider) -> Self {
        match provider {
            Provider::Schism(call) => match call.verb {
                Verb::Fault(FaultVerb::Cut) => Self::Network,
                Verb::Fault(
                    FaultVerb::Skew | FaultVerb::Freeze | FaultVerb::Kill | FaultVerb::Stress,
                )
                | Verb::Read(Reading::Logs) => Self::Processes,
                Verb::Heal
                | Verb::Read(Reading::Effect | Reading::Metric)
                | Verb::Zeebe
                | Verb::Pod
                | Verb::Node => Self::Anything,
            },
            Provider::Process(_) | Provider::Http(_) | Provider::Python(_) => Self::Anything,
        }
    }
}

/// What a program is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arguments {
    /// One each.
    Words(Vec<String>),
    /// A line for a shell, to follow the program's path. Only in `compat`.
    Shell(String),
}

/// Values that do not fit where they were put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// A time that is none.
    #[error("a number of seconds was expected for `{0}`, found `{1}`")]
    Time(String, String),
    /// Arguments that are none.
    #[error("a list of arguments was expected, found `{0}`")]
    Arguments(String),
    /// A quote without its end.
    #[error("a quote in the arguments has no end: {0}")]
    Quote(String),
}

/// Puts all values in place.
///
/// # Errors
/// Where they do not fit.
pub fn invocation(
    provider: &Provider,
    scope: &Scope,
    verdicts: Verdicts,
) -> Result<Invocation, InvocationError> {
    Ok(match provider {
        Provider::Process(process) => self::process(process, scope, verdicts)?,
        Provider::Http(http) => Invocation::Http {
            url: scope.worded(&http.url),
            method: http.method.clone(),
            headers: scope.map(&http.headers),
            arguments: http.arguments.as_ref().map(|arguments| scope.arguments(arguments)),
            timeout: timeout(http.timeout.as_ref(), scope)?,
            tls: http.tls,
            retries: http.retries,
        },
        Provider::Python(python) => {
            let named = (!python.secrets.is_empty()).then(|| {
                let groups = python.secrets.iter().filter_map(|name| scope.secrets().get(name));
                let mut flat = Map::new();
                groups.filter_map(Value::as_object).for_each(|group| flat.extend(group.clone()));
                flat
            });
            Invocation::Python {
                module: python.module.clone(),
                func: python.func.clone(),
                arguments: object(scope.arguments(&Value::Object(python.arguments.clone()))),
                configuration: scope.configuration().clone(),
                secrets: named,
            }
        }
        Provider::Schism(call) => {
            Invocation::Schism { verb: call.verb, arguments: scope.map(&call.arguments) }
        }
    })
}

/// A program with all values in place, also of a hook.
///
/// # Errors
/// Where they do not fit.
pub fn process(
    process: &Process,
    scope: &Scope,
    verdicts: Verdicts,
) -> Result<Invocation, InvocationError> {
    let arguments = match &process.arguments {
        ProcessArguments::Words(list) => words(&scope.arguments(&Value::Array(list.clone())))?,
        ProcessArguments::Pairs(map) => words(&scope.arguments(&Value::Object(map.clone())))?,
        ProcessArguments::Line(line) => match (scope.text_or_value(line), verdicts) {
            (Value::String(line), Verdicts::Compat) => Arguments::Shell(line),
            (Value::String(_), Verdicts::Strict) => line_words(line, scope)?,
            (value, _) => words(&value)?,
        },
    };
    Ok(Invocation::Process { path: process.path.clone(), arguments, timeout: process.timeout })
}

/// Without what is nothing or empty; names and values of a mapping follow each other.
fn words(value: &Value) -> Result<Arguments, InvocationError> {
    let is_some = |value: &&Value| !value.is_null() && **value != "";
    match value {
        Value::Null => Ok(Arguments::Words(Vec::new())),
        Value::Array(list) => {
            Ok(Arguments::Words(list.iter().filter(is_some).map(wording).collect()))
        }
        Value::Object(map) => {
            let both =
                |(key, value): (&String, &Value)| [Value::String(key.clone()), value.clone()];
            let list: Vec<Value> = map.iter().flat_map(both).collect();
            words(&Value::Array(list))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(InvocationError::Arguments(wording(value)))
        }
    }
}

/// Where no shell reads a line, its words are found before values are put into them: a value is never
/// more than a part of one word.
fn line_words(line: &Template, scope: &Scope) -> Result<Arguments, InvocationError> {
    let words = split(line.as_str()).ok_or_else(|| InvocationError::Quote(line.to_string()))?;
    Ok(Arguments::Words(words.iter().map(|word| wording(&scope.text(word))).collect()))
}

/// Words as a shell finds them: by space, quotes and backslashes.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(letters.next()?),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        end if end == letter => break,
                        '\\' if letter == '"' => word.push(letters.next()?),
                        other => word.push(other),
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

fn timeout(
    timeout: Option<&HttpTimeout>,
    scope: &Scope,
) -> Result<(Option<Duration>, Option<Duration>), InvocationError> {
    match timeout {
        None => Ok((None, None)),
        Some(HttpTimeout::Each(each)) => Ok((Some(*each), Some(*each))),
        Some(HttpTimeout::Both(connect, read)) => Ok((Some(*connect), Some(*read))),
        Some(HttpTimeout::Value(template)) => {
            let name = template.as_str();
            match scope.template(template) {
                Value::Null => Ok((None, None)),
                Value::Array(pair) if pair.len() == 2 => {
                    Ok((Some(seconds(name, &pair[0])?), Some(seconds(name, &pair[1])?)))
                }
                value @ (Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_)) => seconds(name, &value).map(|each| (Some(each), Some(each))),
            }
        }
    }
}

/// A value as a time.
///
/// # Errors
/// If it is none.
pub fn seconds(name: &str, value: &Value) -> Result<Duration, InvocationError> {
    let time = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| InvocationError::Time(name.to_owned(), wording(value)))
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(arguments: ProcessArguments, verdicts: Verdicts) -> Arguments {
        let configuration = json!({"x": "a; rm -rf /", "l": ["p", 1, null, "", true], "n": 5});
        let scope = Scope::new(configuration.as_object().unwrap().clone(), Map::new());
        let process = Process { path: "p".into(), arguments, timeout: None };
        let invocation = super::process(&process, &scope, verdicts).unwrap();
        let Invocation::Process { arguments, .. } = invocation else { panic!("{invocation:?}") };
        arguments
    }

    fn strings(words: &[&str]) -> Arguments {
        Arguments::Words(words.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_value_never_becomes_more_than_one_word() {
        let line = || ProcessArguments::Line("-c 'say ${x}' ${x} \"q \\\" r\" a\\ b".into());
        assert_eq!(
            arguments(line(), Verdicts::Strict),
            strings(&["-c", "say a; rm -rf /", "a; rm -rf /", "q \" r", "a b"])
        );
        assert!(matches!(arguments(line(), Verdicts::Compat), Arguments::Shell(_)));
        let words = vec![json!("${x}"), json!("-n"), json!("${n}"), json!(null), json!(1.0)];
        assert_eq!(
            arguments(ProcessArguments::Words(words), Verdicts::Compat),
            strings(&["a; rm -rf /", "-n", "5", "1.0"])
        );
    }

    #[test]
    fn a_list_and_a_mapping_are_words_too() {
        let line = ProcessArguments::Line("${l}".into());
        assert_eq!(arguments(line, Verdicts::Compat), strings(&["p", "1", "True"]));
        let pairs = json!({"--a": "${n}", "--b": ""});
        let pairs = ProcessArguments::Pairs(pairs.as_object().unwrap().clone());
        assert_eq!(arguments(pairs, Verdicts::Strict), strings(&["--a", "5", "--b"]));
    }
}

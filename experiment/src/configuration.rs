//! The configuration of a run: what its settings come to.

mod coercion;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::model::{Activity, Provider, Setting};

pub use coercion::{CoercionError, coerce};

/// A setting that cannot be determined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// A variable is not set, and there is no default.
    #[error(
        "the setting `{key}` takes the variable `{variable}` of the environment, which is not set"
    )]
    Missing {
        /// Which setting.
        key: String,
        /// Which variable.
        variable: String,
    },
    /// A value is not of its type.
    #[error("the value of `{key}` is not what its type says: {error}")]
    Type {
        /// Which setting.
        key: String,
        /// Why.
        error: CoercionError,
    },
    /// A variable file has a mapping that is wrong.
    #[error("`{0}` of a variable file takes a `key`, and one of the types of variables")]
    Variable(String),
}

/// A setting on its way to its value.
#[derive(Clone, Debug, PartialEq)]
pub enum Setup {
    /// It is known.
    Known(Value),
    /// A probe says it when the run begins, with what is known so far.
    Probe(Box<Activity>),
}

/// Determines what can be without performing anything. `variables` count more than what the experiment
/// says, for what it declares; others are read over.
///
/// # Errors
/// All settings that cannot be determined.
pub fn load(
    settings: &[(String, Setting)],
    variables: &Map<String, Value>,
    environment: &Environment,
) -> Result<Vec<(String, Setup)>, Vec<ConfigurationError>> {
    let (loaded, errors) = known(settings, variables, environment);
    if errors.is_empty() { Ok(loaded) } else { Err(errors) }
}

/// As [`load`], with those that can be determined whatever becomes of the others, and all that cannot.
#[must_use]
pub fn known(
    settings: &[(String, Setting)],
    variables: &Map<String, Value>,
    environment: &Environment,
) -> (Vec<(String, Setup)>, Vec<ConfigurationError>) {
    let mut errors = Vec::new();
    let mut loaded = Vec::new();
    for (key, setting) in settings {
        let given = variables.get(key).map(|value| given(key, value));
        let setting = match given {
            Some(Err(error)) => {
                errors.push(error);
                continue;
            }
            Some(Ok(given)) => given,
            None => setting.clone(),
        };
        match determine(key, setting, environment) {
            Ok(setup) => loaded.push((key.clone(), setup)),
            Err(error) => errors.push(error),
        }
    }
    (loaded, errors)
}

/// A variable file may hold whole definitions.
fn given(key: &str, value: &Value) -> Result<Setting, ConfigurationError> {
    if value.get("type").and_then(Value::as_str) != Some("env") {
        return Ok(Setting::Value(value.clone()));
    }
    let wrong = || ConfigurationError::Variable(key.to_owned());
    let name = value.get("key").and_then(Value::as_str).ok_or_else(wrong)?;
    let kind = match value.get("env_var_type").map(Value::as_str) {
        None => crate::model::VariableType::default(),
        Some(kind) => kind.and_then(|kind| kind.parse().ok()).ok_or_else(wrong)?,
    };
    Ok(Setting::Env { key: name.to_owned(), default: value.get("default").cloned(), kind })
}

fn determine(
    key: &str,
    setting: Setting,
    environment: &Environment,
) -> Result<Setup, ConfigurationError> {
    match setting {
        Setting::Value(value) => Ok(Setup::Known(value)),
        Setting::Probe(probe) => Ok(Setup::Probe(probe)),
        Setting::Env { key: name, default, kind } => {
            let value = match (environment.get(&name), default) {
                (Some(text), _) => Value::String(text.to_owned()),
                (None, Some(default)) => default,
                (None, None) => {
                    let key = key.to_owned();
                    return Err(ConfigurationError::Missing { key, variable: name });
                }
            };
            let key = key.to_owned();
            coerce(kind, value)
                .map(Setup::Known)
                .map_err(|error| ConfigurationError::Type { key, error })
        }
    }
}

/// What the output of a probe says about its setting; `None` drops the setting.
#[must_use]
pub fn probed(probe: &Activity, output: &Value) -> Option<Value> {
    match &probe.provider {
        Provider::Python(_) | Provider::Schism(_) => Some(output.clone()),
        Provider::Http(_) => output.get("body").cloned(),
        Provider::Process(_) => {
            let succeeded = output.get("status").and_then(Value::as_i64) == Some(0);
            let text = output.get("stdout").and_then(Value::as_str).unwrap_or_default();
            succeeded.then(|| Value::String(text.trim().to_owned()))
        }
    }
}

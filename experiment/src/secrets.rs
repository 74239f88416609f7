//! The secrets of a run: what their sources come to.

#[cfg(test)]
mod tests;
pub mod vault;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::model::SecretSource;
use vault::Read;

/// A secret that cannot be determined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A variable is not set.
    #[error("a secret takes the variable `{0}` of the environment, which is not set")]
    Missing(String),
    /// Nobody asked Vault for it.
    #[error("nothing was read from Vault at {0}")]
    Unread(String),
}

/// What has to be read from Vault before [`load`].
#[must_use]
pub fn reads(sources: &[(String, SecretSource)]) -> Vec<Read> {
    let mut reads = Vec::new();
    for (_, source) in sources {
        match source {
            SecretSource::Vault { path, key } => {
                reads.push(Read { path: path.clone(), key: key.clone() });
            }
            SecretSource::Group(group) => reads.extend(self::reads(group)),
            SecretSource::Inline(_) | SecretSource::Env { .. } => (),
        }
    }
    reads
}

/// Determines all secrets. `variables` stand for whole groups.
///
/// # Errors
/// All secrets that cannot be determined.
pub fn load(
    sources: &[(String, SecretSource)],
    variables: &Map<String, Value>,
    environment: &Environment,
    vault: &BTreeMap<Read, Value>,
) -> Result<Map<String, Value>, Vec<SecretError>> {
    let mut errors = Vec::new();
    let mut secrets = Map::new();
    for (name, source) in sources {
        let given = match source {
            SecretSource::Inline(_) => None,
            SecretSource::Env { .. } | SecretSource::Vault { .. } | SecretSource::Group(_) => {
                variables.get(name).filter(|value| !value.is_null())
            }
        };
        let secret = match given {
            Some(value) => Ok(value.clone()),
            None => determine(source, environment, vault),
        };
        match secret {
            Ok(value) => {
                secrets.insert(name.clone(), value);
            }
            Err(missing) => errors.extend(missing),
        }
    }
    if errors.is_empty() { Ok(secrets) } else { Err(errors) }
}

fn determine(
    source: &SecretSource,
    environment: &Environment,
    vault: &BTreeMap<Read, Value>,
) -> Result<Value, Vec<SecretError>> {
    match source {
        SecretSource::Inline(value) => Ok(value.clone()),
        SecretSource::Env { key } => match environment.get(key) {
            Some(text) => Ok(Value::String(text.to_owned())),
            None => Err(vec![SecretError::Missing(key.clone())]),
        },
        SecretSource::Vault { path, key } => {
            let read = Read { path: path.clone(), key: key.clone() };
            vault.get(&read).cloned().ok_or_else(|| vec![SecretError::Unread(path.clone())])
        }
        SecretSource::Group(group) => {
            load(group, &Map::new(), environment, vault).map(Value::Object)
        }
    }
}

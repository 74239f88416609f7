//! The secrets of a run: what their sources come to.

#[cfg(test)]
mod tests;
pub mod vault;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::model::SecretSource;
use crate::redaction::is_short;
use vault::Read;

/// A secret that cannot be determined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A variable is not set.
    #[error(
        "the secret `{secret}` takes the variable `{variable}` of the environment, which is not set"
    )]
    Missing {
        /// Which, with the groups that it is in.
        secret: String,
        /// Which variable.
        variable: String,
    },
    /// Vault did not say it.
    #[error("the secret `{secret}` was not read from Vault, at {path}")]
    Unread {
        /// Which, with the groups that it is in.
        secret: String,
        /// Where it is.
        path: String,
    },
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
    let (secrets, errors) = known(sources, variables, environment, vault);
    if errors.is_empty() { Ok(secrets) } else { Err(errors) }
}

/// As [`load`], with those that can be determined whatever becomes of the others, and all that cannot.
#[must_use]
pub fn known(
    sources: &[(String, SecretSource)],
    variables: &Map<String, Value>,
    environment: &Environment,
    vault: &BTreeMap<Read, Value>,
) -> (Map<String, Value>, Vec<SecretError>) {
    let mut found = Search { environment, vault, errors: Vec::new() };
    let mut secrets = Map::new();
    for (name, source) in sources {
        let given = match source {
            SecretSource::Inline(_) => None,
            SecretSource::Env { .. } | SecretSource::Vault { .. } | SecretSource::Group(_) => {
                variables.get(name).filter(|value| !value.is_null())
            }
        };
        let secret = given.cloned().or_else(|| found.determine(name, source));
        secrets.extend(secret.map(|secret| (name.clone(), secret)));
    }
    (secrets, found.errors)
}

/// Secrets that are so short that they are hidden only where they stand alone, by name with the groups that they are in. Of
/// those that an experiment itself has, whoever reads it tells.
#[must_use]
pub fn short(sources: &[(String, SecretSource)], secrets: &Map<String, Value>) -> Vec<String> {
    let mut all = Vec::new();
    for (name, source) in sources {
        let Some(secret) = secrets.get(name) else { continue };
        match (source, secret) {
            (SecretSource::Inline(_), _) => {}
            (SecretSource::Group(group), Value::Object(secrets)) => {
                all.extend(short(group, secrets).into_iter().map(|one| format!("{name}.{one}")));
            }
            (SecretSource::Env { .. } | SecretSource::Vault { .. } | SecretSource::Group(_), _) => {
                if is_short(secret) {
                    all.push(name.clone());
                }
            }
        }
    }
    all
}

/// Where secrets are looked for, and those that are not there.
struct Search<'a> {
    environment: &'a Environment,
    vault: &'a BTreeMap<Read, Value>,
    errors: Vec<SecretError>,
}

impl Search<'_> {
    /// One secret, by its name with the groups that it is in. Of a group what there is of it.
    fn determine(&mut self, name: &str, source: &SecretSource) -> Option<Value> {
        match source {
            SecretSource::Inline(value) => Some(value.clone()),
            SecretSource::Env { key } => {
                let found = self.environment.get(key);
                if found.is_none() {
                    let (secret, variable) = (name.to_owned(), key.clone());
                    self.errors.push(SecretError::Missing { secret, variable });
                }
                found.map(|text| Value::String(text.to_owned()))
            }
            SecretSource::Vault { path, key } => {
                let read = Read { path: path.clone(), key: key.clone() };
                let found = self.vault.get(&read).cloned();
                if found.is_none() {
                    let (secret, path) = (name.to_owned(), path.clone());
                    self.errors.push(SecretError::Unread { secret, path });
                }
                found
            }
            SecretSource::Group(group) => {
                let mut found = Map::new();
                for (inner, source) in group {
                    let secret = self.determine(&format!("{name}.{inner}"), source);
                    found.extend(secret.map(|secret| (inner.clone(), secret)));
                }
                Some(Value::Object(found))
            }
        }
    }
}

//! Where values of the configuration and secrets come from.

use std::str::FromStr;

use serde_json::Value;

use super::Activity;

/// A value of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// As it is.
    Value(Value),
    /// From the environment.
    Env {
        /// The variable.
        key: String,
        /// What it is without the variable.
        default: Option<Value>,
        /// What its text means.
        kind: VariableType,
    },
    /// What a probe finds when the run begins.
    Probe(Box<Activity>),
}

/// A secret, or a group of them. Its text is in no output.
#[derive(Clone, PartialEq)]
pub enum SecretSource {
    /// As it is.
    Inline(Value),
    /// From the environment.
    Env {
        /// The variable.
        key: String,
    },
    /// From Vault.
    Vault {
        /// Where it is kept.
        path: String,
        /// Which part of what is kept there; all of it if unset.
        key: Option<String>,
    },
    /// Several, by name.
    Group(Vec<(String, SecretSource)>),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline(…)"),
            Self::Env { key } => f.debug_struct("Env").field("key", key).finish(),
            Self::Vault { path, key } => {
                f.debug_struct("Vault").field("path", path).field("key", key).finish()
            }
            Self::Group(group) => f.debug_tuple("Group").field(group).finish(),
        }
    }
}

/// What the text of a variable means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VariableType {
    /// The text.
    #[default]
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// The bytes of the text: they stay text here, since no value that is written down can be bytes.
    Bytes,
    /// A truth value: false for `false`, `0` and `no`.
    Bool,
    /// JSON.
    Json,
}

/// A type that variables do not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one of str, int, float, bytes, bool, json was expected here, found `{0}`")]
pub struct VariableTypeError(pub String);

impl FromStr for VariableType {
    type Err = VariableTypeError;

    fn from_str(text: &str) -> Result<Self, VariableTypeError> {
        Ok(match text {
            "str" | "string" => Self::Text,
            "int" | "integer" => Self::Integer,
            "float" | "number" => Self::Float,
            "bytes" => Self::Bytes,
            "bool" => Self::Bool,
            "json" => Self::Json,
            _ => return Err(VariableTypeError(text.to_owned())),
        })
    }
}

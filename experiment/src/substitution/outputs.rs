//! What steps found, for later ones.

use serde_json::{Map, Value};

use crate::model::OutputName;

/// Outputs by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs(Map<String, Value>);

impl Outputs {
    pub(super) fn insert(&mut self, name: &OutputName, value: Value) {
        self.0.insert(name.as_str().to_owned(), value);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `NAME.part.0.part`: keys of mappings and places in lists, one after the other.
    pub(super) fn find(&self, path: &str) -> Option<Value> {
        let mut parts = path.split('.');
        let mut value = self.0.get(parts.next()?)?;
        for part in parts {
            value = if let Value::Array(list) = value {
                list.get(part.parse::<usize>().ok()?)?
            } else {
                value.get(part)?
            };
        }
        Some(value.clone())
    }
}

/// Whether the inside of braces names an output.
pub(super) fn is_path(inner: &str) -> bool {
    let is_part =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    inner.strip_prefix("outputs.").is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_part))
}

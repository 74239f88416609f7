//! A JSON or YAML text as values that know where they stand.

mod json;
mod scalar;
#[cfg(test)]
mod tests;
mod yaml;

use std::path::Path;

use serde_json::{Map, Number, Value};

use crate::position::Position;

/// The longest text that is read (8 MiB). Experiments are some kilobytes.
pub const LONGEST: usize = 8 << 20;
/// How deep values may be nested.
const DEEPEST: usize = 100;
/// How many values there may be after aliases were followed.
const MOST: usize = 200_000;

/// In which notation a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// JSON.
    Json,
    /// YAML 1.2 syntax, with the scalars of YAML 1.1, as most readers in Python have them.
    Yaml,
}

impl Notation {
    /// The notation that a file's name tells; `None` for other names than `.json`, `.yaml` and `.yml`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A text is not in its notation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct DocumentError {
    /// Where reading stopped.
    pub at: Position,
    /// What is wrong there.
    pub fault: SyntaxFault,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxFault {
    /// It is longer than [`LONGEST`].
    #[error("the file is longer than {} MiB", LONGEST >> 20)]
    TooLong,
    /// Values are nested too deep.
    #[error("values are nested deeper than {DEEPEST}")]
    TooDeep,
    /// Too many values, mostly because aliases multiply them.
    #[error("more than {MOST} values, once aliases are followed")]
    TooMany,
    /// Not JSON.
    #[error("this is not JSON: {0}")]
    Json(&'static str),
    /// Not YAML.
    #[error("this is not YAML: {0}")]
    Yaml(String),
    /// A tag that stands for something that no experiment has.
    #[error("the tag {0} is not understood")]
    Tag(String),
    /// A value that does not fit its tag.
    #[error("`{text}` is not what its tag {tag} says")]
    Mistagged {
        /// The tag.
        tag: String,
        /// The value.
        text: String,
    },
    /// An alias inside the value that it stands for.
    #[error("an alias stands inside the value that it repeats")]
    Endless,
    /// `<<` with something that is no mapping.
    #[error("`<<` takes a mapping, or a list of mappings")]
    Merge,
    /// A list or mapping as a key.
    #[error("a key must be a plain value")]
    Key,
    /// More than one document.
    #[error("a file holds one document")]
    Documents,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub shape: Shape,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in its order. A key may stand in it twice: the last one counts, and readers say so.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    /// What it is set to.
    pub value: Node,
}

impl Node {
    /// Reads a text.
    ///
    /// # Errors
    /// Where and why it is not in the notation, or beyond one of the limits.
    pub fn read(text: &str, notation: Notation) -> Result<Self, DocumentError> {
        if text.len() > LONGEST {
            return Err(DocumentError { at: Position::START, fault: SyntaxFault::TooLong });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match notation {
            Notation::Json => json::read(text),
            Notation::Yaml => yaml::read(text),
        }
    }

    /// The value without its positions.
    #[must_use]
    pub fn value(&self) -> Value {
        match &self.shape {
            Shape::Null => Value::Null,
            Shape::Bool(truth) => Value::Bool(*truth),
            Shape::Number(number) => Value::Number(number.clone()),
            Shape::Text(text) => Value::String(text.clone()),
            Shape::List(list) => Value::Array(list.iter().map(Self::value).collect()),
            Shape::Map(entries) => Value::Object(map(entries)),
        }
    }

    /// What was found here, for sentences.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.value())
    }

    /// Whether a reader that takes anything empty for missing takes this for missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.shape {
            Shape::Null => true,
            Shape::Bool(truth) => !truth,
            Shape::Number(number) => number.as_f64() == Some(0.0),
            Shape::Text(text) => text.is_empty(),
            Shape::List(list) => list.is_empty(),
            Shape::Map(entries) => entries.is_empty(),
        }
    }
}

/// What a value is, for sentences that may not repeat it.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "empty text",
        Value::String(_) => "text",
        Value::Array(list) if list.is_empty() => "an empty list",
        Value::Array(_) => "a list",
        Value::Object(map) if map.is_empty() => "an empty mapping",
        Value::Object(_) => "a mapping",
    }
}

/// The longest text that is repeated to people, in characters.
const LONGEST_SHOWN: usize = 60;

/// A value, for sentences: what is short as it is, and of the rest what it is.
#[must_use]
pub fn shown(value: &Value) -> String {
    match value {
        Value::Bool(truth) => format!("`{truth}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::String(text) if text.chars().count() > LONGEST_SHOWN => {
            format!("`{}…`", text.chars().take(LONGEST_SHOWN).collect::<String>())
        }
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            kind(value).to_owned()
        }
    }
}

/// Entries as a mapping without positions.
fn map(entries: &[Entry]) -> Map<String, Value> {
    entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect()
}

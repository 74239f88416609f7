//! A kubeconfig as a file has it. Of what stands there nothing is told but its place: it may be a secret.

use cluster::Kubeconfig;
use experiment::document::{DocumentError, Entry, Node, Notation, Shape, SyntaxFault};
use experiment::position::Position;
use serde_json::{Map, Value, json};

/// The longest kubeconfig (bytes).
pub(super) const LONGEST: usize = 1 << 20;

const MAPPING: &str = "a mapping was expected here";
const LIST: &str = "a list was expected here";
const TEXT: &str = "text was expected here";
const OTHER: &str = "another kind of value was expected here";
const NAMED: &str = "a name, and a context, a cluster or a user, was expected here";

/// Why a file is no kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing stands there.
    #[error("it is empty")]
    Empty,
    /// None is as long.
    #[error("it is longer than {} MiB", LONGEST >> 20)]
    Long,
    /// No text.
    #[error("it is no UTF-8")]
    Encoding,
    /// It is no YAML, or another one than kubeconfigs are.
    #[error("line {}, column {}: {expected}", at.line, at.column)]
    Form {
        /// Where.
        at: Position,
        /// What was expected there.
        expected: String,
    },
}

/// What a file says. More than [`LONGEST`] bytes need not be read of it.
pub(super) fn read(bytes: &[u8]) -> Result<Kubeconfig, FileError> {
    if bytes.len() > LONGEST {
        return Err(FileError::Long);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| FileError::Encoding)?;
    let file = Node::read(text, Notation::Yaml).map_err(|error| syntax(&error))?;
    if file.shape == Shape::Null {
        return Err(FileError::Empty);
    }
    serde_json::from_value(file.value()).map_err(|_| {
        let (at, expected) = astray(&file);
        FileError::Form { at, expected: expected.to_owned() }
    })
}

fn syntax(error: &DocumentError) -> FileError {
    let expected = match &error.fault {
        // These have what stands there.
        SyntaxFault::Yaml(_) | SyntaxFault::Tag(_) | SyntaxFault::Mistagged { .. } => {
            "YAML was expected here".to_owned()
        }
        SyntaxFault::TooLong
        | SyntaxFault::TooDeep
        | SyntaxFault::TooMany
        | SyntaxFault::Json(_)
        | SyntaxFault::Endless
        | SyntaxFault::Merge
        | SyntaxFault::Key
        | SyntaxFault::Documents => error.fault.to_string(),
    };
    FileError::Form { at: error.at, expected }
}

/// The first place at which something else stands than in kubeconfigs, and what they have there.
fn astray(file: &Node) -> (Position, &'static str) {
    let Shape::Map(entries) = &file.shape else { return (file.at, MAPPING) };
    let wrong = entries.iter().find(|entry| !fits(&entry.key, entry.value.value()));
    let Some(Entry { key, value, .. }) = wrong else { return (file.at, OTHER) };
    if !matches!(key.as_str(), "contexts" | "clusters" | "users") {
        return (value.at, TEXT);
    }
    let Shape::List(items) = &value.shape else { return (value.at, LIST) };
    let wrong = items.iter().find(|item| !fits(key, json!([item.value()])));
    let Some(item) = wrong else { return (value.at, OTHER) };
    let Shape::Map(parts) = &item.shape else { return (item.at, MAPPING) };
    for Entry { key: part, value, .. } in parts {
        match (part.as_str(), &value.shape) {
            ("name", Shape::Text(_)) => {}
            ("name", _) => return (value.at, TEXT),
            ("context" | "cluster" | "user", Shape::Map(own)) => {
                let alone = |own: &Entry| {
                    let one = Map::from_iter([(own.key.clone(), own.value.value())]);
                    let item = [("name".to_owned(), json!("")), (part.clone(), Value::Object(one))];
                    Value::Array(vec![Value::Object(Map::from_iter(item))])
                };
                if let Some(own) = own.iter().find(|own| !fits(key, alone(own))) {
                    return (own.value.at, OTHER);
                }
            }
            ("context" | "cluster" | "user", _) => return (value.at, MAPPING),
            _ => {}
        }
    }
    (item.at, NAMED)
}

/// Whether a kubeconfig may say this, and nothing else.
fn fits(key: &str, value: Value) -> bool {
    let alone = Map::from_iter([(key.to_owned(), value)]);
    serde_json::from_value::<Kubeconfig>(Value::Object(alone)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::kubernetes::config;
    use crate::settings::Access;

    #[test]
    fn nothing_of_a_kubeconfig_is_told_but_places() {
        for (text, expected) in [
            ("", "it is empty"),
            ("# SECRET777\n", "it is empty"),
            ("SECRET777\n", "line 1, column 1: a mapping was expected here"),
            ("current-context: [SECRET777]\n", "line 1, column 18: text was expected here"),
            ("users: SECRET777\n", "line 1, column 8: a list was expected here"),
            ("users:\n- SECRET777\n", "line 2, column 3: a mapping was expected here"),
            (
                "users:\n- name: a\n  user: {}\n- name: u\n  user: SECRET777\n",
                "line 5, column 9: a mapping was expected here",
            ),
            (
                "users:\n- name: u\n  user:\n    token: [SECRET777]\n",
                "line 4, column 12: another kind of value was expected here",
            ),
            ("users:\n- name: [SECRET777]\n", "line 2, column 9: text was expected here"),
            ("users:\n- {SECRET777: u}\n", "line 2, column 3: a name, and a context"),
            ("users: {SECRET777\n", "line "),
            ("users: !SECRET777 x\n", "line "),
            ("users: !!int SECRET777\n", "line "),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
            assert!(!error.contains("SECRET777"), "{text}: {error}");
        }
        assert!(read(b"current-context: a\nusers: []\n").is_ok());
        assert_eq!(read(b"\xff").unwrap_err(), FileError::Encoding);
    }

    #[test]
    fn no_file_is_read_without_end() {
        let access = Access::Kubeconfig { path: "/dev/zero".into(), context: None };
        let error = config(&access).unwrap_err().to_string();
        assert_eq!(error, "the kubeconfig /dev/zero: it is longer than 1 MiB");
    }
}

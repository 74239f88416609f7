//! Mappings of a file, and what is wrong with them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::Manner;
use crate::document::{Entry, Node, Shape, kind};
use crate::position::Position;
use crate::problem::{Fault, Problem, Severity};

/// How alike two keys must be for one to be meant by the other.
const ALIKE: f64 = 0.85;

/// A mapping that is being read.
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    at: Position,
    place: String,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// What a key is set to; the key is known from now on.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        self.entries.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(super) fn at(&self) -> Position {
        self.at
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    pub(super) fn entries(&self) -> &'n [Entry] {
        self.entries
    }
}

pub(super) fn write_path(place: &str, index: usize) -> String {
    format!("{place}[{index}]")
}

/// What is known while a file is read.
pub(super) struct Reader {
    manner: Manner,
    problems: Vec<Problem>,
    named: BTreeMap<String, Node>,
    controls: Vec<String>,
}

impl Reader {
    pub(super) fn new(manner: Manner) -> Self {
        Self { manner, problems: Vec::new(), named: BTreeMap::new(), controls: Vec::new() }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn error(&mut self, at: Position, place: &str, fault: Fault) {
        self.tell(at, place, fault, Severity::Error);
    }

    /// What the original reads over.
    pub(super) fn lax(&mut self, at: Position, place: &str, fault: Fault) {
        let severity = match self.manner {
            Manner::Strict => Severity::Error,
            Manner::Compat => Severity::Warning,
        };
        self.tell(at, place, fault, severity);
    }

    pub(super) fn warn(&mut self, at: Position, place: &str, fault: Fault) {
        self.tell(at, place, fault, Severity::Warning);
    }

    fn tell(&mut self, at: Position, place: &str, fault: Fault, severity: Severity) {
        self.problems.push(Problem { at, place: place.to_owned(), fault, severity });
    }

    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    /// The activities that references may name: those of the method, and of the hypothesis before them.
    pub(super) fn index(&mut self, method: Option<&Node>, hypothesis: Option<&Node>) {
        let probes = hypothesis.and_then(|node| entry(node, "probes"));
        for list in [method, probes].into_iter().flatten() {
            let Shape::List(list) = &list.shape else { continue };
            for node in list {
                if let Some(Shape::Text(name)) = entry(node, "name").map(|name| &name.shape) {
                    self.named.insert(name.clone(), node.clone());
                }
            }
        }
    }

    pub(super) fn named(&self, name: &str) -> Option<&Node> {
        self.named.get(name)
    }

    pub(super) fn know_controls(&mut self, names: Vec<String>) {
        self.controls = names;
    }

    pub(super) fn knows_control(&self, name: &str) -> bool {
        self.controls.iter().any(|known| known == name)
    }

    /// Something else was expected.
    pub(super) fn kind(&mut self, node: &Node, place: &str, wanted: &'static str) {
        let is_secret = place == "secrets" || place.starts_with("secrets.");
        let found = if is_secret { kind(&node.value()).to_owned() } else { node.shown() };
        self.error(node.at, place, Fault::Kind { wanted, found });
    }

    /// Text that must be there, and not be empty.
    pub(super) fn required(
        &mut self,
        node: Option<&Node>,
        fields: &Fields<'_>,
        key: &'static str,
        wanted: &'static str,
    ) -> Option<String> {
        match node.filter(|node| !node.is_empty()) {
            Some(node) => self.text(node, &fields.path(key)),
            None => {
                self.lacks(fields, key, wanted);
                None
            }
        }
    }

    /// A key is missing.
    pub(super) fn lacks(&mut self, fields: &Fields<'_>, key: &'static str, wanted: &'static str) {
        self.error(fields.at(), fields.place(), Fault::Lacks { key, wanted });
    }

    pub(super) fn fields<'n>(&mut self, node: &'n Node, place: &str) -> Option<Fields<'n>> {
        if let Shape::Map(entries) = &node.shape {
            return Some(Fields {
                entries,
                at: node.at,
                place: place.to_owned(),
                known: Vec::new(),
            });
        }
        self.kind(node, place, "a mapping");
        None
    }

    /// Tells what is in a mapping and was not asked for. Keys that begin with `x-` are anybody's.
    pub(super) fn close(&mut self, fields: &Fields<'_>) {
        for (index, entry) in fields.entries.iter().enumerate() {
            let path = fields.path(&entry.key);
            if fields.entries[..index].iter().any(|earlier| earlier.key == entry.key) {
                self.lax(entry.at, &path, Fault::Twice(entry.key.clone()));
            }
            if fields.known.contains(&entry.key.as_str())
                || entry.key.starts_with("x-")
                || entry.key == "extensions"
            {
                continue;
            }
            let similar = similar(&entry.key, &fields.known);
            let known = fields.known.iter().map(ToString::to_string).collect();
            let fault = Fault::Unknown { key: entry.key.clone(), similar, known };
            self.lax(entry.at, fields.place(), fault);
        }
    }

    pub(super) fn text(&mut self, node: &Node, place: &str) -> Option<String> {
        if let Shape::Text(text) = &node.shape {
            return Some(text.clone());
        }
        self.kind(node, place, "text");
        None
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, place: &str) -> &'n [Node] {
        match &node.shape {
            Shape::List(list) => list,
            Shape::Null => &[],
            Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Map(_) => {
                self.kind(node, place, "a list");
                &[]
            }
        }
    }

    pub(super) fn flag(&mut self, node: &Node, place: &str) -> Option<bool> {
        if let Shape::Bool(truth) = node.shape {
            return Some(truth);
        }
        self.kind(node, place, "true or false");
        None
    }

    /// A time in seconds.
    pub(super) fn duration(&mut self, node: &Node, place: &str) -> Option<Duration> {
        let Shape::Number(number) = &node.shape else {
            self.kind(node, place, "a number of seconds");
            return None;
        };
        let duration = number.as_f64().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        if duration.is_none() {
            self.kind(node, place, "a number of seconds that is not negative");
        }
        duration
    }

    pub(super) fn seconds(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
    ) -> Option<Duration> {
        let node = fields.get(key)?;
        self.duration(node, &fields.path(key))
    }

    /// A whole number from 1.
    pub(super) fn count(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<u32> {
        let node = fields.get(key)?;
        let number = match &node.shape {
            Shape::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Shape::Null | Shape::Bool(_) | Shape::Text(_) | Shape::List(_) | Shape::Map(_) => None,
        };
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            self.kind(node, &fields.path(key), "a whole number from 1");
        }
        number
    }

    /// A word, or a name, that stands for something.
    pub(super) fn word<T>(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<T>
    where
        T: FromStr,
        Fault: From<T::Err>,
    {
        let node = fields.get(key)?;
        let path = fields.path(key);
        let text = self.text(node, &path)?;
        match text.parse() {
            Ok(word) => Some(word),
            Err(error) => {
                self.error(node.at, &path, error.into());
                None
            }
        }
    }
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Shape::Map(entries) = &node.shape else { return None };
    entries.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value)
}

pub(super) fn similar(key: &str, known: &[&str]) -> Option<String> {
    let key = key.to_lowercase().replace('_', "-");
    known
        .iter()
        .map(|other| (strsim::jaro_winkler(&key, &other.replace('_', "-")), *other))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, other)| other.to_owned())
}

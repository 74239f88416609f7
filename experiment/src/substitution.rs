//! `${name}`: values put into text, by the rules of the original.
//!
//! Text that is one pattern in braces and nothing else becomes the value itself, of whatever type. In
//! other text, values are written out as Python writes them. `$$` is a `$`. A name that stands for
//! nothing stays as it is. What we add is `${outputs.NAME}` and `${outputs.NAME.part}`: what earlier steps
//! found.

mod outputs;
#[cfg(test)]
mod tests;
mod wording;

use serde_json::{Map, Value};

use crate::model::{OutputName, Template};

pub use outputs::Outputs;
pub use wording::wording;

/// What names stand for.
#[derive(Clone, Default, PartialEq)]
pub struct Scope {
    configuration: Map<String, Value>,
    secrets: Map<String, Value>,
    outputs: Outputs,
    /// What a step is repeated for.
    instance: Option<(OutputName, Value)>,
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope")
            .field("configuration", &self.configuration.keys())
            .field("secrets", &self.secrets.keys())
            .finish_non_exhaustive()
    }
}

/// One part of a text.
enum Part<'t> {
    Plain(&'t str),
    Dollar,
    /// A name, and how it was written.
    Named(&'t str, &'t str),
    /// The same in braces.
    Braced(&'t str, &'t str),
}

impl Scope {
    /// What the configuration and the groups of secrets say.
    #[must_use]
    pub fn new(configuration: Map<String, Value>, secrets: Map<String, Value>) -> Self {
        Self { configuration, secrets, outputs: Outputs::default(), instance: None }
    }

    /// The configuration.
    #[must_use]
    pub const fn configuration(&self) -> &Map<String, Value> {
        &self.configuration
    }

    /// The secrets. They are for those who perform steps, and for nobody else.
    #[must_use]
    pub const fn secrets(&self) -> &Map<String, Value> {
        &self.secrets
    }

    /// Adds a value to the configuration.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        self.configuration.insert(name.into(), value);
    }

    /// Remembers what a step found.
    pub fn remember(&mut self, name: &OutputName, value: Value) {
        self.outputs.insert(name, value);
    }

    /// The same scope for one of the things that a step is repeated for.
    #[must_use]
    pub fn with_instance(&self, name: &OutputName, value: Value) -> Self {
        Self { instance: Some((name.clone(), value)), ..self.clone() }
    }

    fn is_empty(&self) -> bool {
        self.configuration.is_empty()
            && self.secrets.is_empty()
            && self.outputs.is_empty()
            && self.instance.is_none()
    }

    /// What a name stands for: the configuration counts more than secrets, and an earlier group of
    /// secrets more than a later one.
    fn find(&self, name: &str) -> Option<Value> {
        if let Some(path) = name.strip_prefix("outputs.") {
            return self.outputs.find(path);
        }
        if let Some((own, value)) = &self.instance
            && own.as_str() == name
        {
            return Some(value.clone());
        }
        if let Some(value) = self.configuration.get(name) {
            return Some(value.clone());
        }
        self.secrets.values().find_map(|group| group.get(name)).cloned()
    }

    /// A text with its values, which is of any type if it is one pattern alone.
    #[must_use]
    pub fn text(&self, text: &str) -> Value {
        let parts = parts(text);
        if let [Part::Braced(name, _)] = parts.as_slice()
            && let Some(value) = self.find(name)
        {
            return value;
        }
        let mut whole = String::with_capacity(text.len());
        for part in parts {
            match part {
                Part::Plain(plain) => whole.push_str(plain),
                Part::Dollar => whole.push('$'),
                Part::Named(name, written) | Part::Braced(name, written) => match self.find(name) {
                    Some(value) => whole.push_str(&wording(&value)),
                    None => whole.push_str(written),
                },
            }
        }
        Value::String(whole)
    }

    /// The names in a text that stand for nothing.
    #[must_use]
    pub fn unknown<'t>(&self, text: &'t str) -> Vec<&'t str> {
        Self::names(text).into_iter().filter(|name| self.find(name).is_none()).collect()
    }

    /// All names in a text.
    #[must_use]
    pub fn names(text: &str) -> Vec<&str> {
        let named = parts(text).into_iter().filter_map(|part| match part {
            Part::Named(name, _) | Part::Braced(name, _) => Some(name),
            Part::Plain(_) | Part::Dollar => None,
        });
        named.collect()
    }

    /// The same of a template.
    #[must_use]
    pub fn template(&self, template: &Template) -> Value {
        self.text(template.as_str())
    }

    /// A template that is an argument of a provider, which stays untouched like all [`Self::arguments`].
    #[must_use]
    pub fn text_or_value(&self, template: &Template) -> Value {
        self.arguments(&Value::String(template.as_str().to_owned()))
    }

    /// A template as text, whatever it stands for.
    #[must_use]
    pub fn worded(&self, template: &Template) -> String {
        wording(&self.template(template))
    }

    /// A value with all values put into its texts, at any depth. Keys stay as they are.
    #[must_use]
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(list) => list.iter().map(|value| self.value(value)).collect(),
            Value::Object(map) => Value::Object(self.map(map)),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// The same of a mapping.
    #[must_use]
    pub fn map(&self, map: &Map<String, Value>) -> Map<String, Value> {
        map.iter().map(|(key, value)| (key.clone(), self.value(value))).collect()
    }

    /// Arguments of a provider, which stay untouched where there is neither configuration nor secret: `$$`
    /// is then two signs.
    #[must_use]
    pub fn arguments(&self, value: &Value) -> Value {
        if self.is_empty() { value.clone() } else { self.value(value) }
    }
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(sign) = rest.find('$') {
        if sign > 0 {
            parts.push(Part::Plain(&rest[..sign]));
        }
        let after = &rest[sign + 1..];
        let (part, length) = part(after, &rest[sign..]);
        parts.push(part);
        rest = &rest[sign + length..];
    }
    if !rest.is_empty() {
        parts.push(Part::Plain(rest));
    }
    parts
}

/// What a `$` begins, and how long it is with the sign.
fn part<'t>(after: &'t str, whole: &'t str) -> (Part<'t>, usize) {
    if after.starts_with('$') {
        return (Part::Dollar, 2);
    }
    let named = name(after);
    if named > 0 {
        return (Part::Named(&after[..named], &whole[..=named]), named + 1);
    }
    if let Some(inner) = after.strip_prefix('{')
        && let Some(end) = inner.find('}')
    {
        let inner = &inner[..end];
        if (!inner.is_empty() && name(inner) == inner.len()) || outputs::is_path(inner) {
            return (Part::Braced(inner, &whole[..end + 3]), end + 3);
        }
    }
    (Part::Plain(&whole[..1]), 1)
}

/// How long the name is that begins a text.
fn name(text: &str) -> usize {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if begins { text.find(|letter| !is_part(letter)).unwrap_or(text.len()) } else { 0 }
}

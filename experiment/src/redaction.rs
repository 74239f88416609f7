//! Secrets are for those who perform steps. Nothing that is written or shown has them, also where they come back in
//! another form.

mod forms;

use std::fmt;
use std::ops::Range;

use forms::Writing;
use serde_json::{Map, Value};

/// What stands where a secret stood.
pub const HIDDEN: &str = "********";
/// Shorter texts are hidden only where they stand alone: an `a` is in every word.
const SHORTEST: usize = 4;

/// Something that may hold secrets: it is not shown, and must be asked for.
#[derive(Clone, PartialEq)]
pub struct Confidential<T>(T);

impl<T> Confidential<T> {
    /// Hides it.
    pub const fn new(inner: T) -> Self {
        Self(inner)
    }

    /// What it is. It is for whoever performs a step.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Confidential<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// What must not be seen.
#[derive(Clone, Default, PartialEq)]
pub struct Redaction {
    /// The longest first, since one may be a part of another.
    hidden: Vec<String>,
    /// The same as they are in names of hosts.
    hosts: Vec<String>,
    /// What their base64 has in any case.
    base64: Vec<String>,
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redaction({} texts)", self.hidden.len())
    }
}

impl Redaction {
    /// Hides every text and number in these secrets.
    #[must_use]
    pub fn new(secrets: &Map<String, Value>) -> Self {
        let mut redaction = Self::default();
        redaction.add(secrets);
        redaction
    }

    /// Hides every text and number in these, too.
    pub fn add(&mut self, secrets: &Map<String, Value>) {
        let hidden = &mut self.hidden;
        secrets.values().for_each(|secret| collect(secret, hidden));
        hidden.sort_by(|one: &String, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        hidden.dedup();
        let long = || self.hidden.iter().filter(|secret| is_long(secret));
        self.hosts = long().filter_map(|secret| forms::host(secret)).collect();
        self.base64 = long().flat_map(|secret| forms::base64(secret)).collect();
    }

    /// A text without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if self.hidden.iter().any(|secret| secret == text) {
            return HIDDEN.to_owned();
        }
        let mut text = text.to_owned();
        let long = || self.hidden.iter().filter(|secret| is_long(secret));
        for secret in long().chain(&self.hosts) {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        for form in &self.base64 {
            let parts = forms::around(&text, form);
            hide(&mut text, parts);
        }
        for writing in Writing::ALL {
            for secret in long() {
                let parts = writing.find(&text, secret);
                hide(&mut text, parts);
            }
        }
        text
    }

    /// A value without secrets: in its texts at any depth, in keys, and as numbers.
    #[must_use]
    pub fn value(&self, value: &Value) -> Value {
        match value {
            _ if self.hidden.is_empty() => value.clone(),
            Value::String(text) => Value::String(self.text(text)),
            Value::Number(number) => {
                let shown = number.to_string();
                let is_secret = shown.len() >= SHORTEST && self.hidden.contains(&shown);
                if is_secret { Value::String(HIDDEN.to_owned()) } else { value.clone() }
            }
            Value::Array(list) => list.iter().map(|value| self.value(value)).collect(),
            Value::Object(map) => Value::Object(self.map(map)),
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    /// The same of a mapping.
    #[must_use]
    pub fn map(&self, map: &Map<String, Value>) -> Map<String, Value> {
        map.iter().map(|(key, value)| (self.text(key), self.value(value))).collect()
    }

    /// An experiment as it was written, without the secrets in it: what stands under `secrets` is hidden
    /// but for where it comes from.
    #[must_use]
    pub fn experiment(&self, written: &Map<String, Value>) -> Map<String, Value> {
        let mut shown = self.map(written);
        if let Some(secrets) = written.get("secrets") {
            shown.insert("secrets".to_owned(), sources(secrets));
        }
        shown
    }
}

fn is_long(secret: &str) -> bool {
    secret.chars().count() >= SHORTEST
}

/// Hides parts of a text, which stand in their order.
fn hide(text: &mut String, parts: Vec<Range<usize>>) {
    for part in parts.into_iter().rev() {
        text.replace_range(part, HIDDEN);
    }
}

/// Where secrets come from stays, what they are does not.
fn sources(value: &Value) -> Value {
    match value {
        Value::Object(map)
            if matches!(map.get("type").and_then(Value::as_str), Some("env" | "vault")) =>
        {
            value.clone()
        }
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), sources(value))).collect())
        }
        Value::Null => Value::Null,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Value::String(HIDDEN.to_owned())
        }
    }
}

fn collect(value: &Value, hidden: &mut Vec<String>) {
    match value {
        Value::String(text) if !text.is_empty() => {
            hidden.push(text.clone());
            // Outputs often come without the line's end.
            let trimmed = text.trim();
            if trimmed != text && !trimmed.is_empty() {
                hidden.push(trimmed.to_owned());
            }
        }
        Value::Number(number) => hidden.push(number.to_string()),
        Value::Array(list) => list.iter().for_each(|value| collect(value, hidden)),
        Value::Object(map) => map.values().for_each(|value| collect(value, hidden)),
        Value::String(_) | Value::Null | Value::Bool(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redaction() -> Redaction {
        let secrets =
            json!({"g": {"a": "hunter2", "b": "hunter22\n", "c": 123_456, "d": "x"}, "e": "top"});
        Redaction::new(secrets.as_object().unwrap())
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let value = json!({
            "hunter2": ["Bearer hunter22", "x", "xyz", "top", "topic", 123_456, 1, "at 123456!"]
        });
        assert_eq!(
            redaction().value(&value),
            json!({
                HIDDEN: [
                    format!("Bearer {HIDDEN}"), HIDDEN, "xyz", HIDDEN, "topic", HIDDEN, 1,
                    format!("at {HIDDEN}!")
                ]
            })
        );
    }

    #[test]
    fn secrets_are_hidden_in_whatever_form_they_come_back() {
        let secrets = json!({"g": {"a": "Pass w/rd+\"9\"", "b": "TopSecret9"}});
        let redaction = Redaction::new(secrets.as_object().unwrap());
        for (text, expected) in [
            ("q=Pass%20w%2Frd%2b%229%22&r=1", "q=********&r=1"),
            ("q=Pass+w/rd%2B%229%22&r=1", "q=********&r=1"),
            (r#"{"p": "Pass w/rd+\"9\""}"#, r#"{"p": "********"}"#),
            ("Basic YW5uOlBhc3Mgdy9yZCsiOSI=", "Basic ********"),
            ("Basic dTpUb3BTZWNyZXQ5, more", "Basic ********, more"),
            ("no host topsecret9.example.org", "no host ********.example.org"),
            ("100 % of it + more \\ less", "100 % of it + more \\ less"),
        ] {
            assert_eq!(redaction.text(text), expected);
        }
    }

    #[test]
    fn an_experiment_shows_where_secrets_come_from() {
        let written = json!({
            "title": "with hunter2",
            "secrets": {"g": {"a": "hunter2", "n": 5, "e": {"type": "env", "key": "E"}}}
        });
        let shown = redaction().experiment(written.as_object().unwrap());
        assert_eq!(
            Value::Object(shown),
            json!({
                "title": format!("with {HIDDEN}"),
                "secrets": {"g": {"a": HIDDEN, "n": HIDDEN, "e": {"type": "env", "key": "E"}}}
            })
        );
    }

    #[test]
    fn nothing_confidential_is_printed() {
        assert_eq!(
            format!("{:?} {:?}", Confidential::new("hush"), redaction()),
            "******** Redaction(6 texts)"
        );
    }
}

//! Secrets are for those who perform steps. Nothing that is written or shown has them, also where they come back in
//! another form.

mod forms;

use std::fmt;
use std::ops::Range;

use forms::{Unwrapped, Writing};
use serde_json::{Map, Value};

/// What stands where a secret stood.
pub const HIDDEN: &str = "********";
/// Shorter texts are hidden only where they stand alone: an `a` is in every word.
const SHORTEST: usize = 4;
/// A secret of several lines is also told line by line, as those of a log are. Shorter ones (characters) say little, and
/// are in other texts.
const SHORTEST_LINE: usize = 8;

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

/// Whether a secret, or a part of it, is so short that it is hidden only where it stands alone.
#[must_use]
pub fn is_short(secret: &Value) -> bool {
    let mut hidden = Vec::new();
    collect(secret, &mut hidden);
    hidden.iter().any(|secret| !is_long(secret))
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
        hidden.sort_unstable();
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
        hide(text, self.found(text))
    }

    /// Where secrets stand in a text, in any form. All of them are looked for in the text as it is: one may be a
    /// part of another, and what would be left of that is as secret.
    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let long = || self.hidden.iter().filter(|secret| is_long(secret));
        for secret in long().chain(&self.hosts) {
            let places = text.match_indices(secret.as_str());
            found.extend(places.map(|(at, _)| at..at + secret.len()));
        }
        found.extend(self.base64.iter().flat_map(|form| forms::around(text, form)));
        if let Some(unwrapped) = self.unwrapped(text) {
            let parts = self.base64.iter().flat_map(|form| forms::around(&unwrapped.text, form));
            found.extend(parts.map(|part| unwrapped.place(part)));
        }
        for writing in Writing::ALL {
            found.extend(long().flat_map(|secret| writing.find(text, secret)));
        }
        found
    }

    fn unwrapped(&self, text: &str) -> Option<Unwrapped> {
        // Nothing is looked for where there is nothing to hide.
        if self.base64.is_empty() { None } else { Unwrapped::of(text) }
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

/// A text without these parts of it. Parts that overlap are one.
fn hide(text: &str, mut parts: Vec<Range<usize>>) -> String {
    parts.sort_unstable_by_key(|part| part.start);
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for part in parts {
        // What begins within another one is hidden by that, and may go on behind it.
        if part.start >= end {
            shown.push_str(&text[end..part.start]);
            shown.push_str(HIDDEN);
        }
        end = end.max(part.end);
    }
    shown.push_str(&text[end..]);
    shown
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
            if trimmed.contains('\n') {
                let lines = trimmed.lines().map(str::trim);
                let lines = lines.filter(|line| line.chars().count() >= SHORTEST_LINE);
                hidden.extend(lines.map(str::to_owned));
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
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
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
        // Ten bytes before the end of the first line (48 bytes).
        let encoded = STANDARD.encode(format!("{}TopSecret9{}", "-".repeat(44), "-".repeat(20)));
        let (first, rest) = encoded.split_at(64);
        let wrapped = format!("-----BEGIN-----\n{first}\n{rest}\n-----END-----");
        for (text, expected) in [
            ("q=Pass%20w%2Frd%2b%229%22&r=1", "q=********&r=1"),
            ("q=Pass+w/rd%2B%229%22&r=1", "q=********&r=1"),
            (r#"{"p": "Pass w/rd+\"9\""}"#, r#"{"p": "********"}"#),
            ("Basic YW5uOlBhc3Mgdy9yZCsiOSI=", "Basic ********"),
            ("Basic dTpUb3BTZWNyZXQ5, more", "Basic ********, more"),
            (wrapped.as_str(), "-----BEGIN-----\n********\n-----END-----"),
            ("no host topsecret9.example.org", "no host ********.example.org"),
            ("100 % of it + more \\ less", "100 % of it + more \\ less"),
        ] {
            assert_eq!(redaction.text(text), expected);
        }
    }

    #[test]
    fn a_secret_within_another_one_leaves_nothing_of_that() {
        let secrets = json!({"g": {"a": "user:Pa/ss+1@host", "b": "Pa/ss+1", "c": "1@host:99"}});
        let redaction = Redaction::new(secrets.as_object().unwrap());
        for (text, expected) in [
            ("to user:Pa/ss+1@host!", "to ********!"),
            ("to user%3APa/ss+1%40host!", "to ********!"),
            ("to user%3APa%2Fss%2B1%40host!", "to ********!"),
            (r#"{"to": "user:Pa\/ss+1@host"}"#, r#"{"to": "********"}"#),
            ("to dXNlcjpQYS9zcysxQGhvc3Q=!", "to ********!"),
            // Nor does one that goes on where another one ends.
            ("to user:Pa/ss+1@host:99!", "to ********!"),
            ("Pa/ss+1Pa/ss+1", "****************"),
        ] {
            assert_eq!(redaction.text(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_form_of_a_secret_is_left_by_another_one_in_it(
            before in "[a-zA-Z0-9 /+\"\\\\é]{0,6}",
            inner in "[a-zA-Z0-9 /+\"\\\\é]{4,8}",
            behind in "[a-zA-Z0-9 /+\"\\\\é]{0,6}",
            every in 1_usize..4,
        ) {
            let outer = format!("{before}{inner}{behind}");
            let secrets = json!({"g": {"inner": inner, "outer": outer}});
            let redaction = Redaction::new(secrets.as_object().unwrap());
            let percent = |(number, byte): (usize, u8)| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if number % every != 0 => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            };
            let quoted = serde_json::to_string(&outer).unwrap();
            for written in [
                outer.clone(),
                outer.bytes().enumerate().map(percent).collect(),
                quoted[1..quoted.len() - 1].to_owned(),
                STANDARD.encode(&outer),
            ] {
                prop_assert_eq!(redaction.text(&format!("<{written}>")), "<********>", "{}", written);
            }
        }
    }

    #[test]
    fn what_is_hidden_only_where_it_stands_alone_is_short() {
        for (secret, expected) in [
            (json!("abc"), true),
            (json!(" abc\n"), true),
            (json!(123), true),
            (json!(["hunter2", "é"]), true),
            (json!("abcd"), false),
            (json!(1234), false),
            (json!(""), false),
            (json!(null), false),
            (json!(true), false),
        ] {
            assert_eq!(is_short(&secret), expected, "{secret}");
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

    #[test]
    fn a_secret_of_several_lines_is_hidden_line_by_line_too() {
        let key =
            "-----BEGIN KEY-----\n  MIIEvQIBADANBg\r\nkqhkiG9w0BAQ\nshort\n-----END KEY-----\n";
        let secrets = json!({"g": {"key": key}});
        let redaction = Redaction::new(secrets.as_object().unwrap());
        for (text, expected) in [
            (key, HIDDEN),
            ("read MIIEvQIBADANBg", "read ********"),
            ("kqhkiG9w0BAQ", HIDDEN),
            ("a short one", "a short one"),
        ] {
            assert_eq!(redaction.text(text), expected, "{text}");
        }
    }
}

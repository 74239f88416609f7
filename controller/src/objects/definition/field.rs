//! Fields of a structural schema, each with what it is.

use serde_json::{Value, json};

/// A rule of CEL, and what is said where it does not hold.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// Text of at most so many characters: what rules cost is known by that.
pub(crate) fn text(about: &str, longest: u32) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": longest, "description": about })
}

/// Text of a form (RE2).
pub(crate) fn matching(about: &str, longest: u32, form: &str, message: &str) -> Value {
    let mut field = text(about, longest);
    field["x-kubernetes-validations"] = json!([rule(&format!("self.matches('{form}')"), message)]);
    field
}

/// A length of time.
pub(crate) fn time(about: &str) -> Value {
    let mut field = text(about, 32);
    let fits = "self.matches('^([0-9]+(ms|s|m|h|d) ?)+$') && self.matches('[1-9]')";
    let message =
        "a time is a number and a unit, such as 500ms, 30s, 1m30s or 2h, and longer than nothing";
    field["x-kubernetes-validations"] = json!([rule(fits, message)]);
    field
}

/// One of some words.
pub(crate) fn word(about: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words, "description": about })
}

/// A number.
pub(crate) fn number(about: &str, least: i64, most: i64) -> Value {
    json!({
        "type": "integer", "format": "int64", "minimum": least, "maximum": most, "description": about,
    })
}

/// Whether or not.
pub(crate) fn flag(about: &str) -> Value {
    json!({ "type": "boolean", "description": about })
}

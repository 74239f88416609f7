//! Whether a value is what it should be, by the rules of the original.
//!
//! Where the original ends with a traceback, and leaves faults and rollbacks behind, the answer here is a
//! [`ToleranceError`].

mod comparison;
mod decimal;
pub mod path;
pub mod pattern;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::model::{Activity, Tolerance};
use crate::substitution::Scope;

pub use comparison::{Incomparable, equal, truthy};

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// The value is what it should be.
    Within,
    /// It is not.
    Outside,
    /// A probe must say: it is given the value as its argument `value`.
    Ask(Box<Activity>),
}

impl From<bool> for Judgement {
    fn from(within: bool) -> Self {
        if within { Self::Within } else { Self::Outside }
    }
}

/// A value that cannot be compared with a tolerance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToleranceError {
    /// It has no order with the bounds.
    #[error(transparent)]
    Incomparable(#[from] Incomparable),
    /// It is not text, and a pattern needs some.
    #[error("a pattern is looked for in text, not in {0}: name a part of it with `target`")]
    NotText(&'static str),
    /// It has no parts.
    #[error("`target` names a part of a mapping, and the value is {0}")]
    NoParts(&'static str),
    /// It is no number, nor text that could be one.
    #[error("a range holds numbers, not {0}")]
    NotNumber(&'static str),
    /// What was put into a pattern or path is no text.
    #[error("the value of `{0}` is not text")]
    NotTemplate(String),
    /// The pattern, once values were put into it.
    #[error(transparent)]
    Pattern(#[from] pattern::PatternError),
    /// The path, once values were put into it.
    #[error(transparent)]
    Path(#[from] path::PathError),
}

/// Compares a value with a tolerance.
///
/// # Errors
/// Where the two cannot be compared.
pub fn judge(
    tolerance: &Tolerance,
    value: &Value,
    scope: &Scope,
) -> Result<Judgement, ToleranceError> {
    Ok(match tolerance {
        Tolerance::Bool(truth) => equal(value, &Value::Bool(*truth)).into(),
        Tolerance::Integer(number) => {
            equal(value.get("status").unwrap_or(value), &Value::Number(number.clone())).into()
        }
        Tolerance::Text(template) => {
            // A name alone may stand for a value of any type, which then decides the comparison.
            match scope.template(template) {
                Value::Bool(truth) => equal(value, &Value::Bool(truth)).into(),
                Value::String(text) => (value.as_str() == Some(text.as_str())).into(),
                Value::Number(number) if number.is_f64() => Judgement::Outside,
                Value::Number(number) => {
                    return judge(&Tolerance::Integer(number), value, scope);
                }
                Value::Array(list) => return judge(&Tolerance::List(list), value, scope),
                Value::Null | Value::Object(_) => Judgement::Outside,
            }
        }
        Tolerance::List(list) => listed(list, value)?.into(),
        Tolerance::Range { low, high, target } => {
            decimal::between(part(value, target.as_deref())?, low, high)?.into()
        }
        Tolerance::Regex { pattern, target } => {
            let text = text(scope.template(pattern), pattern.as_str())?;
            let value = part(value, target.as_deref())?;
            let found = value.as_str().ok_or(ToleranceError::NotText(kind(value)))?;
            pattern::compile(&text)?.finds(found)?.into()
        }
        Tolerance::JsonPath { path, target, expect, count } => {
            let text = text(scope.template(path), path.as_str())?;
            let value = part(value, target.as_deref())?;
            let expect = expect.as_ref().map(|expect| scope.value(expect));
            found(&text, value, expect.as_ref(), count.as_ref())?.into()
        }
        Tolerance::Probe(probe) => Judgement::Ask(probe.clone()),
    })
}

fn text(value: Value, name: &str) -> Result<String, ToleranceError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(ToleranceError::NotTemplate(name.to_owned()))
        }
    }
}

fn listed(list: &[Value], value: &Value) -> Result<bool, ToleranceError> {
    let among = |value: &Value| list.iter().any(|one| equal(one, value));
    if let Some(status) = value.get("status") {
        return Ok(among(status));
    }
    match list {
        [low, high] => Ok(comparison::at_most(low, value)? && comparison::at_most(value, high)?),
        _ => Ok(among(value)),
    }
}

/// The part of a value that a target names; all of it if there is no such part.
fn part<'v>(value: &'v Value, target: Option<&str>) -> Result<&'v Value, ToleranceError> {
    match (target, value) {
        (None, _) => Ok(value),
        (Some(target), Value::Object(map)) => Ok(map.get(target).unwrap_or(value)),
        (Some(_), _) => Err(ToleranceError::NoParts(kind(value))),
    }
}

/// What a path finds is what was expected. Text that is JSON is read first.
fn found(
    text: &str,
    value: &Value,
    expect: Option<&Value>,
    count: Option<&Value>,
) -> Result<bool, ToleranceError> {
    let decoded = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    let matches = path::Path::read(text)?.matches(decoded.as_ref().unwrap_or(value))?;
    Ok(match (expect, count) {
        (Some(Value::Array(all)), _) => equal(&Value::Array(matches), &Value::Array(all.clone())),
        (Some(one), _) => matches.len() == 1 && equal(&matches[0], one),
        (None, Some(count)) => equal(&Value::from(matches.len()), count),
        (None, None) => !matches.is_empty(),
    })
}

/// What kind of value it is, for sentences.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text that is none",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

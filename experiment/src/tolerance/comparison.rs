//! Equality, order and truth of values, as Python has them.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Two values without an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{one} and {other} have no order")]
pub struct Incomparable {
    one: &'static str,
    other: &'static str,
}

/// Whether two values are equal: 1, 1.0 and true are.
#[must_use]
pub fn equal(one: &Value, other: &Value) -> bool {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => return order(&one, &other) == Some(Ordering::Equal),
        (None, None) => (),
        (Some(_), None) | (None, Some(_)) => return false,
    }
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => one == other,
    }
}

/// Whether a value counts as true: anything but nothing, 0 and what is empty.
#[must_use]
pub fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Whether one value is not above another.
pub(super) fn at_most(one: &Value, other: &Value) -> Result<bool, Incomparable> {
    compare(one, other).map(Ordering::is_le)
}

fn compare(one: &Value, other: &Value) -> Result<Ordering, Incomparable> {
    let refused = || Incomparable { one: super::kind(one), other: super::kind(other) };
    if let (Some(one), Some(other)) = (number(one), number(other)) {
        return order(&one, &other).ok_or_else(refused);
    }
    match (one, other) {
        (Value::String(one), Value::String(other)) => Ok(one.cmp(other)),
        (Value::Array(one), Value::Array(other)) => {
            for (one, other) in one.iter().zip(other) {
                if !equal(one, other) {
                    return compare(one, other);
                }
            }
            Ok(one.len().cmp(&other.len()))
        }
        _ => Err(refused()),
    }
}

/// A value as a number; truth values are.
fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Bool(truth) => Some(u8::from(*truth).into()),
        Value::Number(number) => Some(number.clone()),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The order of two numbers. Whole ones are compared as such: a float has 53 bits.
pub(super) fn order(one: &Number, other: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i128();
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

//! Text as values of a type.

use serde_json::{Number, Value};

use crate::model::VariableType;

/// A value that is not of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoercionError {
    /// Not a whole number.
    #[error("not a whole number")]
    Integer,
    /// Not a number.
    #[error("not a number")]
    Float,
    /// Not text.
    #[error("not text")]
    Text,
    /// Not JSON.
    #[error("not JSON")]
    Json,
}

/// What a value is as one of a type. Its text is not repeated in an error: it may be a secret.
///
/// # Errors
/// If it cannot be that.
pub fn coerce(kind: VariableType, value: Value) -> Result<Value, CoercionError> {
    match kind {
        VariableType::Text => Ok(value),
        VariableType::Bytes if value.is_string() => Ok(value),
        VariableType::Bytes => Err(CoercionError::Text),
        VariableType::Integer => integer(&value).map(Value::Number).ok_or(CoercionError::Integer),
        VariableType::Float => float(&value).map(Value::Number).ok_or(CoercionError::Float),
        VariableType::Bool => match value {
            Value::Bool(_) => Ok(value),
            Value::String(text) => {
                Ok(Value::Bool(!matches!(text.to_lowercase().as_str(), "false" | "0" | "no")))
            }
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err(CoercionError::Text)
            }
        },
        VariableType::Json => match &value {
            Value::String(text) if !text.is_empty() => {
                serde_json::from_str(text).map_err(|_| CoercionError::Json)
            }
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Ok(value),
        },
    }
}

fn integer(value: &Value) -> Option<Number> {
    match value {
        Value::Bool(truth) => Some(u8::from(*truth).into()),
        Value::Number(number) if !number.is_f64() => Some(number.clone()),
        Value::Number(number) => {
            let float = number.as_f64()?.trunc();
            // Beyond 2^53 a float names no single whole number.
            #[expect(clippy::cast_possible_truncation, reason = "checked right before")]
            let whole = (float.abs() < 9_007_199_254_740_992.0).then_some(float as i64);
            whole.map(Number::from)
        }
        Value::String(text) => plain(text)?.parse::<i64>().ok().map(Number::from),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn float(value: &Value) -> Option<Number> {
    match value {
        Value::Bool(truth) => Number::from_f64(f64::from(u8::from(*truth))),
        Value::Number(number) => Number::from_f64(number.as_f64()?),
        Value::String(text) => Number::from_f64(plain(text)?.parse().ok()?),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Digits without the space around them and the single `_` between them.
fn plain(text: &str) -> Option<String> {
    let text = text.trim();
    let misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!misplaced).then(|| text.replace('_', ""))
}

//! Exact numbers: the text `0.1` is less than the float 0.1, and a range says so.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{ToleranceError, kind};

/// More digits than the exponent of a float has.
const PLACES: usize = 1074;
/// Exponents beyond this are not written out.
const FAR: i64 = 1_000_000;

/// A number as digits: `0.DIGITS` times ten to an exponent, without zeros at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

/// Text that is no number is outside of every range; what is not even text has no place in one.
pub(super) fn between(value: &Value, low: &Number, high: &Number) -> Result<bool, ToleranceError> {
    match value {
        Value::Number(number) => Ok(within(&exact(number), low, high)),
        Value::Bool(truth) => Ok(within(&exact(&u8::from(*truth).into()), low, high)),
        Value::String(text) => {
            match text.trim().to_ascii_lowercase().trim_start_matches(['+', '-']) {
                "inf" | "infinity" => Ok(false),
                "nan" | "snan" => Err(ToleranceError::NotNumber("`nan`")),
                _ => Ok(read(text).is_some_and(|value| within(&value, low, high))),
            }
        }
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(ToleranceError::NotNumber(kind(value)))
        }
    }
}

fn within(value: &Decimal, low: &Number, high: &Number) -> bool {
    exact(low).order(value).is_le() && value.order(&exact(high)).is_le()
}

/// A float's very value, not the shortest text that stands for it.
fn exact(number: &Number) -> Decimal {
    let text = match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => format!("{float:.PLACES$}"),
        None => number.to_string(),
    };
    read(&text).unwrap_or(Decimal { negative: false, digits: Vec::new(), exponent: 0 })
}

fn read(text: &str) -> Option<Decimal> {
    let text = text.trim().replace('_', "");
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = (!whole.is_empty() || !part.is_empty())
        && whole.bytes().chain(part.bytes()).all(|digit| digit.is_ascii_digit())
        && exponent.abs() < FAR;
    if !is_number {
        return None;
    }
    let all: Vec<u8> = whole.bytes().chain(part.bytes()).collect();
    let zeros = all.iter().take_while(|digit| **digit == b'0').count();
    let mut digits = all[zeros..].to_vec();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    let point = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
    let exponent = if digits.is_empty() { 0 } else { exponent + point };
    Some(Decimal { negative: negative && !digits.is_empty(), digits, exponent })
}

impl Decimal {
    fn order(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.size(other),
            (true, true) => other.size(self),
        }
    }

    /// The order without signs. Nothing is smaller than any digit.
    fn size(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits))
            }
        }
    }
}

/// The order of numbers, wherever they come from.
#[cfg(test)]
pub(super) fn agrees(one: &Number, other: &Number) -> bool {
    super::comparison::order(one, other) == Some(exact(one).order(&exact(other)))
}

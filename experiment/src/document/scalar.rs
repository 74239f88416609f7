//! What a plain scalar of YAML stands for, by the rules of YAML 1.1 (yaml.org/type): experiments are
//! written for readers that have them, where `yes` is true and `0777` is octal.

use serde_json::Number;

use super::Shape;

/// What a plain scalar is. Dates stay text, since no value of an experiment is one.
pub(super) fn plain(text: &str) -> Shape {
    null(text)
        .then_some(Shape::Null)
        .or_else(|| truth(text).map(Shape::Bool))
        .or_else(|| number(text).map(Shape::Number))
        .unwrap_or_else(|| Shape::Text(text.to_owned()))
}

pub(super) fn null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

pub(super) fn number(text: &str) -> Option<Number> {
    integer(text).map(Number::from).or_else(|| float(text).and_then(Number::from_f64))
}

/// Whole numbers: decimal, octal with a leading 0, `0x`, `0b`, and groups of base 60.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = signed(text);
    let digits = digits.replace('_', "");
    if !digits.starts_with(|digit: char| digit.is_ascii_digit()) {
        return None;
    }
    let size = if let Some(hexadecimal) = digits.strip_prefix("0x") {
        i64::from_str_radix(hexadecimal, 16).ok()?
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i64::from_str_radix(binary, 2).ok()?
    } else if digits.contains(':') {
        sexagesimal(&digits)?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(&digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(sign * size)
}

fn signed(text: &str) -> (i64, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn sexagesimal(digits: &str) -> Option<i64> {
    let mut groups = digits.split(':');
    let first = groups.next().filter(|first| !first.starts_with('0'))?;
    groups.try_fold(first.parse::<i64>().ok()?, |sum, group| {
        let group: i64 = (group.len() <= 2).then(|| group.parse().ok())?.filter(|n| *n < 60)?;
        sum.checked_mul(60)?.checked_add(group)
    })
}

/// Numbers with a point. An exponent needs a point before it and a sign of its own.
pub(super) fn float(text: &str) -> Option<f64> {
    let (_, digits) = signed(text);
    let digits = digits.replace('_', "");
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits.as_str(), None),
    };
    let (whole, part) = mantissa.split_once('.')?;
    let all_digits = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
    let power = exponent.is_none_or(|exponent| {
        exponent.strip_prefix(['+', '-']).is_some_and(|size| !size.is_empty() && all_digits(size))
    });
    let bare = text.starts_with('.');
    let some = !whole.is_empty() || (bare && !part.is_empty());
    if !(some && power && all_digits(whole) && all_digits(part)) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

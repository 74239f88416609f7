//! Values as Python writes them into text.

use serde_json::{Number, Value};

/// A value inside of other text: `True`, `None`, `1.0`, `{'a': 1}`.
#[must_use]
pub fn wording(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            shown(value)
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => self::number(number),
        Value::String(text) => quoted(text),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(shown).collect();
            format!("[{}]", list.join(", "))
        }
        Value::Object(map) => {
            let pair =
                |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), shown(value));
            let map: Vec<String> = map.iter().map(pair).collect();
            format!("{{{}}}", map.join(", "))
        }
    }
}

/// Single quotes, unless only single quotes are inside.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            same if same == quote => shown.extend(['\\', same]),
            control if control.is_ascii_control() => {
                shown.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            other => shown.push(other),
        }
    }
    shown.push(quote);
    shown
}

/// Powers of ten from 16 up and below -4 are written with an exponent of two digits.
fn number(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(power) if !(-4..16).contains(&power) => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", power.abs())
        }
        Ok(_) | Err(_) => {
            let plain = format!("{float}");
            if plain.contains('.') { plain } else { format!("{plain}.0") }
        }
    }
}

//! JSON as YAML that people read (YAML 1.2, block style).

use serde_json::Value;

use super::values::{CLOSE, OPEN};

/// Words that older readers of YAML take for something else than themselves.
const NO_TEXT: [&str; 11] =
    ["", "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];

/// Objects, one document each.
pub(super) fn documents(objects: &[Value]) -> String {
    objects.iter().map(document).collect::<Vec<_>>().join("---\n")
}

/// One document.
pub(super) fn document(object: &Value) -> String {
    let mut text = String::new();
    block(object, 0, &mut text);
    text
}

/// What goes on lines of its own.
fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                text.push_str(&format!("{indent}{}:", plain(name)));
                after(field, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut lines = String::new();
                block(item, depth + 1, &mut lines);
                // The first line begins where the dash leaves off.
                let within = lines.strip_prefix(&"  ".repeat(depth + 1)).unwrap_or(&lines);
                text.push_str(&format!("{indent}- {within}"));
            }
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::String(_)
        | Value::Number(_)
        | Value::Bool(_)
        | Value::Null => text.push_str(&format!("{indent}{}\n", inline(value))),
    }
}

/// What comes behind a name.
fn after(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text);
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::String(_)
        | Value::Number(_)
        | Value::Bool(_)
        | Value::Null => text.push_str(&format!(" {}\n", inline(value))),
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => match text.strip_prefix(OPEN).and_then(|t| t.strip_suffix(CLOSE)) {
            // Of whatever kind it is: JSON is YAML.
            Some(expression) => format!("{{{{ {expression} | toJson }}}}"),
            None => plain(text),
        },
        Value::Object(_) | Value::Array(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
            value.to_string()
        }
    }
}

/// A text as it is, if nobody takes it for something else, else in quotes.
fn plain(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if begins && text.chars().all(fits) && !NO_TEXT.contains(&text.to_lowercase().as_str()) {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use experiment::document::{Node, Notation};
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let value = json!({
            "a": { "b": [1, { "c": "x", "d": [] }, ["y", "z"]], "e": {} },
            "f": "yes", "g": "a: b", "h": "", "i": true, "j": null, "k/l": "1", "m": "two\nlines",
        });
        let text = document(&value);
        let read = Node::read(&text, Notation::Yaml).unwrap().value();
        assert_eq!(read, value, "{text}");
    }

    #[test]
    fn expressions_stand_alone() {
        let value = json!({ "a": format!("{OPEN}.Values.x{CLOSE}"), "b": ["{{ no }}"] });
        assert_eq!(document(&value), "a: {{ .Values.x | toJson }}\nb:\n  - \"{{ no }}\"\n");
    }
}

//! Steps.

use serde_json::{Value, json};

use super::{any, list, object, reference, text, word};

/// A step, or a reference to one.
pub(super) fn activity() -> Value {
    json!({
        "if": {"type": "object", "required": ["ref"]},
        "then": object(
            "A step that stands elsewhere",
            &[
                ("ref", any("Its name")),
                ("name", any("What this is called")),
                ("tolerance", reference("tolerance")),
                ("background", json!({"type": "boolean"})),
            ],
            &["ref"],
        ),
        "else": reference("step"),
    })
}

/// A probe of a hypothesis.
pub(super) fn judged() -> Value {
    json!({"allOf": [reference("activity"), {"required": ["tolerance"]}]})
}

pub(super) fn step() -> Value {
    let wait = json!({"anyOf": [
        reference("seconds"),
        {"type": "string", "pattern": "^\\$\\{.*\\}$"},
        {"type": "null"},
    ]});
    let pauses = object("Waiting", &[("before", wait.clone()), ("after", wait)], &[]);
    let retry = object(
        "How often it is tried",
        &[
            ("attempts", json!({"type": "integer", "minimum": 1, "default": 10})),
            ("every", reference("seconds")),
        ],
        &[],
    );
    let mut each = object(
        "For what it is repeated",
        &[
            ("name", reference("name")),
            (
                "in",
                json!({"type": ["array", "string"], "description": "Values, or ${name} of them"}),
            ),
            ("targets", text("A selector")),
        ],
        &["name"],
    );
    if let Value::Object(map) = &mut each {
        let either = json!([{"required": ["in"]}, {"required": ["targets"]}]);
        map.insert("anyOf".to_owned(), either);
    }
    object(
        "A step: a probe looks, an action does",
        &[
            ("type", word("What it is for", &["probe", "action"])),
            ("name", text("What it is called")),
            ("provider", reference("provider")),
            ("tolerance", reference("tolerance")),
            (
                "background",
                json!({"type": "boolean", "description": "The next step does not wait"}),
            ),
            ("pauses", pauses),
            ("timeout", json!({"anyOf": [reference("seconds"), {"type": "null"}]})),
            ("controls", list(reference("controlUse"))),
            ("dry", word("What is only rehearsed", &["probes", "actions", "activities", "pause"])),
            ("retry", retry),
            ("until", reference("tolerance")),
            ("as", reference("name")),
            ("for-each", each),
            ("may-fail", json!({"type": "boolean", "description": "Its failure fails no run"})),
            ("ref", json!({"type": "null"})),
        ],
        &["type", "name", "provider"],
    )
}

//! Providers.

use serde_json::{Value, json};

use super::{any, by_type, list, object, reference, text, typed, word};
use crate::model::Verb;

pub(super) fn provider() -> Value {
    let providers =
        [("process", process()), ("http", http()), ("python", python()), ("schism", schism())];
    by_type(&providers, json!(false))
}

pub(super) fn process() -> Value {
    object(
        "A program",
        &[
            typed("process"),
            ("path", text("A file, or a name to look for in PATH")),
            ("arguments", json!({"type": ["array", "string", "object", "null"]})),
            ("timeout", reference("seconds")),
            ("secrets", any("Not read")),
        ],
        &["type", "path"],
    )
}

fn http() -> Value {
    let pair =
        json!({"type": "array", "items": reference("seconds"), "minItems": 2, "maxItems": 2});
    let timeout = json!({"anyOf": [reference("seconds"), pair, {"type": ["string", "null"]}]});
    object(
        "A request",
        &[
            typed("http"),
            ("url", text("Whom to ask")),
            ("method", text("How")),
            ("headers", json!({"type": ["object", "null"]})),
            ("arguments", any("The query of a GET, the body of anything else")),
            ("timeout", timeout),
            ("verify_tls", json!({"type": "boolean", "default": true})),
            ("max_retries", json!({"type": "integer", "minimum": 0})),
            ("secrets", any("Not read")),
        ],
        &["type", "url"],
    )
}

fn python() -> Value {
    object(
        "A function",
        &[
            typed("python"),
            ("module", text("Where it is")),
            ("func", text("What it is called")),
            ("arguments", json!({"type": ["object", "null"]})),
            ("secrets", list(text("A group of secrets"))),
            ("timeout", reference("seconds")),
        ],
        &["type", "module", "func"],
    )
}

fn schism() -> Value {
    let is_probe = |verb: &&&str| matches!(verb.parse(), Ok(Verb::Read(_)));
    let probes: Vec<&str> = Verb::KNOWN.iter().filter(is_probe).copied().collect();
    let actions: Vec<&str> = Verb::KNOWN.iter().filter(|verb| !is_probe(verb)).copied().collect();
    let mut schema = object(
        "This system itself",
        &[
            typed("schism"),
            ("action", word("What it does", &actions)),
            ("probe", word("What it looks at", &probes)),
            ("arguments", json!({"type": ["object", "null"]})),
            ("as", reference("name")),
            ("effect", word("Whether it must have one", &["required", "optional"])),
        ],
        &["type"],
    );
    if let Value::Object(map) = &mut schema {
        let either = json!([{"required": ["action"]}, {"required": ["probe"]}]);
        map.insert("anyOf".to_owned(), either);
    }
    schema
}

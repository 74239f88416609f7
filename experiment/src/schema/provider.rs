//! Providers.

use serde_json::{Map, Value, json};

use super::{any, by_type, list, map_of, object, reference, text, typed, word};
use crate::model::{ActivityKind, Verb};

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
    let of = |kind: ActivityKind| {
        let fits = |verb: &&&str| verb.parse().is_ok_and(|verb: Verb| verb.fits(kind));
        Verb::KNOWN.iter().filter(fits).copied().collect::<Vec<&str>>()
    };
    let (probes, actions) = (of(ActivityKind::Probe), of(ActivityKind::Action));
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
        map.insert("allOf".to_owned(), arguments());
    }
    schema
}

/// What each verb takes. What else the options of a command are is known to the command alone.
fn arguments() -> Value {
    let with = |places: &[&str], required: &[&str]| {
        let known: Map<String, Value> = places
            .iter()
            .map(|place| ((*place).to_owned(), text("As on the command line")))
            .collect();
        json!({"type": "object", "properties": known, "required": required})
    };
    let of_fault = object("Of which fault", &[("fault", text("What it is called"))], &["fault"]);
    let behind = |command: &str| {
        let words = format!(
            "The words behind `schism {command}`; its options stand beside them by their names"
        );
        let command =
            json!({"type": ["string", "array"], "items": {"type": "string"}, "description": words});
        json!({"type": "object", "properties": {"command": command}, "required": ["command"]})
    };
    let zeebe = behind("zeebe");
    let rules = [
        ("action", "cut", with(&["from", "to"], &["from"])),
        ("action", "skew", with(&["target"], &["target"])),
        ("action", "freeze", with(&["target"], &["target"])),
        ("action", "kill", with(&["target"], &["target"])),
        ("action", "stress", with(&["target"], &["target"])),
        ("action", "heal", of_fault.clone()),
        ("probe", "effect", of_fault),
        ("probe", "metric", metric()),
        ("probe", "logs", logs()),
        ("action", "zeebe", zeebe.clone()),
        ("probe", "zeebe", zeebe),
        ("action", "pod", behind("pod")),
        ("action", "node", behind("node")),
    ];
    let rules = rules.map(|(role, verb, arguments)| {
        json!({
            "if": {"type": "object", "required": [role], "properties": {role: {"const": verb}}},
            "then": {"properties": {"arguments": arguments}},
            "else": true,
        })
    });
    Value::Array(rules.to_vec())
}

/// A number of seconds, or what stands for one.
fn limit() -> Value {
    json!({"anyOf": [reference("seconds"), {"type": ["string", "null"]}]})
}

fn metric() -> Value {
    let combine = word("What several series come to", &["sum", "max", "min", "count"]);
    let mut schema = object(
        "A number that somebody publishes",
        &[
            ("url", text("An address that answers with metrics as text")),
            ("metric", text("The name of the metric there")),
            ("labels", map_of("What its labels must be", json!({"type": "string"}))),
            ("prometheus", text("A server that answers PromQL")),
            ("query", text("The question to it")),
            ("combine", combine),
            ("since", any("What an earlier step found: the change is returned")),
            ("headers", map_of("Headers of the request", any("A value"))),
            ("timeout", limit()),
        ],
        &[],
    );
    if let Value::Object(map) = &mut schema {
        let either =
            json!([{"required": ["url", "metric"]}, {"required": ["prometheus", "query"]}]);
        map.insert("anyOf".to_owned(), either);
    }
    schema
}

fn logs() -> Value {
    let command = json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "A program that writes the lines"});
    let mut schema = object(
        "Lines with a pattern",
        &[
            ("file", text("A file of lines")),
            ("command", command),
            ("target", text("What names targets whose processes write the lines")),
            ("pattern", text("What is looked for, as Python has it")),
            (
                "since",
                any(
                    "What an earlier `logs` found, or `now`: only what came after that is looked at",
                ),
            ),
            ("timeout", limit()),
        ],
        &["pattern"],
    );
    if let Value::Object(map) = &mut schema {
        let either =
            json!([{"required": ["file"]}, {"required": ["command"]}, {"required": ["target"]}]);
        map.insert("anyOf".to_owned(), either);
    }
    schema
}

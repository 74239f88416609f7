use serde_json::{Value, json};

use super::schema;
use crate::document::{Node, Notation};
use crate::problem::Fault;
use crate::toolkit::{Manner, read_node};

/// Whether a value is what a schema says, by as much of JSON Schema as ours uses.
fn fits(schema: &Value, value: &Value, root: &Value) -> bool {
    let Value::Object(rules) = schema else { return schema.as_bool().unwrap() };
    let all = |rules: &Value| rules.as_array().unwrap().iter().all(|rule| fits(rule, value, root));
    let any = |rules: &Value| rules.as_array().unwrap().iter().any(|rule| fits(rule, value, root));
    let count = |rule: &Value| usize::try_from(rule.as_u64().unwrap()).unwrap();
    rules.iter().all(|(rule, says)| match rule.as_str() {
        "$ref" => fits(root.pointer(&says.as_str().unwrap()[1..]).unwrap(), value, root),
        "type" if says.is_string() => is_of(value, says.as_str().unwrap()),
        "type" => says.as_array().unwrap().iter().any(|kind| is_of(value, kind.as_str().unwrap())),
        "const" => value == says,
        "enum" => says.as_array().unwrap().contains(value),
        "allOf" => all(says),
        "anyOf" => any(says),
        "if" => {
            let branch = if fits(says, value, root) { "then" } else { "else" };
            fits(&rules[branch], value, root)
        }
        "minimum" => value.as_f64().is_none_or(|number| number >= says.as_f64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= count(says)),
        "minItems" => value.as_array().is_none_or(|list| list.len() >= count(says)),
        "maxItems" => value.as_array().is_none_or(|list| list.len() <= count(says)),
        "pattern" => value.as_str().is_none_or(|text| {
            crate::tolerance::pattern::compile(says.as_str().unwrap()).unwrap().finds(text).unwrap()
        }),
        "items" => {
            value.as_array().is_none_or(|list| list.iter().all(|item| fits(says, item, root)))
        }
        "required" => value.as_object().is_none_or(|map| {
            says.as_array().unwrap().iter().all(|key| map.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(key, value)| says.get(key).is_none_or(|rule| fits(rule, value, root)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let known = |key: &str| {
                let named = rules.get("properties").is_some_and(|named| named.get(key).is_some());
                named
                    || rules.contains_key("patternProperties")
                        && (key.starts_with("x-") || key == "extensions")
            };
            map.iter().all(|(key, value)| known(key) || fits(says, value, root))
        }),
        "$schema" | "$defs" | "description" | "default" | "then" | "else" | "patternProperties" => {
            true
        }
        other => panic!("the test does not know {other}"),
    })
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no kind is called {other}"),
    }
}

fn whole() -> Value {
    let text = include_str!("../../tests/experiments/whole.yaml");
    Node::read(text, Notation::Yaml).unwrap().value()
}

#[test]
fn what_the_language_has_is_accepted() {
    let schema = schema();
    assert!(fits(&schema, &whole(), &schema));
    for text in [
        r#"{"title": "t", "description": "d", "method": []}"#,
        r#"{"title": "t", "description": "d", "method": [{"ref": "x", "background": true}]}"#,
        r#"{"title": "t", "description": "d", "method": [], "x-own": 1, "version": "1.0.0"}"#,
    ] {
        assert!(fits(&schema, &serde_json::from_str(text).unwrap(), &schema), "{text}");
    }
}

/// The schema and the reader refuse the same: every key with a typo, everything that must be there.
#[test]
fn what_the_reader_refuses_is_refused() {
    let schema = schema();
    let places = [
        "",
        "/steady-state-hypothesis",
        "/steady-state-hypothesis/probes/0",
        "/steady-state-hypothesis/probes/0/provider",
        "/steady-state-hypothesis/probes/1/tolerance",
        "/steady-state-hypothesis/probes/3/provider",
        "/configuration/host",
        "/configuration/members/provider",
        "/secrets/service/token",
        "/controls/0",
        "/controls/1/provider",
        "/method/0/pauses",
        "/method/0/provider",
        "/method/1/retry",
        "/method/2/for-each",
        "/method/3",
        "/runtime",
        "/runtime/hypothesis",
        "/runtime/rollbacks",
    ];
    for place in places {
        let map = whole().pointer(place).unwrap().as_object().unwrap().clone();
        let mut without: Vec<Value> = Vec::new();
        for key in map.keys() {
            let mut changed = whole();
            changed.pointer_mut(place).unwrap().as_object_mut().unwrap().shift_remove(key);
            without.push(changed);
        }
        let mut typo = whole();
        let inside = typo.pointer_mut(place).unwrap().as_object_mut().unwrap();
        inside.insert("titel".into(), json!(1));
        assert!(!fits(&schema, &typo, &schema), "a typo at {place}");
        for changed in without {
            let node = Node::read(&changed.to_string(), Notation::Json).unwrap();
            let accepted = read_node(&node, Manner::Strict).experiment.is_some();
            // That something is named which is not there any more, no schema can know.
            let named = read_node(&node, Manner::Strict).problems.iter().all(|problem| {
                matches!(
                    problem.fault,
                    Fault::NoControl(_)
                        | Fault::Reference(_)
                        | Fault::Output { .. }
                        | Fault::Early(_)
                        | Fault::EarlyFault(_)
                        | Fault::Value { .. }
                        | Fault::Group { .. }
                        | Fault::Later(_)
                )
            });
            let told = read_node(&node, Manner::Strict).problems;
            assert_eq!(fits(&schema, &changed, &schema), accepted || named, "{place}: {told:?}");
        }
    }
}

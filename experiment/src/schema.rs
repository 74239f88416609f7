//! The language as JSON Schema, for editors (`schism schema`).
//!
//! It knows what the reader of files knows: whatever it accepts and the reader refuses is what no schema can
//! say, such as references to nothing.

mod provider;
mod step;
#[cfg(test)]
mod tests;
mod tolerance;

use serde_json::{Map, Value, json};

use crate::model::{HypothesisStrategy, RollbackStrategy};

/// Where the schema's language is defined.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of an experiment in a file.
#[must_use]
pub fn schema() -> Value {
    let mut schema = object(
        "An experiment",
        &[
            ("title", text("What is believed of the system. Values are put into it")),
            ("description", text("Why it is believed")),
            ("tags", list(text("A word to find it by"))),
            ("contributions", any("What it contributes to, such as reliability: high")),
            ("configuration", map_of("Named values", reference("setting"))),
            ("secrets", map_of("Named values that nobody may see", reference("secret"))),
            ("controls", list(reference("control"))),
            ("steady-state-hypothesis", reference("hypothesis")),
            ("method", list(reference("activity"))),
            ("rollbacks", list(reference("activity"))),
            ("runtime", reference("runtime")),
            ("version", any("Not read")),
            ("dry", any("Not read: it is set by the command")),
        ],
        &["title", "description", "method"],
    );
    let definitions = json!({
        "hypothesis": object(
            "What must hold of a system that is well",
            &[
                ("title", text("What it says")),
                ("probes", list(step::judged())),
                ("controls", list(reference("controlUse"))),
            ],
            &["title"],
        ),
        "activity": step::activity(),
        "step": step::step(),
        "provider": provider::provider(),
        "tolerance": tolerance::tolerance(),
        "setting": setting(),
        "secret": secret(),
        "control": control(),
        "controlUse": {"anyOf": [reference("control"), reference_by_name("A control of the experiment")]},
        "runtime": runtime(),
        "seconds": {"type": "number", "minimum": 0, "description": "A time in seconds"},
        "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
    });
    if let Value::Object(map) = &mut schema {
        map.insert("$schema".to_owned(), DRAFT.into());
        map.insert("$defs".to_owned(), definitions);
    }
    schema
}

/// A mapping of these keys and no others, but for those that are anybody's.
fn object(description: &str, properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    json!({
        "type": "object",
        "description": description,
        "properties": properties,
        "required": required,
        "patternProperties": {"^x-": true, "^extensions$": true},
        "additionalProperties": false,
    })
}

fn text(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "description": description})
}

fn any(description: &str) -> Value {
    json!({"description": description})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn map_of(description: &str, values: Value) -> Value {
    json!({"type": "object", "description": description, "additionalProperties": values})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn word(description: &str, words: &[&str]) -> Value {
    json!({"description": description, "enum": words})
}

/// Something that stands elsewhere.
fn reference_by_name(description: &str) -> Value {
    object(description, &[("ref", text("Its name"))], &["ref"])
}

/// A value with a `type` that is this.
fn typed(name: &str) -> (&'static str, Value) {
    ("type", json!({"const": name}))
}

fn is_typed(name: &str) -> Value {
    json!({"type": "object", "required": ["type"], "properties": {"type": {"const": name}}})
}

/// One schema for each `type`; anything else if there is another `type`, or none.
fn by_type(types: &[(&str, Value)], otherwise: Value) -> Value {
    types.iter().rev().fold(otherwise, |otherwise, (name, schema)| {
        json!({"if": is_typed(name), "then": schema, "else": otherwise})
    })
}

fn setting() -> Value {
    let kinds = ["str", "string", "int", "integer", "float", "number", "bytes", "bool", "json"];
    let env = object(
        "From the environment",
        &[
            typed("env"),
            ("key", text("The variable")),
            ("default", any("What it is without the variable")),
            ("env_var_type", word("What its text means", &kinds)),
        ],
        &["type", "key"],
    );
    by_type(&[("env", env), ("probe", reference("step"))], any("A value as it is"))
}

fn secret() -> Value {
    let env = object(
        "From the environment",
        &[typed("env"), ("key", text("The variable"))],
        &["type", "key"],
    );
    let vault = object(
        "From Vault",
        &[typed("vault"), ("path", text("Where")), ("key", text("Which part of it"))],
        &["type", "path"],
    );
    let several = json!({
        "description": "A value as it is, or several by name",
        "additionalProperties": reference("secret"),
    });
    by_type(&[("env", env), ("vault", vault)], several)
}

fn control() -> Value {
    let python = object(
        "Functions of a module",
        &[
            typed("python"),
            ("module", text("The module")),
            ("arguments", any("What its functions are given")),
            ("secrets", any("Not read")),
            ("func", any("Not read")),
        ],
        &["type", "module"],
    );
    let providers = [("python", python), ("process", provider::process())];
    object(
        "A hook",
        &[
            ("name", text("What it is called")),
            ("provider", by_type(&providers, json!(false))),
            ("scope", word("On which side of its part alone", &["before", "after"])),
            ("automatic", json!({"type": "boolean", "default": true})),
        ],
        &["name", "provider"],
    )
}

fn runtime() -> Value {
    let hypothesis = object(
        "When the steady state is looked at",
        &[
            ("strategy", word("When", HypothesisStrategy::KNOWN)),
            ("frequency", reference("seconds")),
            ("minimum-evaluations", json!({"type": "integer", "minimum": 1})),
        ],
        &[],
    );
    let rollbacks = object(
        "When rollbacks are played",
        &[("strategy", word("When", RollbackStrategy::KNOWN))],
        &[],
    );
    let parts = [("hypothesis", hypothesis), ("rollbacks", rollbacks), ("python", any("Not read"))];
    object("How it is run, unless the command says otherwise", &parts, &[])
}

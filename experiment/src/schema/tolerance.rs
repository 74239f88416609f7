//! Tolerances.

use serde_json::{Value, json};

use super::{any, by_type, object, reference, text, typed};

pub(super) fn tolerance() -> Value {
    let target = || ("target", text("Which part of the value"));
    let name = || ("name", any("Not read"));
    let range = object(
        "A number between two",
        &[
            typed("range"),
            name(),
            target(),
            ("range", json!({"type": "array", "minItems": 2, "maxItems": 2})),
        ],
        &["type", "range"],
    );
    let regex = object(
        "Text in which a pattern is found",
        &[typed("regex"), name(), target(), ("pattern", json!({"type": "string"}))],
        &["type", "pattern"],
    );
    let path = object(
        "What a path finds",
        &[
            typed("jsonpath"),
            name(),
            target(),
            ("path", text("It begins with $")),
            ("expect", any("The one value that it must find, or a list of all")),
            ("count", any("How many values it must find")),
        ],
        &["type", "path"],
    );
    let kinds =
        [("range", range), ("regex", regex), ("jsonpath", path), ("probe", reference("step"))];
    let plain = json!({"type": ["boolean", "integer", "string", "array"]});
    by_type(&kinds, plain)
}

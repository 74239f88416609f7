//! What the value of a probe must be.

use serde_json::{Number, Value};

use super::{Activity, Template};

/// What the value of a probe must be. [`crate::tolerance::judge`] compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Tolerance {
    /// Equal, where 1 is true and 0 is false.
    Bool(bool),
    /// Equal, or the `status` of a value that has one.
    Integer(Number),
    /// The same text.
    Text(Template),
    /// One of these; between them if there are two, unless the value has a `status`.
    List(Vec<Value>),
    /// A number, or text that is one, not below the first and not above the second.
    Range {
        /// The smallest.
        low: Number,
        /// The greatest.
        high: Number,
        /// Which part of the value.
        target: Option<String>,
    },
    /// Text in which a pattern is found.
    Regex {
        /// The pattern.
        pattern: Template,
        /// Which part of the value.
        target: Option<String>,
    },
    /// What a path finds in the value.
    JsonPath {
        /// The path.
        path: Template,
        /// Which part of the value.
        target: Option<String>,
        /// What it must find: one value, or a list of all of them.
        expect: Option<Value>,
        /// How many it must find.
        count: Option<Value>,
    },
    /// A probe that is given the value, and must answer with something true.
    Probe(Box<Activity>),
}

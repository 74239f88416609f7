//! Tolerances.

use serde_json::Number;

use super::activity;
use super::fields::{Fields, Reader};
use crate::document::{Node, Shape};
use crate::model::Tolerance;
use crate::problem::Fault;
use crate::tolerance::{path, pattern};

/// What a tolerance is written as.
const FORMS: &str = "true or false, a whole number, text, a list, or a mapping with a `type`";
/// What mappings among them say that they are.
const TYPES: &str = "`range`, `regex`, `jsonpath` or `probe`";

pub(super) fn tolerance(reader: &mut Reader, node: &Node, place: &str) -> Option<Tolerance> {
    match &node.shape {
        Shape::Bool(truth) => Some(Tolerance::Bool(*truth)),
        Shape::Text(text) => Some(Tolerance::Text(text.as_str().into())),
        Shape::List(list) => Some(Tolerance::List(list.iter().map(Node::value).collect())),
        Shape::Number(number) if !number.is_f64() => Some(Tolerance::Integer(number.clone())),
        Shape::Map(_) => typed(reader, node, place),
        Shape::Null | Shape::Number(_) => {
            reader.kind(node, place, FORMS);
            None
        }
    }
}

fn typed(reader: &mut Reader, node: &Node, place: &str) -> Option<Tolerance> {
    let mut fields = reader.fields(node, place)?;
    let named = fields.get("type").map(Node::value).unwrap_or_default();
    match named.as_str() {
        Some("probe") => {
            activity::activity(reader, node, place).map(Box::new).map(Tolerance::Probe)
        }
        Some("range") => range(reader, &mut fields),
        Some("regex") => regex(reader, &mut fields),
        Some("jsonpath") => json_path(reader, &mut fields),
        Some(_) | None => {
            match fields.get("type") {
                Some(node) => reader.kind(node, &fields.path("type"), TYPES),
                None => reader.lacks(&fields, "type", TYPES),
            }
            None
        }
    }
}

fn target(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<String> {
    // A name is told in no use of these forms, and stands in many files.
    fields.get("name");
    let node = fields.get("target").filter(|node| !node.is_empty())?;
    reader.text(node, &fields.path("target"))
}

fn range(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Tolerance> {
    let target = target(reader, fields);
    let range = fields.get("range");
    reader.close(fields);
    let bounds: Option<Vec<Number>> = match range.map(|node| &node.shape) {
        Some(Shape::List(list)) => list.iter().map(number).collect(),
        Some(_) | None => None,
    };
    match bounds.as_deref() {
        Some([low, high]) => {
            if let Some(node) = range.filter(|_| low.as_f64() > high.as_f64()) {
                let wanted = "two numbers, the smaller one first,";
                let fault = Fault::Kind { wanted, found: format!("{low} and {high}") };
                reader.lax(node.at, &fields.path("range"), fault);
            }
            Some(Tolerance::Range { low: low.clone(), high: high.clone(), target })
        }
        Some(_) | None => {
            match range {
                Some(node) => reader.kind(node, &fields.path("range"), "a list of two numbers"),
                None => reader.lacks(fields, "range", "a list of two numbers"),
            }
            None
        }
    }
}

/// A bound; a truth value is the number 1 or 0.
fn number(node: &Node) -> Option<Number> {
    match &node.shape {
        Shape::Number(number) => Some(number.clone()),
        Shape::Bool(truth) => Some(u8::from(*truth).into()),
        Shape::Null | Shape::Text(_) | Shape::List(_) | Shape::Map(_) => None,
    }
}

fn regex(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Tolerance> {
    let target = target(reader, fields);
    let node = fields.get("pattern");
    reader.close(fields);
    let Some(node) = node else {
        reader.lacks(fields, "pattern", "what is looked for, in the language of Python's patterns");
        return None;
    };
    let place = fields.path("pattern");
    let text = reader.text(node, &place)?;
    if let Err(error) = pattern::compile(&text) {
        let (found, reason) = (text.clone(), error.to_string());
        let fault = Fault::Unreadable { wanted: "a pattern", found, reason };
        reader.error(node.at, &place, fault);
    }
    Some(Tolerance::Regex { pattern: text.into(), target })
}

fn json_path(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Tolerance> {
    let target = target(reader, fields);
    let node = fields.get("path");
    let expect = fields.get("expect").map(Node::value);
    let count = fields.get("count").filter(|node| node.shape != Shape::Null).map(Node::value);
    reader.close(fields);
    let Some(node) = node else {
        reader.lacks(fields, "path", "a JSON path");
        return None;
    };
    let place = fields.path("path");
    let text = reader.text(node, &place)?;
    if let Err(error) = path::Path::read(text.trim()) {
        let (found, reason) = (text.clone(), error.to_string());
        let fault = Fault::Unreadable { wanted: "a JSON path", found, reason };
        reader.error(node.at, &place, fault);
    }
    Some(Tolerance::JsonPath { path: text.into(), target, expect, count })
}

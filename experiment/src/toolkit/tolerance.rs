//! Tolerances.

use serde_json::Number;

use super::activity;
use super::fields::{Fields, Reader};
use crate::document::{Node, Shape};
use crate::model::Tolerance;
use crate::problem::Fault;
use crate::substitution::wording;
use crate::tolerance::{path, pattern};

pub(super) fn tolerance(reader: &mut Reader, node: &Node, place: &str) -> Option<Tolerance> {
    match &node.shape {
        Shape::Bool(truth) => Some(Tolerance::Bool(*truth)),
        Shape::Text(text) => Some(Tolerance::Text(text.as_str().into())),
        Shape::List(list) => Some(Tolerance::List(list.iter().map(Node::value).collect())),
        Shape::Number(number) if !number.is_f64() => Some(Tolerance::Integer(number.clone())),
        Shape::Map(_) => typed(reader, node, place),
        Shape::Null | Shape::Number(_) => {
            reader.error(node.at, place, Fault::Tolerance);
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
            reader.error(node.at, place, Fault::ToleranceType(wording(&named)));
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
            Some(Tolerance::Range { low: low.clone(), high: high.clone(), target })
        }
        Some(_) | None => {
            let at = range.map_or(fields.at(), |node| node.at);
            reader.error(at, &fields.path("range"), Fault::Range);
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
        reader.error(fields.at(), fields.place(), Fault::Missing("pattern"));
        return None;
    };
    let place = fields.path("pattern");
    let text = reader.text(node, &place)?;
    if let Err(error) = pattern::compile(&text) {
        let fault = Fault::Pattern { pattern: text.clone(), reason: error.to_string() };
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
        reader.error(fields.at(), fields.place(), Fault::Missing("path"));
        return None;
    };
    let place = fields.path("path");
    let text = reader.text(node, &place)?;
    if let Err(error) = path::Path::read(text.trim()) {
        let fault = Fault::Path { path: text.clone(), reason: error.to_string() };
        reader.error(node.at, &place, fault);
    }
    Some(Tolerance::JsonPath { path: text.into(), target, expect, count })
}

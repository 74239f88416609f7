//! Controls.

use serde_json::Value;

use super::fields::{Reader, write_path};
use super::invocation;
use crate::document::Node;
use crate::model::{Automatic, Control, ControlProvider, ControlUse, Side};
use crate::problem::Fault;

/// The controls of the experiment, which others may name.
pub(super) fn declared(reader: &mut Reader, node: &Node) -> Vec<Control> {
    let mut controls = Vec::new();
    for (index, node) in reader.list(node, "controls").iter().enumerate() {
        controls.extend(control(reader, node, &write_path("controls", index)));
    }
    controls
}

/// The controls of a part.
pub(super) fn used(reader: &mut Reader, node: &Node, place: &str) -> Vec<ControlUse> {
    let mut uses = Vec::new();
    for (index, node) in reader.list(node, place).iter().enumerate() {
        let place = write_path(place, index);
        let Some(mut fields) = reader.fields(node, &place) else { continue };
        let Some(reference) = fields.get("ref") else {
            uses.extend(control(reader, node, &place).map(ControlUse::Own));
            continue;
        };
        reader.close(&fields);
        let Some(name) = reader.text(reference, &fields.path("ref")) else { continue };
        if !reader.knows_control(&name) {
            reader.lax(reference.at, &place, Fault::NoControl(name.clone()));
        }
        uses.push(ControlUse::Named(name));
    }
    uses
}

fn control(reader: &mut Reader, node: &Node, place: &str) -> Option<Control> {
    of(reader, None, node, place)
}

/// A control whose name stands before it.
pub(super) fn named(reader: &mut Reader, name: &str, node: &Node, place: &str) -> Option<Control> {
    of(reader, Some(name), node, place)
}

fn of(reader: &mut Reader, given: Option<&str>, node: &Node, place: &str) -> Option<Control> {
    let mut fields = reader.fields(node, place)?;
    let name = fields.get("name");
    let provider = fields.get("provider");
    let scope = fields.get("scope");
    let automatic = fields.get("automatic");
    reader.close(&fields);
    let name = match name.filter(|node| !node.is_empty()) {
        _ if given.is_some() => given.map(str::to_owned),
        Some(node) => reader.text(node, &fields.path("name")),
        None => {
            reader.lacks(&fields, "name", "text that says what the control is called");
            None
        }
    };
    let side = scope.filter(|node| !node.is_empty()).and_then(|node| {
        let side = match node.value().as_str() {
            Some("before") => Some(Side::Before),
            Some("after") => Some(Side::After),
            Some(_) | None => None,
        };
        if side.is_none() {
            reader.kind(node, &fields.path("scope"), "`before` or `after`");
        }
        side
    });
    let automatic =
        automatic.and_then(|node| reader.flag(node, &fields.path("automatic"))).unwrap_or(true);
    let provider = match provider {
        Some(node) => self::provider(reader, node, &fields.path("provider")),
        None => {
            reader.lacks(&fields, "provider", "a mapping that says who performs the control");
            None
        }
    };
    let automatic = if automatic { Automatic::Everywhere } else { Automatic::WhereNamed };
    Some(Control { name: name?, provider: provider?, side, automatic })
}

fn provider(reader: &mut Reader, node: &Node, place: &str) -> Option<ControlProvider> {
    let mut fields = reader.fields(node, place)?;
    let named = fields.get("type").map(Node::value);
    match named.as_ref().and_then(Value::as_str) {
        Some("process") => invocation::process(reader, &mut fields).map(ControlProvider::Process),
        Some("python") => {
            let module = fields.get("module");
            let arguments = fields.get("arguments");
            // Both are given to functions by the original, which looks at neither in a control.
            fields.get("secrets");
            fields.get("func");
            reader.close(&fields);
            let Some(module) = module.filter(|node| !node.is_empty()) else {
                reader.lacks(&fields, "module", "the Python module, by its path");
                return None;
            };
            let module = reader.text(module, &fields.path("module"))?;
            let arguments = match arguments.map(Node::value) {
                Some(Value::Object(map)) => map,
                Some(_) | None => serde_json::Map::new(),
            };
            Some(ControlProvider::Python { module, arguments })
        }
        Some(_) | None => {
            let wanted = "`python` or `process`";
            match fields.get("type") {
                Some(node) => reader.kind(node, &fields.path("type"), wanted),
                None => reader.lacks(&fields, "type", wanted),
            }
            None
        }
    }
}

//! Configuration and secrets.

use super::activity;
use super::fields::{Fields, Reader};
use crate::document::{Entry, Node, Shape};
use crate::model::{SecretSource, Setting};
use crate::problem::Fault;
use crate::redaction;

pub(super) fn configuration(reader: &mut Reader, node: &Node) -> Vec<(String, Setting)> {
    let mut settings = Vec::new();
    for entry in entries(reader, node, "configuration") {
        let place = format!("configuration.{}", entry.key);
        if let Some(setting) = setting(reader, &entry.value, &place) {
            settings.push((entry.key.clone(), setting));
        }
    }
    settings
}

fn entries<'n>(reader: &mut Reader, node: &'n Node, place: &str) -> &'n [Entry] {
    if node.shape == Shape::Null {
        return &[];
    }
    let Some(fields) = reader.fields(node, place) else { return &[] };
    for (index, entry) in fields.entries().iter().enumerate() {
        if fields.entries()[..index].iter().any(|earlier| earlier.key == entry.key) {
            reader.lax(entry.at, place, Fault::Twice(entry.key.clone()));
        }
    }
    fields.entries()
}

/// What a mapping with a `type` says it is.
fn kind(node: &Node) -> Option<&str> {
    let Shape::Map(entries) = &node.shape else { return None };
    match &entries.iter().rev().find(|entry| entry.key == "type")?.value.shape {
        Shape::Text(text) => Some(text),
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::List(_) | Shape::Map(_) => None,
    }
}

fn setting(reader: &mut Reader, node: &Node, place: &str) -> Option<Setting> {
    match kind(node) {
        Some("env") => {
            let mut fields = reader.fields(node, place)?;
            fields.get("type");
            let key = key(reader, &mut fields);
            let default = fields.get("default").map(Node::value);
            let kind = reader.word(&mut fields, "env_var_type").unwrap_or_default();
            reader.close(&fields);
            Some(Setting::Env { key: key?, default, kind })
        }
        Some("probe") => activity::activity(reader, node, place).map(Box::new).map(Setting::Probe),
        Some(_) | None => Some(Setting::Value(node.value())),
    }
}

fn key(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<String> {
    match fields.get("key") {
        Some(node) => reader.text(node, &fields.path("key")),
        None => {
            reader.lacks(fields, "key", "the name of a variable of the environment");
            None
        }
    }
}

pub(super) fn secrets(reader: &mut Reader, node: &Node) -> Vec<(String, SecretSource)> {
    group(reader, node, "secrets")
}

fn group(reader: &mut Reader, node: &Node, place: &str) -> Vec<(String, SecretSource)> {
    let mut group = Vec::new();
    for entry in entries(reader, node, place) {
        let place = format!("{place}.{}", entry.key);
        if let Some(secret) = secret(reader, &entry.value, &place) {
            group.push((entry.key.clone(), secret));
        }
    }
    group
}

fn secret(reader: &mut Reader, node: &Node, place: &str) -> Option<SecretSource> {
    if !matches!(node.shape, Shape::Map(_)) {
        let secret = node.value();
        if redaction::is_short(&secret) {
            reader.warn(node.at, place, Fault::ShortSecret);
        }
        return Some(SecretSource::Inline(secret));
    }
    match kind(node) {
        Some("env") => {
            let mut fields = reader.fields(node, place)?;
            fields.get("type");
            let key = key(reader, &mut fields);
            reader.close(&fields);
            Some(SecretSource::Env { key: key? })
        }
        Some("vault") => {
            let mut fields = reader.fields(node, place)?;
            fields.get("type");
            let path = fields.get("path");
            let key = fields.get("key");
            reader.close(&fields);
            let Some(path) = path else {
                // The original finds nothing there, and goes on.
                let wanted = "where the secret stands in Vault";
                reader.lax(node.at, place, Fault::Lacks { key: "path", wanted });
                return Some(SecretSource::Group(Vec::new()));
            };
            let path = reader.text(path, &fields.path("path"));
            let key = key.and_then(|node| reader.text(node, &fields.path("key")));
            Some(SecretSource::Vault { path: path?, key })
        }
        Some(_) | None => Some(SecretSource::Group(group(reader, node, place))),
    }
}

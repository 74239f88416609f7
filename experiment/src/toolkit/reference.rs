//! `{"ref": name}`: an activity that stands elsewhere.

use super::fields::Reader;
use crate::document::{Node, Shape};
use crate::problem::Fault;

/// The activity that a reference leads to.
pub(super) fn follow(reader: &mut Reader, node: &Node, place: &str) -> Option<Node> {
    let mut visited: Vec<String> = Vec::new();
    let mut standing = node.clone();
    while let Some(reference) = reference(&standing) {
        let name = match &reference.shape {
            Shape::Text(name) => Some(name).filter(|name| !name.is_empty()),
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::List(_) | Shape::Map(_) => {
                None
            }
        };
        let Some(name) = name else {
            reader.kind(&reference, place, "the name of a step");
            return None;
        };
        if visited.contains(name) {
            reader.error(node.at, place, Fault::Circle(visited));
            return None;
        }
        visited.push(name.clone());
        let Some(next) = reader.named(name) else {
            reader.error(reference.at, place, Fault::Reference(name.clone()));
            return None;
        };
        standing = next.clone();
    }
    Some(standing)
}

/// What an activity refers to; `null` refers to nothing.
pub(super) fn reference(node: &Node) -> Option<Node> {
    let Shape::Map(entries) = &node.shape else { return None };
    let entry = entries.iter().rev().find(|entry| entry.key == "ref")?;
    (entry.value.shape != Shape::Null).then(|| entry.value.clone())
}

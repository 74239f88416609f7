//! Files of the Chaos Toolkit, with what we add to their language.
//!
//! All problems of a file are told at once, each with its place, with what was expected and what was found. What it reads over (unknown keys, keys that stand twice) is an error in
//! [`Manner::Strict`] and a warning in [`Manner::Compat`].

mod activity;
mod control;
mod fields;
mod invocation;
mod names;
mod reference;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod tolerance;

use serde_json::Value;

use crate::document::{Node, Notation, Shape};
use crate::model::{Experiment, Hypothesis, Runtime};
use crate::problem::{Fault, Problem, Severity};
use fields::{Fields, Reader, write_path};
pub use settings::{Settings, settings};

/// How exact a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Whatever is not understood is an error.
    Strict,
    /// What the original reads over is only told.
    Compat,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The experiment; `None` if there is an error among the problems.
    pub experiment: Option<Experiment>,
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

/// Reads a file.
#[must_use]
pub fn read(text: &str, notation: Notation, manner: Manner) -> Reading {
    match Node::read(text, notation) {
        Ok(node) => read_node(&node, manner),
        Err(error) => {
            let problem = Problem {
                at: error.at,
                place: String::new(),
                fault: error.fault.into(),
                severity: Severity::Error,
            };
            Reading { experiment: None, problems: vec![problem] }
        }
    }
}

/// Reads a file that was parsed already.
#[must_use]
pub fn read_node(node: &Node, manner: Manner) -> Reading {
    let mut reader = Reader::new(manner);
    let experiment = experiment(&mut reader, node);
    let mut problems = reader.into_problems();
    problems.sort_by_key(|problem| problem.at);
    let whole = problems.iter().all(|problem| problem.severity < Severity::Error);
    Reading { experiment: experiment.filter(|_| whole), problems }
}

fn experiment(reader: &mut Reader, node: &Node) -> Option<Experiment> {
    if node.is_empty() {
        reader.error(node.at, "", Fault::Empty);
        return None;
    }
    let mut fields = reader.fields(node, "")?;
    let title = required(reader, &mut fields, "title", TITLE);
    let description =
        required(reader, &mut fields, "description", "text that says what it is about");
    let tags = fields.get("tags");
    let contributions = fields.get("contributions");
    let configuration = fields.get("configuration");
    let secrets = fields.get("secrets");
    let controls = fields.get("controls");
    let hypothesis = fields.get("steady-state-hypothesis");
    let method = fields.get("method");
    let rollbacks = fields.get("rollbacks");
    let runtime = fields.get("runtime");
    let extensions = fields.get("extensions");
    // Both are read over: the version since 2021, the other one because the command line sets it.
    fields.get("version");
    fields.get("dry");
    reader.close(&fields);

    reader.index(method, hypothesis);
    let mut experiment = Experiment {
        title: title.unwrap_or_default().into(),
        description: description.unwrap_or_default(),
        ..Experiment::default()
    };
    if let Some(node) = tags {
        experiment.tags = self::tags(reader, node);
    }
    if let Some(node) = contributions
        && reader.fields(node, "contributions").is_some()
        && let Value::Object(map) = node.value()
    {
        experiment.contributions = map;
    }
    if let Some(node) = extensions {
        experiment.extensions = self::extensions(reader, node);
    }
    experiment.configuration =
        configuration.map(|node| source::configuration(reader, node)).unwrap_or_default();
    experiment.secrets = secrets.map(|node| source::secrets(reader, node)).unwrap_or_default();
    experiment.controls = controls.map(|node| control::declared(reader, node)).unwrap_or_default();
    let names: Vec<String> =
        experiment.controls.iter().map(|control| control.name.clone()).collect();
    reader.know_controls(names);
    experiment.hypothesis =
        hypothesis.and_then(|node| self::hypothesis(reader, node, "steady-state-hypothesis"));
    match method.filter(|node| !matches!(node.shape, Shape::Null)) {
        Some(node) => experiment.method = activity::steps(reader, node, "method"),
        None => {
            let wanted = "a list of steps, which is empty where only the steady state is looked at";
            reader.error(node.at, "", Fault::Lacks { key: "method", wanted });
        }
    }
    if let Some(node) = rollbacks {
        experiment.rollbacks = activity::steps(reader, node, "rollbacks");
    }
    if let Some(node) = runtime {
        experiment.runtime = self::runtime(reader, node);
    }
    names::check(reader, node, experiment.runtime.hypothesis);
    if let Value::Object(map) = node.value() {
        experiment.written = Some(map);
    }
    Some(experiment)
}

/// Text that must be there, and not be empty.
fn required(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    key: &'static str,
    wanted: &'static str,
) -> Option<String> {
    let node = fields.get(key);
    reader.required(node, fields, key, wanted)
}

/// What a part is called.
const TITLE: &str = "text that says what it is called";

fn tags(reader: &mut Reader, node: &Node) -> Vec<String> {
    let mut tags = Vec::new();
    for (index, tag) in reader.list(node, "tags").iter().enumerate() {
        match tag.value().as_str().filter(|text| !text.is_empty()) {
            Some(text) => tags.push(text.to_owned()),
            None => reader.kind(tag, &write_path("tags", index), "text that is not empty"),
        }
    }
    tags
}

fn extensions(reader: &mut Reader, node: &Node) -> Vec<Value> {
    let mut extensions = Vec::new();
    for (index, extension) in reader.list(node, "extensions").iter().enumerate() {
        let value = extension.value();
        let named = value.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        if !named {
            let fault = Fault::Lacks { key: "name", wanted: TITLE };
            reader.error(extension.at, &write_path("extensions", index), fault);
        }
        extensions.push(value);
    }
    extensions
}

fn hypothesis(reader: &mut Reader, node: &Node, place: &str) -> Option<Hypothesis> {
    if matches!(node.shape, Shape::Null) {
        return None;
    }
    let mut fields = reader.fields(node, place)?;
    let title = required(reader, &mut fields, "title", TITLE);
    let probes = fields.get("probes");
    let controls = fields.get("controls");
    reader.close(&fields);
    let path = fields.path("probes");
    let probes = probes.map(|node| activity::steps(reader, node, &path)).unwrap_or_default();
    let controls = controls
        .map(|node| control::used(reader, node, &fields.path("controls")))
        .unwrap_or_default();
    Some(Hypothesis { title: title.unwrap_or_default(), probes, controls })
}

fn runtime(reader: &mut Reader, node: &Node) -> Runtime {
    let mut runtime = Runtime::default();
    let Some(mut fields) = reader.fields(node, "runtime") else { return runtime };
    let hypothesis = fields.get("hypothesis");
    let rollbacks = fields.get("rollbacks");
    // How the original starts itself anew with other packages: the interpreter here is the user's own.
    fields.get("python");
    reader.close(&fields);
    if let Some(mut fields) = hypothesis.and_then(|node| reader.fields(node, "runtime.hypothesis"))
    {
        runtime.hypothesis = reader.word(&mut fields, "strategy");
        runtime.frequency = reader.seconds(&mut fields, "frequency");
        runtime.evaluations = reader.count(&mut fields, "minimum-evaluations");
        reader.close(&fields);
    }
    if let Some(mut fields) = rollbacks.and_then(|node| reader.fields(node, "runtime.rollbacks")) {
        runtime.rollbacks = reader.word(&mut fields, "strategy");
        reader.close(&fields);
    }
    runtime
}

//! Settings of the original that matter to every run: `~/.chaostoolkit/settings.yaml`.

use super::control;
use super::fields::Reader;
use super::{Manner, runtime};
use crate::document::{Node, Notation, Shape};
use crate::model::{Control, Runtime};
use crate::problem::{Fault, Problem, Severity};

/// What settings say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Hooks of every run.
    pub controls: Vec<Control>,
    /// Strategies where neither the command line nor the experiment says them.
    pub runtime: Runtime,
    /// What is wrong with them, and what is not read.
    pub problems: Vec<Problem>,
}

/// Reads settings, which are YAML whatever they are called. An empty file says nothing.
#[must_use]
pub fn settings(text: &str) -> Settings {
    let node = match Node::read(text, Notation::Yaml) {
        Ok(node) => node,
        Err(error) => {
            let (at, fault) = (error.at, error.fault.into());
            let problem = Problem { at, place: String::new(), fault, severity: Severity::Error };
            return Settings { problems: vec![problem], ..Settings::default() };
        }
    };
    let mut reader = Reader::new(Manner::Compat);
    let mut settings = Settings::default();
    if node.shape != Shape::Null
        && let Some(mut fields) = reader.fields(&node, "")
    {
        if let Some(controls) = fields.get("controls").filter(|node| !node.is_empty()) {
            settings.controls = self::controls(&mut reader, controls);
        }
        if let Some(node) = fields.get("runtime").filter(|node| !node.is_empty()) {
            settings.runtime = runtime(&mut reader, node);
        }
        for entry in fields.entries() {
            if !["controls", "runtime"].contains(&entry.key.as_str()) {
                reader.warn(entry.at, &entry.key, Fault::NotRead);
            }
        }
    }
    settings.problems = reader.into_problems();
    settings.problems.sort_by_key(|problem| problem.at);
    settings
}

/// By name, each with its provider.
fn controls(reader: &mut Reader, node: &Node) -> Vec<Control> {
    let Some(fields) = reader.fields(node, "controls") else { return Vec::new() };
    let named = fields.entries().iter().filter_map(|entry| {
        control::named(reader, &entry.key, &entry.value, &write_key(&entry.key))
    });
    named.collect()
}

fn write_key(key: &str) -> String {
    format!("controls.{key}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ControlProvider, RollbackStrategy};

    #[test]
    fn hooks_and_strategies_are_read_and_the_rest_is_told() {
        let read = settings(
            "controls:\n  tell:\n    provider: {type: python, module: tellers}\n\
             runtime:\n  rollbacks: {strategy: always}\nnotifications:\n- {type: http, url: x}\n",
        );
        assert_eq!(read.controls.len(), 1);
        assert_eq!(read.controls[0].name, "tell");
        assert!(
            matches!(&read.controls[0].provider, ControlProvider::Python { module, .. } if module == "tellers")
        );
        assert_eq!(read.runtime.rollbacks, Some(RollbackStrategy::Always));
        let told: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["6:1: warning: notifications: nobody reads this here"]);
        assert_eq!(settings(""), Settings::default());
        assert_eq!(settings("a: [").problems[0].severity, Severity::Error);
        let wrong = settings("controls: {x: {}}");
        assert_eq!(wrong.problems[0].severity, Severity::Error);
    }
}

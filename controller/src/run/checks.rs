//! What is wrong with steps of ours, beyond what every experiment is checked for.

use experiment::document::{Entry, Node, Shape};
use experiment::model::{Reading, Verb};
use experiment::position::Position;
use experiment::problem::{Fault, Problem, Severity};
use experiment::tolerance::pattern;
use serde_json::{Map, Value};

use super::faults::{Wrong, check, is_template};
use super::reading::{LogsArguments, MetricArguments, arguments};
use crate::output::Output;
use crate::settings::Names;

/// How alike two words must be for one to be meant by the other.
const ALIKE: f64 = 0.8;
/// What `metric` takes.
const METRIC: &[&str] =
    &["url", "metric", "labels", "prometheus", "query", "combine", "since", "headers", "timeout"];
/// What `logs` takes.
const LOGS: &[&str] = &["file", "command", "pattern", "since", "timeout"];
/// What `heal` and `effect` take.
const OF_FAULT: &[&str] = &["fault"];

/// All that is wrong with the arguments of our steps.
pub(super) fn problems(experiment: &Node, names: &Names, output: Output) -> Vec<Problem> {
    let mut providers = Vec::new();
    walk(experiment, String::new(), &mut providers);
    let labels: Vec<String> = providers.iter().filter_map(|(node, _)| label(node)).collect();
    let mut checker = Checker { names, output, labels, found: Vec::new() };
    for (node, place) in providers {
        checker.provider(node, &place);
    }
    checker.found
}

/// Our providers, with their places. What is anybody's is nobody's step.
fn walk<'n>(node: &'n Node, place: String, found: &mut Vec<(&'n Node, String)>) {
    match &node.shape {
        Shape::List(list) => {
            for (index, node) in list.iter().enumerate() {
                walk(node, format!("{place}[{index}]"), found);
            }
        }
        Shape::Map(entries) => {
            for entry in entries {
                let key = entry.key.as_str();
                if key.starts_with("x-") || ["extensions", "contributions"].contains(&key) {
                    continue;
                }
                let dot = if place.is_empty() { "" } else { "." };
                let place = format!("{place}{dot}{key}");
                if key == "provider" && text(&entry.value, "type") == Some("schism") {
                    found.push((&entry.value, place));
                } else {
                    walk(&entry.value, place, found);
                }
            }
        }
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) => (),
    }
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    let Shape::Map(entries) = &node.shape else { return None };
    entries.iter().rev().find(|entry| entry.key == key)
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match &entry(node, key)?.value.shape {
        Shape::Text(text) => Some(text),
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::List(_) | Shape::Map(_) => None,
    }
}

fn verb(node: &Node) -> Option<Verb> {
    // A word that is none is told by whoever reads experiments.
    text(node, "action").or_else(|| text(node, "probe"))?.parse().ok()
}

/// What a fault is called.
fn label(node: &Node) -> Option<String> {
    let Some(Verb::Fault(_)) = verb(node) else { return None };
    text(node, "as").map(str::to_owned)
}

struct Checker<'c> {
    names: &'c Names,
    output: Output,
    labels: Vec<String>,
    found: Vec<Problem>,
}

impl Checker<'_> {
    fn tell(&mut self, at: Position, place: &str, fault: Fault) {
        let place = place.to_owned();
        self.found.push(Problem { at, place, fault, severity: Severity::Error });
    }

    fn provider(&mut self, node: &Node, place: &str) {
        let place = format!("{place}.arguments");
        let given = entry(node, "arguments").map(|entry| &entry.value);
        let at = given.map_or(node.at, |given| given.at);
        let values = match given.map(Node::value) {
            Some(Value::Object(values)) => values,
            // Whoever reads experiments tells what is no mapping.
            Some(_) | None => Map::new(),
        };
        match verb(node) {
            None => (),
            Some(Verb::Fault(verb)) => {
                for wrong in check(verb, &values, self.names, self.output) {
                    match wrong {
                        Wrong::Unknown(key, known) => {
                            let known: Vec<&str> = known.iter().map(String::as_str).collect();
                            self.unknown(given, &place, &key, &known);
                        }
                        Wrong::Missing(key) => self.tell(at, &place, Fault::Missing(key)),
                        Wrong::Value(key, why) => {
                            self.value(given, (at, &place), key.as_deref(), why)
                        }
                    }
                }
            }
            Some(Verb::Heal | Verb::Read(Reading::Effect)) => {
                self.keys(given, &place, &values, OF_FAULT);
                match values.get("fault") {
                    None => self.tell(at, &place, Fault::Missing("fault")),
                    Some(Value::String(label)) => self.of_fault(given, (at, &place), label),
                    Some(_) => {
                        let why = "the name of a fault is text".to_owned();
                        self.value(given, (at, &place), Some("fault"), why);
                    }
                }
            }
            Some(Verb::Read(Reading::Metric)) => {
                self.keys(given, &place, &values, METRIC);
                let read = arguments::<MetricArguments>(&known(&values, METRIC));
                let trouble = read.map_or_else(Some, |read| read.trouble());
                if let Some(why) = trouble {
                    self.value(given, (at, &place), None, why);
                }
            }
            Some(Verb::Read(Reading::Logs)) => {
                self.keys(given, &place, &values, LOGS);
                let read = arguments::<LogsArguments>(&known(&values, LOGS));
                match read {
                    Err(why) => self.value(given, (at, &place), None, why),
                    Ok(read) => {
                        if let Some(why) = read.trouble() {
                            self.value(given, (at, &place), None, why);
                        }
                        if !read.pattern.contains("${")
                            && let Err(error) = pattern::compile(&read.pattern)
                        {
                            let why = format!("this is no pattern: {error}");
                            self.value(given, (at, &place), Some("pattern"), why);
                        }
                    }
                }
            }
        }
    }

    /// A fault that no step puts in. Steps that are repeated number theirs.
    fn of_fault(&mut self, given: Option<&Node>, at: (Position, &str), label: &str) {
        let numbered = |known: &String| {
            let rest = label.strip_prefix(known.as_str()).and_then(|rest| rest.strip_prefix('-'));
            rest.is_some_and(|rest| rest.parse::<u64>().is_ok())
        };
        let unnamed = "fault".to_owned();
        let is_known = label.contains("${")
            || self.labels.iter().any(|known| known.contains("${") || known == label)
            || self.labels.iter().chain([&unnamed]).any(numbered);
        if is_known {
            return;
        }
        let known: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let meant = similar(label, &known)
            .map_or_else(String::new, |meant| format!(": did you mean `{meant}`?"));
        let why = format!("no step puts in a fault called `{label}`{meant}");
        self.value(given, at, Some("fault"), why);
    }

    fn keys(
        &mut self,
        given: Option<&Node>,
        place: &str,
        values: &Map<String, Value>,
        known: &[&str],
    ) {
        for key in values.keys().filter(|key| !known.contains(&key.as_str())) {
            self.unknown(given, place, key, known);
        }
    }

    fn unknown(&mut self, given: Option<&Node>, place: &str, key: &str, known: &[&str]) {
        let at = given.and_then(|given| entry(given, key)).map(|entry| entry.at);
        let similar = similar(key, known);
        let fault = Fault::Unknown { key: key.to_owned(), similar };
        self.tell(at.unwrap_or(Position::START), place, fault);
    }

    fn value(
        &mut self,
        given: Option<&Node>,
        (at, place): (Position, &str),
        key: Option<&str>,
        why: String,
    ) {
        let value = key.and_then(|key| entry(given?, key));
        let at = value.map_or(at, |entry| entry.value.at);
        let place = match value {
            Some(entry) => format!("{place}.{}", entry.key),
            None => place.to_owned(),
        };
        self.tell(at, &place, Fault::Argument(why));
    }
}

/// What is known, without numbers and words that values are put into.
fn known(values: &Map<String, Value>, known: &[&str]) -> Map<String, Value> {
    let is_open = |key: &str, value: &Value| {
        ["timeout", "combine", "labels", "headers"].contains(&key) && is_template(value)
    };
    let kept =
        values.iter().filter(|(key, value)| known.contains(&key.as_str()) && !is_open(key, value));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn similar(word: &str, known: &[&str]) -> Option<String> {
    let word = word.to_lowercase().replace('_', "-");
    let alike = known.iter().map(|other| (strsim::jaro_winkler(&word, other), *other));
    let best = alike.filter(|(alike, _)| *alike >= ALIKE);
    best.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, other)| other.to_owned())
}

#[cfg(test)]
mod tests {
    use experiment::document::Notation;

    use super::*;

    fn told(text: &str) -> Vec<String> {
        let node = Node::read(text, Notation::Yaml).unwrap();
        let problems = problems(&node, &Names::default(), Output::new(None));
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_wrong_with_our_steps_is_told_with_its_place() {
        let text = "\
method:
- provider: {type: schism, action: cut, as: the-cut, arguments: {from: netns:a, too: netns:b}}
- provider: {type: schism, action: heal, arguments: {fault: the-cat}}
- provider:
    type: schism
    action: skew
    arguments:
      target: pid:7
      offset: soon
      for: 5
- provider: {type: schism, probe: metric, arguments: {url: '${u}', metrc: up}}
- provider: {type: schism, probe: logs, arguments: {file: /a, pattern: '(', since: '${outputs.l}'}}
- provider: {type: process, path: cut, arguments: {from: x}}
extensions: [{name: e, provider: {type: schism, action: cut}}]
";
        let all = told(text);
        for expected in [
            "2:81: method[0].provider.arguments: unknown key `too`: did you mean `to`?",
            "method[0].provider.arguments: `to` is missing",
            "3:61: method[1].provider.arguments.fault: no step puts in a fault called `the-cat`: did you mean `the-cut`?",
            "9:15: method[2].provider.arguments.offset: ",
            "10:12: method[2].provider.arguments.for: ",
            "unknown key `metrc`: did you mean `metric`?",
            "`metric` is missing",
            "method[4].provider.arguments.pattern: this is no pattern",
        ] {
            assert!(all.iter().any(|line| line.contains(expected)), "{expected}: {all:#?}");
        }
        assert_eq!(all.len(), 8, "{all:#?}");
    }

    #[test]
    fn what_makes_sense_passes() {
        let text = "\
method:
- provider: {type: schism, action: cut, as: c, arguments: {from: '${a}', to: netns:b, for: 5s}}
- provider: {type: schism, action: freeze, arguments: {target: pid:7}}
- provider: {type: schism, action: heal, arguments: {fault: c-2}}
- provider: {type: schism, probe: effect, arguments: {fault: fault-1}}
- provider: {type: schism, probe: effect, arguments: {fault: '${f}'}}
- provider: {type: schism, probe: metric, arguments: {url: u, metric: m, labels: {a: b}, timeout: '${t}'}}
- provider: {type: schism, probe: metric, arguments: {prometheus: u, query: q, since: '${outputs.b}'}}
- provider: {type: schism, probe: logs, arguments: {command: [a, b], pattern: x}}
";
        assert_eq!(told(text), Vec::<String>::new());
    }
}

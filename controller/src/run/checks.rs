//! What is wrong with steps of ours, beyond what every experiment is checked for.

use experiment::document::{Entry, Node, Shape, shown};
use experiment::model::{Reading, Verb};
use experiment::position::Position;
use experiment::problem::{Fault, Problem, Severity};
use experiment::tolerance::pattern;
use fault::{Scheme, Selector, SelectorError};
use serde_json::{Map, Value};

use super::disrupting;
use super::faults::{Form, Wrong, check, is_template};
use super::logs;
use super::presence::Missing;
use super::reading::{Arguments, Expected, LogsArguments, MetricArguments, arguments};
use super::zeebe::{self, Behind};
use crate::cli::Named;
use crate::output::Output;
use crate::plugin::pods::Meant;
use crate::settings::Names;

/// How alike two words must be for one to be meant by the other.
const ALIKE: f64 = 0.8;
/// What `heal` and `effect` take.
const OF_FAULT: &[&str] = &["fault"];
/// What that is.
const OF_STEP: &str = "what a fault's step calls it with `as`";

/// All that is wrong with the arguments of our steps.
pub(crate) fn problems(
    experiment: &Node,
    (names, form): (&Names, &Form),
    output: Output,
) -> Vec<Problem> {
    let mut providers = Vec::new();
    walk(experiment, String::new(), &mut providers);
    let labels: Vec<String> = providers.iter().filter_map(|(node, _)| label(node)).collect();
    let mut checker = Checker { names, form, output, labels, found: Vec::new() };
    for (node, place) in providers {
        checker.provider(node, &place);
    }
    visit(experiment, String::new(), &mut |node, place| {
        if place.ends_with(".for-each") {
            checker.instances(node, place);
        }
    });
    checker.found
}

/// Where something stands that is missing: in the first step that is called and known so.
pub(super) fn place(experiment: &Node, missing: &Missing) -> Option<(Position, String)> {
    let (known, value) = &missing.known;
    let mut found = None;
    visit(experiment, String::new(), &mut |node, place| {
        let Some(provider) = entry(node, "provider").map(|entry| &entry.value) else { return };
        let is_it = text(node, "name") == Some(missing.step.as_str())
            && text(provider, known) == Some(value.as_str());
        if is_it {
            let (at, key) = match entry(provider, missing.key) {
                Some(entry) => (entry.value.at, format!(".{}", missing.key)),
                None => (provider.at, String::new()),
            };
            found.get_or_insert_with(|| (at, format!("{place}.provider{key}")));
        }
    });
    found
}

/// Our providers, with their places.
fn walk<'n>(node: &'n Node, place: String, found: &mut Vec<(&'n Node, String)>) {
    visit(node, place, &mut |node, place| {
        let is_own = place.ends_with(".provider") && text(node, "type") == Some("schism");
        if is_own {
            found.push((node, place.to_owned()));
        }
    });
}

/// All values, with their places. What is anybody's is nobody's step.
fn visit<'n>(node: &'n Node, place: String, look: &mut impl FnMut(&'n Node, &str)) {
    look(node, &place);
    match &node.shape {
        Shape::List(list) => {
            for (index, node) in list.iter().enumerate() {
                visit(node, format!("{place}[{index}]"), look);
            }
        }
        Shape::Map(entries) => {
            for entry in entries {
                let key = entry.key.as_str();
                if key.starts_with("x-") || ["extensions", "contributions"].contains(&key) {
                    continue;
                }
                let dot = if place.is_empty() { "" } else { "." };
                visit(&entry.value, format!("{place}{dot}{key}"), look);
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
    form: &'c Form,
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
                let wrong = check(verb, &values, (self.names, self.form), self.output);
                let wanted = match self.form {
                    Form::Command => "a target, such as `netns:db0` or `etcd:leader`",
                    Form::Object { .. } => "a target, such as `pod/web-0` or `etcd:leader`",
                };
                self.typed(given, (at, &place), wrong, wanted);
            }
            Some(Verb::Zeebe) => {
                let wrong = zeebe::check(Behind::Zeebe, &values);
                self.typed(given, (at, &place), wrong, Behind::Zeebe.wanted());
            }
            Some(Verb::Pod) => {
                let wrong = disrupting::check(Behind::Pod, &values, (self.names, self.form));
                self.typed(given, (at, &place), wrong, Behind::Pod.wanted());
            }
            Some(Verb::Node) => {
                let wrong = disrupting::check(Behind::Node, &values, (self.names, self.form));
                self.typed(given, (at, &place), wrong, Behind::Node.wanted());
            }
            Some(Verb::Heal | Verb::Read(Reading::Effect)) => {
                self.keys(given, &place, &values, OF_FAULT);
                match values.get("fault") {
                    None => self.tell(at, &place, Fault::Lacks { key: "fault", wanted: OF_STEP }),
                    Some(Value::String(label)) => self.of_fault(given, (at, &place), label),
                    Some(other) => {
                        let why = format!("{OF_STEP} was expected here, found {}", shown(other));
                        self.value(given, (at, &place), Some("fault"), why);
                    }
                }
            }
            Some(Verb::Read(Reading::Metric)) => {
                let asked = self.probe::<MetricArguments>(given, (at, &place), &values);
                if let Some(why) = asked.and_then(|asked| asked.trouble()) {
                    self.value(given, (at, &place), None, why);
                }
                self.address(given, (at, &place), "url");
                self.address(given, (at, &place), "prometheus");
                if let Some(since) = values.get("since").filter(|since| !is_template(since))
                    && !since.is_number()
                    && !since.is_null()
                {
                    let why = format!("a number was expected here, found {}", shown(since));
                    self.value(given, (at, &place), Some("since"), why);
                }
            }
            Some(Verb::Read(Reading::Logs)) => {
                if values.get("pattern").is_none_or(Value::is_null) {
                    let wanted = "what is looked for, in the language of Python's patterns";
                    self.tell(at, &place, Fault::Lacks { key: "pattern", wanted });
                    return self.keys(given, &place, &values, &names_of::<LogsArguments>());
                }
                let asked = self.probe::<LogsArguments>(given, (at, &place), &values);
                let Some(asked) = asked else { return };
                if let Some(why) = asked.trouble() {
                    self.value(given, (at, &place), None, why);
                }
                if let Some(target) = &asked.target
                    && let Err(why) = self.writing(target)
                {
                    self.value(given, (at, &place), Some("target"), why);
                }
                if let Some(Value::String(since)) = &asked.since
                    && since != logs::NOW
                    && !since.contains("${")
                {
                    let wanted = "`now`, or what an earlier `logs` has found";
                    let why = format!("{wanted}, was expected here, found `{since}`");
                    self.value(given, (at, &place), Some("since"), why);
                }
                if !asked.pattern.contains("${")
                    && let Err(error) = pattern::compile(&asked.pattern)
                {
                    let found = &asked.pattern;
                    let why = format!("a pattern was expected here, found `{found}`: {error}");
                    self.value(given, (at, &place), Some("pattern"), why);
                }
            }
        }
    }

    /// What a text names, as far as that is known here: what values are put into it is not known yet, and pods are
    /// found by the API server.
    fn meant(&self, target: &str) -> Result<Vec<Selector>, String> {
        match self.form {
            Form::Object { .. } | Form::Command if target.contains("${") => return Ok(Vec::new()),
            Form::Object { namespace } => {
                return Meant::of(target, namespace).map(|_| Vec::new());
            }
            Form::Command => {}
        }
        let named: Named = target.parse().map_err(|error: SelectorError| error.kind.to_string())?;
        named.stands_for(self.names).map_err(|error| error.to_string())
    }

    /// The same of a target whose processes write.
    fn writing(&self, target: &str) -> Result<(), String> {
        let selectors = self.meant(target)?;
        let mut addresses = selectors.iter().filter(|one| matches!(one.scheme, Scheme::Addr(_)));
        let address = addresses.next();
        address.map_or(Ok(()), |one| Err(format!("{one} is an address, and writes nothing")))
    }

    /// What a step is repeated for.
    fn instances(&mut self, node: &Node, place: &str) {
        let Some(Entry { value, .. }) = entry(node, "targets") else { return };
        // Whoever reads experiments tells what is no text.
        let Shape::Text(target) = &value.shape else { return };
        if let Err(why) = self.meant(target) {
            self.tell(value.at, &format!("{place}.targets"), Fault::Argument(why));
        }
    }

    /// An address that is none of the web's.
    fn address(&mut self, given: Option<&Node>, at: (Position, &str), key: &'static str) {
        let Some(text) = given.and_then(|given| text(given, key)) else { return };
        let found = experiment::address::shown(text);
        let is_one = ["http://", "https://", "${", "$"].iter().any(|way| text.starts_with(way));
        if !is_one {
            let wanted = "an address that begins with http:// or https://";
            let why = format!("{wanted} was expected here, found `{found}`");
            return self.value(given, at, Some(key), why);
        }
        // What values are put into is known only when it is asked.
        if !text.contains('$')
            && let Err(error) = reqwest::Url::parse(text)
        {
            let why = format!("an address was expected here, found `{found}`: {error}");
            self.value(given, at, Some(key), why);
        }
    }

    /// What is wrong with arguments that a command line takes, too. `wanted` is what has to be there.
    fn typed(
        &mut self,
        given: Option<&Node>,
        (at, place): (Position, &str),
        wrong: Vec<Wrong>,
        wanted: &'static str,
    ) {
        for wrong in wrong {
            match wrong {
                Wrong::Unknown(key, known) => {
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    self.unknown(given, place, &key, &known);
                }
                Wrong::Missing(key) => self.tell(at, place, Fault::Lacks { key, wanted }),
                Wrong::Value(key, why) => self.value(given, (at, place), key.as_deref(), why),
            }
        }
    }

    /// The arguments of a probe, if each is what it should be.
    fn probe<T: Arguments>(
        &mut self,
        given: Option<&Node>,
        (at, place): (Position, &str),
        values: &Map<String, Value>,
    ) -> Option<T> {
        self.keys(given, place, values, &names_of::<T>());
        let known = known::<T>(values);
        let misfits = T::misfits(&known, shown);
        if misfits.is_empty() {
            let read = arguments(&known);
            return read.map_err(|why| self.value(given, (at, place), None, why)).ok();
        }
        for (name, why) in misfits {
            self.value(given, (at, place), Some(name), why);
        }
        None
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
        let meant = match (similar(label, &known), known.is_empty()) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, true) => "no step names a fault".to_owned(),
            (None, false) => format!("faults here are {}", known.join(", ")),
        };
        let why = format!("{OF_STEP} was expected here, found `{label}`: {meant}");
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
        let known = known.iter().map(ToString::to_string).collect();
        let fault = Fault::Unknown { key: key.to_owned(), similar, known };
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

fn names_of<T: Arguments>() -> Vec<&'static str> {
    T::KNOWN.iter().map(|(name, _)| *name).collect()
}

/// What is known. What values are put into is text; in the place of a list stands one of its words, and
/// everything else that is not known yet is left out.
fn known<T: Arguments>(values: &Map<String, Value>) -> Map<String, Value> {
    let kept = values.iter().filter_map(|(key, value)| {
        let (_, wanted) = T::KNOWN.iter().find(|(name, _)| name == key)?;
        let value = match (wanted, value) {
            (_, value) if !is_template(value) => value.clone(),
            (Expected::Text | Expected::Anything, value) => value.clone(),
            (Expected::Words, Value::String(_)) => Value::Array(vec![value.clone()]),
            (Expected::Words, value) => value.clone(),
            (Expected::Seconds | Expected::Texts | Expected::Mapping | Expected::Combine, _) => {
                return None;
            }
        };
        Some((key.clone(), value))
    });
    kept.collect()
}

/// Which of these is most like a word, in whatever case, if one is.
pub(in crate::run) fn similar(word: &str, known: &[&str]) -> Option<String> {
    let word = word.to_lowercase().replace('_', "-");
    let likeness = |other: &str| strsim::jaro_winkler(&word, &other.to_lowercase());
    let alike = known.iter().map(|other| (likeness(other), *other));
    let best = alike.filter(|(alike, _)| *alike >= ALIKE);
    best.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, other)| other.to_owned())
}

#[cfg(test)]
mod tests {
    use experiment::document::Notation;

    use super::*;

    fn told(text: &str) -> Vec<String> {
        let node = Node::read(text, Notation::Yaml).unwrap();
        let (names, form) = (Names::default(), Form::Command);
        let problems = problems(&node, (&names, &form), Output::new(None));
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
            "method[0].provider.arguments: `to` is missing: a target, such as",
            "3:61: method[1].provider.arguments.fault: what a fault's step calls it with `as` was expected here, found `the-cat`: did you mean `the-cut`?",
            "9:15: method[2].provider.arguments.offset: ",
            "10:12: method[2].provider.arguments.for: ",
            "unknown key `metrc`: did you mean `metric`?",
            "`metric` is missing",
            "method[4].provider.arguments.pattern: a pattern was expected here, found `(`: ",
        ] {
            assert!(all.iter().any(|line| line.contains(expected)), "{expected}: {all:#?}");
        }
        assert_eq!(all.len(), 8, "{all:#?}");
    }

    #[test]
    fn what_is_found_is_told_beside_what_was_expected() {
        for (provider, expected) in [
            (
                "action: cut, arguments: {from: a, to: 'netns:b', port: [1]}",
                "arguments.port: a single value was expected here, found a list",
            ),
            (
                "action: cut, arguments: {from: 'netns:a', to: ['netns:b']}",
                "arguments.to: a single value was expected here, found a list",
            ),
            (
                "action: cut, arguments: {from: 'netns:a', to: 'netns:b', both-ways: 'yes'}",
                "arguments.both-ways: true or false was expected here, found `yes`",
            ),
            (
                "action: cut, arguments: {from: 'netns:a', to: 'netns:b', for: {s: 1}}",
                "arguments.for: a single value was expected here, found a mapping",
            ),
            (
                "action: cut, arguments: {from: 'netns:a', to: 'netns:b', for: true}",
                "arguments.for: a single value was expected here, found `true`",
            ),
            (
                "action: skew, arguments: {target: 'pid:7', offset: 1h, clock: [realtime, {}]}",
                "arguments.clock: a single value, or a list of them, was expected here, found a list",
            ),
            (
                "action: cut, arguments: {from: 'netns:a', to: 'netns:b', for: soon}",
                "arguments.for: `soon`: ",
            ),
            (
                "action: cut, arguments: {from: 'netns:a', to: 'netns:b', mode: one}",
                "arguments.mode: one of packet, initiator was expected here, found `one`",
            ),
            (
                "probe: metric, arguments: {url: u, metric: m, timeout: soon}",
                "arguments.timeout: a number of seconds was expected here, found `soon`",
            ),
            (
                "probe: metric, arguments: {url: u, metric: m, combine: all}",
                "arguments.combine: one of sum, max, min, count was expected here, found `all`",
            ),
            (
                "probe: metric, arguments: {url: u, prometheus: p}",
                "either `url` or `prometheus` was expected here, found both",
            ),
            (
                "probe: logs, arguments: {command: ls, pattern: x}",
                "arguments.command: a list of words was expected here, found `ls`",
            ),
            (
                "probe: logs, arguments: {target: 'pid:x', pattern: x}",
                "arguments.target: a pid is a number",
            ),
            (
                "probe: logs, arguments: {target: 'pid:7', file: /x, pattern: x}",
                "either `file` or `target` was expected here, found both",
            ),
            (
                "probe: metric, arguments: {url: 'ftp://u/x', metric: m}",
                "arguments.url: an address that begins with http:// or https:// was expected here, found `ftp://u/x`",
            ),
            (
                "probe: logs, arguments: {target: 'addr:10.0.0.1', pattern: x}",
                "arguments.target: addr:10.0.0.1 is an address, and writes nothing",
            ),
            (
                "probe: metric, arguments: {url: 'http://', metric: m}",
                "arguments.url: an address was expected here, found `http://…`: empty host",
            ),
            (
                "probe: metric, arguments: {prometheus: 'http://u:70000', query: q}",
                "arguments.prometheus: an address was expected here, found `http://u:70000`: invalid port number",
            ),
            (
                "probe: metric, arguments: {url: 'http://u', metric: m, since: soon}",
                "arguments.since: a number was expected here, found `soon`",
            ),
            (
                "probe: logs, arguments: {file: /x, pattern: x, since: then}",
                "arguments.since: `now`, or what an earlier `logs` has found, was expected here",
            ),
            ("action: cut, arguments: {from: 'netns:a', to: 'netns:a'}", "both sides are netns:a"),
            ("probe: logs, arguments: {command: [ls]}", "`pattern` is missing: what is looked for"),
            ("action: zeebe", "`command` is missing: the words behind `schism zeebe`"),
            (
                "action: zeebe, arguments: {command: publish, partition: 1, tme-to-live: 1s}",
                "unknown key `tme-to-live`: did you mean `time-to-live`?",
            ),
            ("action: zeebe, arguments: {command: ban, instance: x}", "provider.arguments: `x`: "),
        ] {
            let all = told(&format!("method:\n- provider: {{type: schism, {provider}}}\n"));
            assert!(all.iter().any(|told| told.contains(expected)), "{provider}: {all:#?}");
        }
    }

    #[test]
    fn what_a_step_is_repeated_for_is_named_as_on_a_command_line() {
        let each = |targets: &str| {
            told(&format!(
                "method:\n- {{for-each: {{name: x, targets: {targets}}}, provider: {{type: process}}}}\n"
            ))
        };
        for targets in ["'all:etcd:member'", "'${group}'", "pid:7"] {
            assert_eq!(each(targets), Vec::<String>::new(), "{targets}");
        }
        for (targets, expected) in [
            ("'pid:x'", "method[0].for-each.targets: a pid is a number"),
            ("web", "method[0].for-each.targets: web is no selector, and schism.toml gives no"),
        ] {
            let all = each(targets);
            assert!(all.iter().any(|told| told.contains(expected)), "{targets}: {all:#?}");
        }
    }

    #[test]
    fn what_makes_sense_passes() {
        let text = "\
method:
- provider: {type: schism, action: cut, as: c, arguments: {from: '${a}', to: netns:b, for: 5s}}
- provider: {type: schism, action: freeze, arguments: {target: pid:7}}
- provider: {type: schism, probe: zeebe, arguments: {command: verify readiness, timeout: '${t}'}}
- provider: {type: schism, action: heal, arguments: {fault: c-2}}
- provider: {type: schism, probe: effect, arguments: {fault: fault-1}}
- provider: {type: schism, probe: effect, arguments: {fault: '${f}'}}
- provider: {type: schism, probe: metric, arguments: {url: 'http://u', metric: m, labels: {a: b}, timeout: '${t}'}}
- provider: {type: schism, probe: metric, arguments: {prometheus: 'http://u', query: q, since: '${outputs.b}'}}
- provider: {type: schism, probe: logs, arguments: {command: [a, b], pattern: x}}
- provider: {type: schism, probe: logs, arguments: {command: '${c}', pattern: '${p}'}}
- provider: {type: schism, probe: logs, arguments: {target: 'one:etcd:member', pattern: x, since: now}}
- provider: {type: schism, probe: logs, arguments: {target: '${t}', pattern: x}}
- provider: {type: schism, action: skew, arguments: {target: pid:7, offset: 1h, clock: [realtime]}}
";
        assert_eq!(told(text), Vec::<String>::new());
    }
}

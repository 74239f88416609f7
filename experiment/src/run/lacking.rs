//! Values that an experiment gives and that nobody knows when a step needs them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::{Experiment, HttpTimeout, ProcessArguments, Provider, SecretSource};
use crate::substitution::Scope;

/// A value that a step needs and that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lacking {
    /// A setting or a secret.
    #[error(
        "nobody has given `{0}`, which stands in its words as ${{{0}}}: it is not played with these"
    )]
    Value(String),
    /// What a step was to find.
    #[error("no step has found `${{{0}}}`, which stands in its words: it is not played with these")]
    Output(String),
}

/// The names of all values that an experiment gives.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    settings: BTreeSet<String>,
    /// A secret is known by its own name, and not by that of its group.
    groups: Vec<(String, BTreeSet<String>)>,
}

impl Given {
    pub(super) fn by(experiment: &Experiment) -> Self {
        let settings = experiment.configuration.iter().map(|(name, _)| name.clone()).collect();
        let group = |source: &SecretSource| match source {
            SecretSource::Group(group) => group.iter().map(|(name, _)| name.clone()).collect(),
            SecretSource::Inline(Value::Object(group)) => group.keys().cloned().collect(),
            SecretSource::Inline(_) | SecretSource::Env { .. } | SecretSource::Vault { .. } => {
                BTreeSet::new()
            }
        };
        let groups = experiment.secrets.iter().map(|(name, source)| (name.clone(), group(source)));
        Self { settings, groups: groups.collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.settings.contains(name) || self.groups.iter().any(|(_, group)| group.contains(name))
    }

    /// Whether a secret is not known in the first group that gives it: another one's would stand for it.
    fn is_another(&self, name: &str, scope: &Scope) -> bool {
        let first = self.groups.iter().find(|(_, group)| group.contains(name));
        let is_known =
            |group: &str| scope.secrets().get(group).is_some_and(|group| group.get(name).is_some());
        !self.settings.contains(name) && first.is_some_and(|(group, _)| !is_known(group))
    }
}

/// The first value that whoever finishes a run has not got, and without which a step would be another one although
/// none of its words is unknown: a secret that another group has, too, or one of a group that a function is given.
pub(super) fn missed(provider: &Provider, scope: &Scope, given: &Given) -> Option<Lacking> {
    let mut found = None;
    each_text(provider, &mut |text| {
        if found.is_none() {
            let another = Scope::names(text).into_iter().find(|name| given.is_another(name, scope));
            found = another.map(str::to_owned);
        }
    });
    if let (None, Provider::Python(python)) = (&found, provider) {
        let groups = given.groups.iter().filter(|(group, _)| python.secrets.contains(group));
        let mut missing = groups.flat_map(|(group, names)| {
            let known = scope.secrets().get(group);
            names.iter().filter(move |name| known.and_then(|known| known.get(*name)).is_none())
        });
        found = missing.next().cloned();
    }
    found.map(Lacking::Value)
}

/// The first value that stands in the words of a provider, that the experiment gives, and that is not known.
pub(super) fn lacking(provider: &Provider, scope: &Scope, given: &Given) -> Option<Lacking> {
    let mut found = None;
    each_text(provider, &mut |text| {
        if found.is_none() {
            found = scope.unknown(text).into_iter().find_map(|name| of(name, given));
        }
    });
    found
}

/// Looks at all texts of a provider into which values are put.
fn each_text(provider: &Provider, look: &mut impl FnMut(&str)) {
    match provider {
        Provider::Process(process) => match &process.arguments {
            ProcessArguments::Words(words) => words.iter().for_each(|word| texts(word, look)),
            ProcessArguments::Line(line) => look(line.as_str()),
            ProcessArguments::Pairs(pairs) => pairs.values().for_each(|word| texts(word, look)),
        },
        Provider::Http(http) => {
            look(http.url.as_str());
            http.headers.values().chain(&http.arguments).for_each(|value| texts(value, look));
            if let Some(HttpTimeout::Value(template)) = &http.timeout {
                look(template.as_str());
            }
        }
        Provider::Python(python) => {
            python.arguments.values().for_each(|value| texts(value, look));
        }
        Provider::Schism(call) => call.arguments.values().for_each(|value| texts(value, look)),
    }
}

fn of(name: &str, given: &Given) -> Option<Lacking> {
    match name.strip_prefix("outputs.") {
        Some(_) => Some(Lacking::Output(name.to_owned())),
        None => given.has(name).then(|| Lacking::Value(name.to_owned())),
    }
}

fn texts(value: &Value, look: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(list) => list.iter().for_each(|value| texts(value, look)),
        Value::Object(map) => map.values().for_each(|value| texts(value, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::document::Notation;
    use crate::toolkit::{self, Manner};

    #[test]
    fn only_what_the_experiment_gives_is_missed() {
        let file = json!({
            "title": "t", "description": "d", "method": [],
            "configuration": {"known": 1, "lost": 2},
            "secrets": {"g": {"e": {"type": "env", "key": "E"}}, "in": {"i": "x"}},
        });
        let read = toolkit::read(&file.to_string(), Notation::Json, Manner::Strict);
        let given = Given::by(&read.experiment.unwrap());
        let scope = Scope::new(json!({"known": 1}).as_object().unwrap().clone(), Map::new());
        let of = |words: Value| {
            let words = words.as_array().unwrap().clone();
            let arguments = ProcessArguments::Words(words);
            let process = crate::model::Process { path: "p".into(), arguments, timeout: None };
            lacking(&Provider::Process(process), &scope, &given)
        };
        // A shell's own variables are no business of ours.
        assert_eq!(of(json!(["${known}", "$HOME ${HOME} $$lost", 5])), None);
        for (words, name) in [
            (json!(["a ${lost}"]), "lost"),
            (json!(["$e"]), "e"),
            (json!([{"deep": ["${i}"]}]), "i"),
        ] {
            assert_eq!(of(words), Some(Lacking::Value(name.to_owned())));
        }
        let output = of(json!(["${outputs.found.stdout}"])).unwrap();
        assert_eq!(output, Lacking::Output("outputs.found.stdout".to_owned()));
        assert!(output.to_string().contains("`${outputs.found.stdout}`"), "{output}");
    }

    #[test]
    fn no_secret_of_another_group_stands_for_one_that_is_missing() {
        let env = |key: &str| json!({"type": "env", "key": key});
        let file = json!({
            "title": "t", "description": "d", "method": [],
            "secrets": {"one": {"a": env("A"), "b": env("B")}, "two": {"a": env("C"), "c": env("D")}},
        });
        let read = toolkit::read(&file.to_string(), Notation::Json, Manner::Strict);
        let given = Given::by(&read.experiment.unwrap());
        let secrets = json!({"one": {"b": 1}, "two": {"a": 2, "c": 3}});
        let scope = Scope::new(Map::new(), secrets.as_object().unwrap().clone());
        let words = |word: &str| {
            let arguments = ProcessArguments::Words(vec![json!(word)]);
            let process = crate::model::Process { path: "p".into(), arguments, timeout: None };
            missed(&Provider::Process(process), &scope, &given)
        };
        assert_eq!(words("-p${a}"), Some(Lacking::Value("a".to_owned())));
        assert_eq!(words("${b} ${c} $HOME"), None);
        let function = |group: &str| {
            missed(
                &Provider::Python(crate::model::Python {
                    module: "m".into(),
                    func: "f".into(),
                    arguments: Map::new(),
                    secrets: vec![group.to_owned()],
                    timeout: None,
                }),
                &scope,
                &given,
            )
        };
        assert_eq!(function("one"), Some(Lacking::Value("a".to_owned())));
        assert_eq!(function("two"), None);
    }
}

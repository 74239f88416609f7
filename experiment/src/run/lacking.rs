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
pub(super) struct Given(BTreeSet<String>);

impl Given {
    pub(super) fn by(experiment: &Experiment) -> Self {
        let settings = experiment.configuration.iter().map(|(name, _)| name.clone());
        // A secret is known by its own name, and not by that of its group.
        let secrets = experiment.secrets.iter().flat_map(|(_, source)| match source {
            SecretSource::Group(group) => group.iter().map(|(name, _)| name.clone()).collect(),
            SecretSource::Inline(Value::Object(group)) => group.keys().cloned().collect(),
            SecretSource::Inline(_) | SecretSource::Env { .. } | SecretSource::Vault { .. } => {
                Vec::new()
            }
        });
        Self(settings.chain(secrets).collect())
    }
}

/// The first value that stands in the words of a provider, that the experiment gives, and that is not known.
pub(super) fn lacking(provider: &Provider, scope: &Scope, given: &Given) -> Option<Lacking> {
    let mut found = None;
    let mut look = |text: &str| {
        if found.is_none() {
            found = scope.unknown(text).into_iter().find_map(|name| of(name, given));
        }
    };
    match provider {
        Provider::Process(process) => match &process.arguments {
            ProcessArguments::Words(words) => words.iter().for_each(|word| texts(word, &mut look)),
            ProcessArguments::Line(line) => look(line.as_str()),
            ProcessArguments::Pairs(pairs) => {
                pairs.values().for_each(|word| texts(word, &mut look))
            }
        },
        Provider::Http(http) => {
            look(http.url.as_str());
            http.headers.values().chain(&http.arguments).for_each(|value| texts(value, &mut look));
            if let Some(HttpTimeout::Value(template)) = &http.timeout {
                look(template.as_str());
            }
        }
        Provider::Python(python) => {
            python.arguments.values().for_each(|value| texts(value, &mut look));
        }
        Provider::Schism(call) => call.arguments.values().for_each(|value| texts(value, &mut look)),
    }
    found
}

fn of(name: &str, given: &Given) -> Option<Lacking> {
    match name.strip_prefix("outputs.") {
        Some(_) => Some(Lacking::Output(name.to_owned())),
        None => given.0.contains(name).then(|| Lacking::Value(name.to_owned())),
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
}

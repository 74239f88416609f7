//! Values that stood in an experiment itself: whatever is kept of it does not have those that were secret,
//! and whoever finishes its run is asked for them.

use serde_json::{Map, Value};

use crate::configuration::Setup;
use crate::environment::Environment;
use crate::model::{Activity, Experiment, SecretSource, Setting};
use crate::redaction::HIDDEN;
use crate::variables::Variables;

/// A value that was hidden when its experiment was kept, and that nobody gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Of the configuration.
    #[error(
        "the setting `{0}` was written with a secret in it, which is not kept: give it with --var, or under \
         `configuration` of a --var-file"
    )]
    Setting(String),
    /// A secret.
    #[error(
        "the secret `{secret}` was written into the experiment itself, and is not kept: give `{whole}` under \
         `secrets` of a --var-file"
    )]
    Secret {
        /// Which, with the groups that it is in.
        secret: String,
        /// What of the secrets a variable stands for.
        whole: String,
    },
}

/// Has variables stand for what is hidden in an experiment that was kept. Of a group they may give a part: the rest
/// comes from where it came from. What they have given is taken out of them, since they would stand for whole groups.
///
/// All values that are hidden, and that no variable gives: [`forget`] and [`forget_secrets`] take them out.
#[must_use]
pub fn restore(
    experiment: &mut Experiment,
    variables: &mut Variables,
    environment: &Environment,
) -> Vec<Lost> {
    let mut lost = Vec::new();
    for (name, setting) in &experiment.configuration {
        // Variables count more than what stands in the experiment anyway.
        if !variables.configuration.contains_key(name) && is_lost(setting, environment) {
            lost.push(Lost::Setting(name.clone()));
        }
    }
    for (name, source) in &mut experiment.secrets {
        if let Some(given) = variables.secrets.get(name).filter(|value| !value.is_null()) {
            fill(source, given);
        }
        let mut hidden = Vec::new();
        collect(name, source, &mut hidden);
        let whole = |secret| Lost::Secret { secret, whole: name.clone() };
        lost.extend(hidden.into_iter().map(whole));
    }
    variables.secrets.retain(|name, _| experiment.secrets.iter().all(|(own, _)| own != name));
    lost
}

/// Takes settings out whose values are lost: who needs one finds that nobody has given it.
pub fn forget(lost: &[Lost], settings: &mut Vec<(String, Setup)>) {
    settings.retain(|(name, _)| {
        lost.iter().all(|lost| !matches!(lost, Lost::Setting(setting) if setting == name))
    });
}

/// The same of secrets, in their groups.
pub fn forget_secrets(secrets: &mut Map<String, Value>) {
    secrets.retain(|_, value| match value {
        Value::Object(group) => {
            forget_secrets(group);
            true
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            !is_in(&value.to_string())
        }
    });
}

/// Whether a secret stood in the own words of a step of an experiment that was kept: it cannot be played from it.
#[must_use]
pub fn is_unplayable(step: &Activity) -> bool {
    step.written.as_ref().is_some_and(|written| written.values().any(|one| is_in(&one.to_string())))
}

/// What rollbacks of an experiment are called, by their places.
#[must_use]
pub fn names(kept: &Map<String, Value>, places: &[usize]) -> Vec<String> {
    let steps = kept.get("rollbacks");
    let named = |place: &usize| {
        let name = steps.and_then(|steps| steps.get(*place)).and_then(|step| step.get("name"));
        name.and_then(Value::as_str).map_or_else(|| format!("#{place}"), str::to_owned)
    };
    places.iter().map(named).collect()
}

fn is_in(text: &str) -> bool {
    text.contains(HIDDEN)
}

fn is_lost(setting: &Setting, environment: &Environment) -> bool {
    match setting {
        Setting::Value(value) => is_in(&value.to_string()),
        Setting::Env { key, default, .. } => {
            environment.get(key).is_none()
                && default.as_ref().is_some_and(|default| is_in(&default.to_string()))
        }
        Setting::Probe(probe) => {
            let written = probe.written.clone().unwrap_or_else(|| probe.rendered());
            is_in(&Value::Object(written).to_string())
        }
    }
}

/// Puts what was given in the place of where it came from.
fn fill(source: &mut SecretSource, given: &Value) {
    let (SecretSource::Group(group), Value::Object(given)) = (&mut *source, given) else {
        *source = SecretSource::Inline(given.clone());
        return;
    };
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        match group.iter_mut().find(|(own, _)| own == name) {
            Some((_, source)) => fill(source, value),
            None => group.push((name.clone(), SecretSource::Inline(value.clone()))),
        }
    }
}

fn collect(name: &str, source: &SecretSource, hidden: &mut Vec<String>) {
    match source {
        SecretSource::Inline(value) if is_in(&value.to_string()) => hidden.push(name.to_owned()),
        SecretSource::Group(group) => {
            for (inner, source) in group {
                collect(&format!("{name}.{inner}"), source, hidden);
            }
        }
        SecretSource::Inline(_) | SecretSource::Env { .. } | SecretSource::Vault { .. } => (),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::document::Notation;
    use crate::toolkit::{self, Manner};

    fn kept() -> Experiment {
        let kept = json!({
            "title": "t", "description": "d", "method": [],
            "configuration": {
                "plain": 1, "url": format!("https://u:{HIDDEN}@h"), "given": HIDDEN,
                "defaulted": {"type": "env", "key": "D", "default": HIDDEN},
            },
            "secrets": {
                "token": HIDDEN,
                "group": {"a": HIDDEN, "e": {"type": "env", "key": "E"}},
                "other": {"e": {"type": "env", "key": "E"}},
            },
        });
        let reading = toolkit::read(&kept.to_string(), Notation::Json, Manner::Compat);
        reading.experiment.unwrap_or_else(|| panic!("{:?}", reading.problems))
    }

    #[test]
    fn what_is_hidden_is_missing_by_its_name_until_it_is_given() {
        let mut experiment = kept();
        let mut variables = Variables::default();
        variables.configuration.insert("given".to_owned(), json!("g"));
        let environment: Environment = [("D".to_owned(), "d".to_owned())].into_iter().collect();
        let lost = restore(&mut experiment, &mut variables, &Environment::default());
        let secret = |secret: &str, whole: &str| Lost::Secret {
            secret: secret.to_owned(),
            whole: whole.to_owned(),
        };
        let setting = |name: &str| Lost::Setting(name.to_owned());
        assert_eq!(
            lost,
            [
                setting("url"),
                setting("defaulted"),
                secret("token", "token"),
                secret("group.a", "group")
            ]
        );
        // The rest is known without them.
        let none = Environment::default();
        let own = &experiment.configuration;
        let (mut settings, _) = crate::configuration::known(own, &variables.configuration, &none);
        forget(&lost, &mut settings);
        let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["plain", "given"]);
        let (mut secrets, missing) =
            crate::secrets::known(&experiment.secrets, &Map::new(), &none, &BTreeMap::new());
        forget_secrets(&mut secrets);
        assert_eq!(Value::Object(secrets), json!({"group": {}, "other": {}}));
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let told =
            "the secret `group.e` takes the variable `E` of the environment, which is not set";
        assert_eq!((missing.len(), missing[0].as_str()), (2, told));
        variables.configuration.insert("url".to_owned(), json!("u"));
        variables.secrets.insert("token".to_owned(), json!("t"));
        variables.secrets.insert("group".to_owned(), json!({"a": "b"}));
        assert_eq!(restore(&mut experiment, &mut variables, &environment), []);
        let environment: Environment = [("E".to_owned(), "e".to_owned())].into_iter().collect();
        let secrets = crate::secrets::load(
            &experiment.secrets,
            &variables.secrets,
            &environment,
            &BTreeMap::new(),
        );
        assert_eq!(
            Value::Object(secrets.unwrap()),
            json!({"token": "t", "group": {"a": "b", "e": "e"}, "other": {"e": "e"}})
        );
    }

    #[test]
    fn rollbacks_are_called_by_their_names_and_otherwise_by_their_places() {
        let kept = json!({"rollbacks": [{"name": "a"}, {"name": "b", "x": [HIDDEN]}, {}]});
        assert_eq!(names(kept.as_object().unwrap(), &[1, 2]), ["b", "#2"]);
    }
}

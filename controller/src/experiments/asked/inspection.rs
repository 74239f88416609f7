//! What stands in an experiment that matters for where it is run. Pure.

use experiment::model::{Activity, Call, Experiment, Provider, Reading, Setting, Tolerance, Verb};
use serde_json::{Map, Value};

/// What of an experiment a controller must not perform, and in which step; `None` where it may perform all of it.
pub(super) fn foreign(experiment: &Experiment) -> Option<String> {
    let step = activities(experiment).find_map(|step| {
        let what = performs(&step.provider)?;
        Some(format!("step `{}` is {what}", step.name))
    });
    let hypothesis = experiment.hypothesis.iter().flat_map(|hypothesis| &hypothesis.controls);
    let hooks = activities(experiment).flat_map(|step| &step.controls).chain(hypothesis);
    let is_hooked = !experiment.controls.is_empty() || hooks.count() > 0;
    let hook = is_hooked.then(|| "a control is a program or a function of Python".to_owned());
    let secret = experiment.secrets.first();
    let secret = secret
        .map(|(name, _)| format!("the secret `{name}` is for a program, function or request"));
    step.or(hook).or(secret)
}

/// Whether what targets write is looked at.
pub(super) fn reads_logs(experiment: &Experiment) -> bool {
    activities(experiment).any(|step| match &step.provider {
        Provider::Schism(call) => call.verb == Verb::Read(Reading::Logs),
        Provider::Process(_) | Provider::Http(_) | Provider::Python(_) => false,
    })
}

/// What a provider is that a controller must not be.
fn performs(provider: &Provider) -> Option<&'static str> {
    match provider {
        Provider::Process(_) => Some("a program"),
        Provider::Http(_) => Some("a request"),
        Provider::Python(_) => Some("a function of Python"),
        Provider::Schism(call) => match call.verb {
            Verb::Fault(_) | Verb::Heal | Verb::Read(Reading::Effect) => None,
            Verb::Read(Reading::Logs) if is_of_target(call) => None,
            Verb::Read(Reading::Logs) => Some("a look at a file, or at what a program says"),
            Verb::Read(Reading::Metric) => Some("a request for a metric"),
            Verb::Zeebe => Some("a request to Zeebe"),
            // They take other rights than faults, and whoever writes an object need not have them.
            Verb::Pod => Some("a removal of pods"),
            Verb::Node => Some("a change of a node"),
        },
    }
}

fn is_of_target(call: &Call) -> bool {
    call.arguments.get("target").is_some_and(|target| !target.is_null())
}

/// All steps, and the probes by which settings are determined and values compared.
fn activities(experiment: &Experiment) -> impl Iterator<Item = &Activity> {
    let settings = experiment.configuration.iter().filter_map(|(_, setting)| match setting {
        Setting::Probe(probe) => Some(&**probe),
        Setting::Value(_) | Setting::Env { .. } => None,
    });
    let probes = experiment.hypothesis.iter().flat_map(|hypothesis| &hypothesis.probes);
    let steps = settings.chain(probes).chain(&experiment.method).chain(&experiment.rollbacks);
    steps.flat_map(with_tolerances)
}

fn with_tolerances(step: &Activity) -> Vec<&Activity> {
    let mut all = vec![step];
    for tolerance in step.tolerance.iter().chain(&step.until) {
        if let Tolerance::Probe(probe) = tolerance {
            all.extend(with_tolerances(probe));
        }
    }
    all
}

/// The name of the first secret that is written into an experiment itself, before it is known whether it is one.
pub(super) fn inline_secret(written: &Map<String, Value>) -> Option<&str> {
    let secrets = written.get("secrets")?;
    match secrets {
        Value::Object(all) => {
            all.iter().find(|(_, secret)| is_inline(secret)).map(|(name, _)| name.as_str())
        }
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Some("secrets"),
    }
}

/// Whether a secret says what it is, and not where it comes from.
fn is_inline(secret: &Value) -> bool {
    match secret {
        Value::Object(map) => {
            let from = map.get("type").and_then(Value::as_str);
            !matches!(from, Some("env" | "vault")) && map.values().any(is_inline)
        }
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => true,
    }
}

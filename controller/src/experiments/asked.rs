//! From an object to the run that it asks for. Pure.

mod inspection;

use experiment::configuration;
use experiment::document::{Node, Notation};
use experiment::environment::Environment;
use experiment::journal::Host;
use experiment::line::Asked;
use experiment::model::{Experiment, Runtime};
use experiment::problem::{Problem, Severity};
use experiment::run::{Beginning, Terms, Verdicts};
use experiment::timestamp::Timestamp;
use experiment::toolkit::{self, Manner, Reading};
use serde_json::{Map, Value};

use super::resource::{Kind, Object};
use crate::failure::Failure;
use crate::objects::asked::{self, PLACES};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::run::checks;
use crate::run::faults::Form;
use crate::settings::Names;

/// How many of the things that are wrong are told.
const TOLD: usize = 3;

/// The run that an object asks for, which the controller performs itself.
///
/// # Errors
/// It makes no sense, names what objects of its kind may not, or has something performed that a controller must not.
pub(super) fn asked(kind: Kind, object: &Object) -> Result<Asked, Failure> {
    let attempted = format!("cannot run what {} asks for", object.place(kind));
    let wrong = |reason: String| Failure::new(Outcome::WrongUsage, attempted.clone(), reason);
    let experiment = read(kind, object).map_err(wrong)?;
    if let Some(foreign) = inspection::foreign(&experiment) {
        let hint = "job in its spec says with which image and service account it runs instead";
        return Err(
            wrong(format!("{foreign}, and the controller performs none for an object")).hint(hint)
        );
    }
    if inspection::reads_logs(&experiment) && object.spec.reads_logs != Some(true) {
        let reason =
            "it looks at what pods write, which takes readsLogs: true in its spec".to_owned();
        return Err(wrong(reason));
    }
    let (nothing, environment) = (Map::new(), Environment::default());
    let settings = configuration::load(&experiment.configuration, &nothing, &environment);
    let settings = settings.map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        wrong(format!("{}: what a controller runs has no environment", errors.join("; ")))
    })?;
    let terms = Terms { seed: object.seed(), ..Terms::new(Verdicts::Strict) };
    let none = Runtime::default();
    let beginning = Beginning {
        terms: terms.decided(&none, &experiment.runtime, &none),
        experiment: experiment.into(),
        settings,
        secrets: Map::new(),
        // Whoever begins it says these.
        identity: 0,
        host: Host::default(),
        started: Timestamp::from_micros(0),
    };
    Asked::of(&beginning).map_err(|error| wrong(error.to_string()))
}

/// Makes sure that an object has an experiment without secrets in it, whoever performs that.
///
/// # Errors
/// It has none.
pub(super) fn legible(object: &Object) -> Result<(), String> {
    let mut reading = reading(object)?;
    reading.problems.retain(|problem| problem.severity == Severity::Error);
    reading.experiment.map(drop).ok_or_else(|| told(&reading.problems))
}

fn reading(object: &Object) -> Result<Reading, String> {
    let written = &object.spec.experiment;
    // What is told of anything else could have one in it.
    if let Some(secret) = inspection::inline_secret(written) {
        return Err(format!(
            "the secret `{secret}` stands in the object itself, where everybody reads it who may read the object"
        ));
    }
    let text = Value::Object(written.clone()).to_string();
    Ok(toolkit::read(&text, Notation::Json, Manner::Strict))
}

/// The experiment of an object, if nothing is wrong with it.
fn read(kind: Kind, object: &Object) -> Result<Experiment, String> {
    let reading = reading(object)?;
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let meant = meant(kind, namespace, &Value::Object(object.spec.experiment.clone()))?;
    let mut problems = reading.problems;
    // Our steps say targets as their objects do.
    if let Ok(node) = Node::read(&meant.to_string(), Notation::Json) {
        problems.extend(checks::problems(
            &node,
            (&Names::default(), &Form::Command),
            Output::new(None),
        ));
    }
    problems.retain(|problem| problem.severity == Severity::Error);
    match reading.experiment {
        Some(experiment) if problems.is_empty() => Ok(experiment),
        Some(_) | None => Err(told(&problems)),
    }
}

/// All that is wrong, as far as it is told: where it stands in its file nobody knows who wrote an object.
fn told(problems: &[Problem]) -> String {
    let one = |problem: &Problem| match problem.place.as_str() {
        "" => problem.fault.to_string(),
        place => format!("{place}: {}", problem.fault),
    };
    let mut all: Vec<String> = problems.iter().take(TOLD).map(one).collect();
    if let Some(more @ 1..) = problems.len().checked_sub(TOLD) {
        all.push(format!("and {more} more"));
    }
    all.join("; ")
}

/// The same where every target is said as a command line has it.
fn meant(kind: Kind, namespace: &str, written: &Value) -> Result<Value, String> {
    Ok(match written {
        Value::Array(list) => {
            list.iter().map(|one| meant(kind, namespace, one)).collect::<Result<_, _>>()?
        }
        Value::Object(map) => {
            let mut all = Map::new();
            for (key, value) in map {
                let value = match (key.as_str(), value) {
                    ("arguments", Value::Object(given)) if is_ours(map) => {
                        Value::Object(places(kind, namespace, given, &PLACES_OF_STEPS)?)
                    }
                    ("for-each", Value::Object(given)) => {
                        Value::Object(places(kind, namespace, given, &["targets"])?)
                    }
                    (_, value) => meant(kind, namespace, value)?,
                };
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => written.clone(),
    })
}

/// Whether a provider is this system itself, whose steps name targets.
fn is_ours(provider: &Map<String, Value>) -> bool {
    provider.get("type").and_then(Value::as_str) == Some("schism")
}

/// Where its steps do.
const PLACES_OF_STEPS: [&str; 4] = [PLACES[0], PLACES[1], PLACES[2], "around"];

fn places(
    kind: Kind,
    namespace: &str,
    given: &Map<String, Value>,
    places: &[&str],
) -> Result<Map<String, Value>, String> {
    let mut meant = given.clone();
    for (key, value) in &mut meant {
        // What values are put into is known when its turn comes.
        let text = value.as_str().filter(|text| !text.contains("${"));
        if let Some(text) = text.filter(|_| places.contains(&key.as_str())) {
            *value = Value::String(match kind {
                Kind::Experiment => asked::in_namespace(namespace, text, OTHER)?,
                Kind::ClusterExperiment => asked::anywhere(text, OTHER)?,
            });
        }
    }
    Ok(meant)
}

/// Which objects may name anything.
const OTHER: &str = Kind::ClusterExperiment.word();

//! What goes over a line between who decides a run and who performs its steps, as JSON.
//!
//! The one who decides may be another process on another machine: it is told what to run and with which
//! values ([`Asked`]), and asks for each step that it does not perform itself ([`Order`]). What is kept of a
//! run for later is [`Kept`], which has neither secrets nor values in it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::configuration::{self, Setup};
use crate::document::Notation;
use crate::environment::Environment;
use crate::journal::Host;
use crate::model::{Call, Experiment, Provider, Reading, Setting, Verb};
use crate::redaction::{Confidential, HIDDEN, Redaction};
use crate::restoration;
use crate::run::invocation::Invocation;
use crate::run::{Beginning, CallId, Hook, Perform, Terms, Verdicts};
use crate::timestamp::Timestamp;
use crate::toolkit::{self, Manner};

/// Settings by which Vault is asked. They are no secrets of the experiment, and nobody may see them.
const CREDENTIALS: [&str; 2] = ["vault_token", "vault_role_secret"];

/// What came over a line makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is not what was to come.
    #[error("what came over the line cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It is no experiment, by this version.
    #[error("the experiment cannot be read: {0}")]
    Experiment(String),
    /// A setting has no value.
    #[error("the setting `{0}` has no value")]
    Setting(String),
    /// It was built, and nobody wrote it down.
    #[error("the experiment was not written")]
    Unwritten,
}

/// A run that somebody else is to decide. It holds secrets, and is not shown.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    experiment: Map<String, Value>,
    terms: Terms,
    /// Those that no probe determines.
    settings: Map<String, Value>,
    secrets: Map<String, Value>,
    #[serde(skip)]
    past: Past,
}

/// Whether an experiment was begun before: what its reader thought of it then does not matter any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Past {
    #[default]
    New,
    Begun,
}

/// What is kept of a run: no secrets, and no values that came from somewhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The experiment with its secrets hidden.
    pub experiment: Map<String, Value>,
    /// By which rules.
    pub terms: Terms,
}

/// Values for what was kept. They hold secrets, and are not shown.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Values {
    settings: Map<String, Value>,
    secrets: Map<String, Value>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Values {
    /// Of a run that could begin.
    #[must_use]
    pub fn of(beginning: &Beginning) -> Self {
        Self::new(&beginning.settings, beginning.secrets.clone())
    }

    /// Those that are known.
    #[must_use]
    pub fn new(settings: &[(String, Setup)], secrets: Map<String, Value>) -> Self {
        let known = settings.iter().filter_map(|(name, setup)| match setup {
            Setup::Known(value) => Some((name.clone(), value.clone())),
            Setup::Probe(_) => None,
        });
        Self { settings: known.collect(), secrets }
    }
}

impl Asked {
    /// A run that could begin here.
    ///
    /// # Errors
    /// Its experiment was built, not written.
    pub fn of(beginning: &Beginning) -> Result<Self, LineError> {
        let experiment = beginning.experiment.written.clone().ok_or(LineError::Unwritten)?;
        let kept = Kept { experiment, terms: beginning.terms.clone() };
        Ok(Self { past: Past::New, ..Self::again(kept, Values::of(beginning)) })
    }

    /// What was kept, with values for it.
    #[must_use]
    pub fn again(kept: Kept, values: Values) -> Self {
        let Kept { experiment, terms } = kept;
        let Values { settings, secrets } = values;
        Self { experiment, terms, settings, secrets, past: Past::Begun }
    }

    /// What may be kept of it.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let mut redaction = Redaction::new(&self.secrets);
        redaction.add(&self.credentials());
        Kept { experiment: redaction.experiment(&self.experiment), terms: self.terms.clone() }
    }

    /// Values beside the secrets that nobody may see.
    #[must_use]
    pub fn credentials(&self) -> Map<String, Value> {
        let is_one = |(name, _): &(&String, &Value)| CREDENTIALS.contains(&name.as_str());
        let found = self.settings.iter().filter(is_one);
        found.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Whether all of its values stand in what is kept.
    ///
    /// # Errors
    /// It is no experiment.
    pub fn is_plain(&self) -> Result<bool, LineError> {
        let experiment = read(&self.experiment, &self.terms, self.past)?;
        let is_written = |(name, setting): &(String, Setting)| match setting {
            Setting::Value(value) => self.settings.get(name) == Some(value),
            Setting::Env { .. } | Setting::Probe(_) => false,
        };
        let plain = experiment.configuration.iter().all(is_written);
        Ok(plain && self.secrets.is_empty() && self.credentials().is_empty())
    }

    /// The run, here. One that is finished does without values that nobody has given.
    ///
    /// # Errors
    /// It is no experiment, or values of a new one are missing.
    pub fn beginning(
        self,
        identity: u64,
        host: Host,
        started: Timestamp,
    ) -> Result<Beginning, LineError> {
        let experiment = read(&self.experiment, &self.terms, self.past)?;
        let mut settings = Vec::with_capacity(experiment.configuration.len());
        for (name, setting) in &experiment.configuration {
            let setup = match (self.settings.get(name), setting) {
                (Some(value), _) => Setup::Known(value.clone()),
                (None, Setting::Probe(probe))
                    if self.past == Past::Begun && restoration::is_unplayable(probe) =>
                {
                    continue;
                }
                (None, Setting::Probe(probe)) => Setup::Probe(probe.clone()),
                // Who needs it finds that nobody has given it.
                (None, Setting::Value(_) | Setting::Env { .. }) if self.past == Past::Begun => {
                    continue;
                }
                (None, Setting::Value(_) | Setting::Env { .. }) => {
                    return Err(LineError::Setting(name.clone()));
                }
            };
            settings.push((name.clone(), setup));
        }
        let (secrets, terms) = (self.secrets, self.terms);
        let experiment = experiment.into();
        Ok(Beginning { experiment, settings, secrets, terms, identity, host, started })
    }
}

impl Kept {
    /// The experiment, as far as it is still known.
    ///
    /// # Errors
    /// It is none, by this version.
    pub fn read(&self) -> Result<Experiment, LineError> {
        read(&self.experiment, &self.terms, Past::Begun)
    }

    /// Values for it, as far as it says them itself.
    ///
    /// # Errors
    /// It is no experiment, or a value has to come from somewhere else.
    pub fn values(&self) -> Result<Values, LineError> {
        let experiment = self.read()?;
        let (nothing, environment) = (Map::new(), Environment::default());
        let settings = configuration::load(&experiment.configuration, &nothing, &environment);
        let missing = |_| LineError::Setting("from the environment".to_owned());
        let known =
            settings.map_err(missing)?.into_iter().filter_map(|(name, setup)| match setup {
                Setup::Known(value) => Some((name, value)),
                Setup::Probe(_) => None,
            });
        Ok(Values { settings: known.collect(), secrets: Map::new() })
    }

    /// What rollbacks are called, by their place.
    #[must_use]
    pub fn rollbacks(&self, places: &[usize]) -> Vec<String> {
        restoration::names(&self.experiment, places)
    }

    /// Whether a controller performs any of some rollbacks itself, whatever it may execute.
    #[must_use]
    pub fn is_for_controllers(&self, places: &[usize]) -> bool {
        let Ok(experiment) = self.read() else { return false };
        let steps = experiment.rollbacks.iter().enumerate();
        let mut owed = steps.filter(|(place, _)| places.contains(place)).map(|(_, step)| step);
        owed.any(|step| {
            matches!(
                &step.provider,
                Provider::Schism(Call {
                    verb: Verb::Fault(_)
                        | Verb::Heal
                        | Verb::Read(Reading::Effect)
                        | Verb::Pod
                        | Verb::Node,
                    ..
                })
            )
        })
    }
}

fn read(written: &Map<String, Value>, terms: &Terms, past: Past) -> Result<Experiment, LineError> {
    let manner = match (terms.verdicts, past) {
        (Verdicts::Compat, _) | (Verdicts::Strict, Past::Begun) => Manner::Compat,
        (Verdicts::Strict, Past::New) => Manner::Strict,
    };
    let text = Value::Object(written.clone()).to_string();
    let reading = toolkit::read(&text, Notation::Json, manner);
    let wrong = || {
        let problems = reading.problems.iter().map(ToString::to_string);
        LineError::Experiment(problems.collect::<Vec<_>>().join("; "))
    };
    reading.experiment.ok_or_else(wrong)
}

/// Something to be performed by who is at the other end.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// A step.
    Step {
        /// What the answer names.
        call: CallId,
        /// What the step is called.
        name: String,
        /// What to do, with all values in place: secrets too.
        invocation: Box<Invocation>,
    },
    /// A hook.
    Hook(Box<Hook>),
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Order {
    /// A step that puts no fault in.
    #[must_use]
    pub fn step(perform: &Perform) -> Self {
        let invocation = Box::new(perform.invocation.reveal().clone());
        Self::Step { call: perform.call, name: perform.name.clone(), invocation }
    }

    /// What the answer names.
    #[must_use]
    pub fn call(&self) -> CallId {
        match self {
            Self::Step { call, .. } => *call,
            Self::Hook(hook) => hook.call,
        }
    }
}

/// What the answer to something names that cannot be read otherwise: a newer version asks for it.
#[must_use]
pub fn call(order: &[u8]) -> Option<CallId> {
    let order: Map<String, Value> = serde_json::from_slice(order).ok()?;
    let mut asked = order.values().filter_map(|asked| asked.get("call")?.as_u64());
    asked.next().map(CallId::from_number)
}

/// A step as who performs it takes it; a hook otherwise.
///
/// # Errors
/// It is a hook.
pub fn perform(order: Order) -> Result<Perform, Box<Hook>> {
    match order {
        Order::Step { call, name, invocation } => {
            Ok(Perform { call, name, invocation: Confidential::new(*invocation), fault: None })
        }
        Order::Hook(hook) => Err(hook),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Automatic, Control, ControlProvider, Side};
    use crate::run::{Ending, Progress, Reason, Section};

    fn beginning() -> Beginning {
        let written = json!({"title": "t", "description": "d",
            "configuration": {"where": "here", "vault_token": "s.token-of-vault"},
            "secrets": {"g": {"key": "hunter2-and-more"}},
            "method": [],
            "rollbacks": [
                {"type": "action", "name": "plain", "provider": {"type": "process", "path": "true"}},
                {"type": "action", "name": "inline", "provider": {"type": "process",
                    "path": "true", "arguments": ["hunter2-and-more"]}}]});
        let Value::Object(written) = written else { panic!("{written}") };
        let hook = Control {
            name: "hook".to_owned(),
            provider: ControlProvider::Python { module: "m".to_owned(), arguments: Map::new() },
            side: Some(Side::Before),
            automatic: Automatic::Everywhere,
        };
        let terms = Terms { controls: vec![hook], ..Terms::new(Verdicts::Strict) };
        let experiment = read(&written, &terms, Past::New).unwrap();
        let settings =
            configuration::load(&experiment.configuration, &Map::new(), &Environment::default());
        let Value::Object(secrets) = json!({"g": {"key": "hunter2-and-more"}}) else { panic!() };
        Beginning {
            experiment: experiment.into(),
            settings: settings.unwrap(),
            secrets,
            terms,
            identity: 7,
            host: Host::default(),
            started: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn a_run_is_the_same_at_the_other_end() {
        let asked = Asked::of(&beginning()).unwrap();
        let text = serde_json::to_vec(&asked).unwrap();
        let read: Asked = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, asked);
        let there = read.beginning(7, Host::default(), Timestamp::from_micros(0)).unwrap();
        let here = beginning();
        assert_eq!((&there.experiment, &there.settings), (&here.experiment, &here.settings));
        assert_eq!((&there.secrets, &there.terms), (&here.secrets, &here.terms));
    }

    #[test]
    fn what_is_kept_has_no_secret_and_says_what_it_cannot_play() {
        let asked = Asked::of(&beginning()).unwrap();
        assert!(!asked.is_plain().unwrap());
        assert_eq!(format!("{asked:?}"), HIDDEN);
        let kept = asked.kept();
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("s.token"), "{text}");
        assert_eq!(kept.rollbacks(&[0, 7]), ["plain", "#7"]);
        let unplayable: Vec<bool> =
            kept.read().unwrap().rollbacks.iter().map(restoration::is_unplayable).collect();
        assert_eq!(unplayable, [false, true]);
    }

    #[test]
    fn orders_answers_and_news_are_the_same_at_the_other_end() {
        let invocation = Invocation::Process {
            path: "p".into(),
            arguments: crate::run::invocation::Arguments::Words(vec!["a".into()]),
            timeout: Some(std::time::Duration::from_millis(1500)),
        };
        let call = CallId::from_number(7);
        let order = Order::Step { call, name: "n".into(), invocation: Box::new(invocation) };
        let text = serde_json::to_vec(&order).unwrap();
        assert_eq!(serde_json::from_slice::<Order>(&text).unwrap(), order);
        assert_eq!((format!("{order:?}"), order.call().number()), (HIDDEN.to_owned(), 7));
        assert_eq!(super::call(&text), Some(call));
        // Of a newer version.
        let other = br#"{"step":{"call":8,"name":"n","invocation":{"dance":{}}}}"#;
        assert!(serde_json::from_slice::<Order>(other).is_err());
        assert_eq!(super::call(other), Some(CallId::from_number(8)));
        assert_eq!((super::call(b"[]"), super::call(br#"{"end":null}"#)), (None, None));
        for ending in [
            Ending::Returned(json!({"status": 1.5})),
            Ending::Failed("f".into()),
            Ending::Crashed("c".into()),
            Ending::Interrupted("i".into()),
            Ending::Untried,
        ] {
            let text = serde_json::to_vec(&ending).unwrap();
            assert_eq!(serde_json::from_slice::<Ending>(&text).unwrap(), ending);
        }
        for progress in [
            Progress::RunBegan { title: "t".into() },
            Progress::EvaluationBegan(Section::During(3)),
            Progress::FaultBegan("f".parse().unwrap()),
            Progress::Noted(Reason::Interrupted(crate::run::Interruption::Lost)),
        ] {
            let text = serde_json::to_vec(&progress).unwrap();
            assert_eq!(serde_json::from_slice::<Progress>(&text).unwrap(), progress);
        }
    }
}

//! Steps: probes look, actions do.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ControlUse, OutputName, Provider, Template, Tolerance};

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// What it is called.
    pub name: String,
    /// Whether it looks or does.
    pub kind: ActivityKind,
    /// Who does it.
    pub provider: Provider,
    /// What its value must be. A probe of a hypothesis has one.
    pub tolerance: Option<Tolerance>,
    /// Whether the next step waits for it.
    pub lane: Lane,
    /// Waiting around it.
    pub pauses: Pauses,
    /// How long one try may take. The original reads this and does not enforce it.
    pub timeout: Option<Duration>,
    /// Of what this step alone is only a rehearsal.
    pub dry: Option<Dry>,
    /// Its own hooks.
    pub controls: Vec<ControlUse>,
    /// How often it is tried.
    pub retry: Option<Retry>,
    /// What its value must become before tries end; its tolerance if this is not set.
    pub until: Option<Tolerance>,
    /// What later steps call its output.
    pub output: Option<OutputName>,
    /// For what it is repeated.
    pub for_each: Option<ForEach>,
    /// What follows when it fails.
    pub on_failure: OnFailure,
    /// How it was written; `None` for one that was built.
    pub written: Option<Map<String, Value>>,
}

impl Activity {
    /// A step that has nothing but what every step has.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: ActivityKind, provider: Provider) -> Self {
        Self {
            name: name.into(),
            kind,
            provider,
            tolerance: None,
            lane: Lane::Foreground,
            pauses: Pauses::default(),
            timeout: None,
            dry: None,
            controls: Vec::new(),
            retry: None,
            until: None,
            output: None,
            for_each: None,
            on_failure: OnFailure::Counts,
            written: None,
        }
    }
}

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivityKind {
    /// It looks.
    Probe,
    /// It does.
    Action,
}

impl fmt::Display for ActivityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Probe => "probe",
            Self::Action => "action",
        })
    }
}

/// Whether the next step waits for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// It does.
    Foreground,
    /// It does not; the end of the method does.
    Background,
}

/// Waiting around a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pauses {
    /// Before it begins.
    pub before: Option<Wait>,
    /// After it has ended.
    pub after: Option<Wait>,
}

/// A time that may stand in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// As long as this.
    For(Duration),
    /// As many seconds as a value says.
    Value(Template),
}

/// What is only rehearsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dry {
    /// Probes.
    Probes,
    /// Actions.
    Actions,
    /// Both.
    Activities,
    /// Waiting.
    Pause,
}

impl Dry {
    /// Whether a step of a kind is left out.
    #[must_use]
    pub const fn skips(self, kind: ActivityKind) -> bool {
        match (self, kind) {
            (Self::Activities, _)
            | (Self::Probes, ActivityKind::Probe)
            | (Self::Actions, ActivityKind::Action) => true,
            (Self::Probes, ActivityKind::Action)
            | (Self::Actions, ActivityKind::Probe)
            | (Self::Pause, _) => false,
        }
    }

    /// Whether the tolerances of a hypothesis are not looked at.
    #[must_use]
    pub const fn skips_tolerances(self) -> bool {
        matches!(self, Self::Probes | Self::Activities)
    }
}

impl fmt::Display for Dry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Probes => "probes",
            Self::Actions => "actions",
            Self::Activities => "activities",
            Self::Pause => "pause",
        })
    }
}

impl FromStr for Dry {
    type Err = super::StrategyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "probes" => Ok(Self::Probes),
            "actions" => Ok(Self::Actions),
            "activities" => Ok(Self::Activities),
            "pause" => Ok(Self::Pause),
            _ => Err(super::StrategyError { text: text.to_owned(), known: DRY }),
        }
    }
}

const DRY: &[&str] = &["probes", "actions", "activities", "pause"];

/// How often a step is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// At most as often as this, at least once.
    pub attempts: u32,
    /// Time between the end of a try and the beginning of the next.
    pub every: Duration,
}

impl Default for Retry {
    /// What `until` alone means: ten tries, a second apart.
    fn default() -> Self {
        Self { attempts: 10, every: Duration::from_secs(1) }
    }
}

/// A step for each of several things.
#[derive(Clone, Debug, PartialEq)]
pub struct ForEach {
    /// What `${name}` stands for in it.
    pub name: OutputName,
    /// The things.
    pub instances: Instances,
}

/// For what a step is repeated.
#[derive(Clone, Debug, PartialEq)]
pub enum Instances {
    /// These.
    Values(Vec<Value>),
    /// The list that a value is, such as `${members}` or `${outputs.found.body}`.
    Value(Template),
    /// The targets that a selector names when the step begins.
    Targets(Template),
}

/// What follows when a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The run has failed, where verdicts are strict.
    Counts,
    /// Nothing; it stands in the journal.
    Allowed,
}

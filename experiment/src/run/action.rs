//! What a run asks for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::CallId;
use super::invocation::Invocation;
use super::key::FaultKey;
use super::progress::Progress;
use super::standing::Verdict;
use crate::model::{ControlProvider, FaultLabel, Side};
use crate::redaction::Confidential;
use crate::run::Moment;

/// What a run asks for, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Perform a step, and answer with [`super::Event::Finished`].
    Perform(Box<Perform>),
    /// Perform a hook, and answer with [`super::Event::Finished`]. What it returns is read over.
    Control(Box<Hook>),
    /// Stop what was asked for. It need not be answered; if the run should end by what it does meanwhile, it
    /// was to be stopped for a reason.
    Abort(CallId),
    /// Take a fault out, wherever it stands, and answer with [`super::Event::Healed`]. It may not be there, or
    /// still be on its way in: once this is answered it does not come in any more.
    Heal(CallId, NamedFault),
    /// Write the journal, before anything that follows.
    Record,
    /// Tell whoever watches.
    Tell(Progress),
    /// Tell the run when it is this late; it takes the place of what was asked for before.
    Wake(Moment),
    /// It is over.
    End(Box<Verdict>),
}

/// A step to be performed.
#[derive(Clone, Debug, PartialEq)]
pub struct Perform {
    /// What the answer names.
    pub call: CallId,
    /// What the step is called.
    pub name: String,
    /// What to do, with all values in place: secrets too.
    pub invocation: Confidential<Invocation>,
    /// What the fault is called that this puts in.
    pub fault: Option<NamedFault>,
}

/// A fault by all its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFault {
    /// For those who read.
    pub label: FaultLabel,
    /// For whoever holds it.
    pub key: FaultKey,
}

/// A hook to be performed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// What the answer names.
    pub call: CallId,
    /// What it is called.
    pub name: String,
    /// Who does it.
    pub provider: ControlProvider,
    /// Around which part of the run it stands.
    pub level: Level,
    /// On which side of it.
    pub side: Side,
    /// The part, as it was written.
    pub context: Value,
    /// What came of the part; `Null` before it.
    pub state: Value,
}

/// Parts of a run that have hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// All of it.
    Experiment,
    /// An evaluation of the steady state.
    Hypothesis,
    /// The method.
    Method,
    /// The rollbacks.
    Rollback,
    /// A step.
    Activity,
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Experiment => "experiment",
            Self::Hypothesis => "hypothesis",
            Self::Method => "method",
            Self::Rollback => "rollback",
            Self::Activity => "activity",
        })
    }
}

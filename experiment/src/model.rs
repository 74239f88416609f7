//! What an experiment is, whatever it was read from.
//!
//! Everything here can be built directly. What came from a file also keeps how it was written, which is
//! what a journal shows.

mod activity;
mod control;
mod name;
mod provider;
mod rendering;
mod runtime;
mod source;
mod template;
mod tolerance;

use serde_json::{Map, Value};

pub use activity::{
    Activity, ActivityKind, Dry, ForEach, Instances, Lane, OnFailure, Pauses, Retry, Wait,
};
pub use control::{Automatic, Control, ControlProvider, ControlUse, Side};
pub use name::{FaultLabel, NameError, OutputName};
pub use provider::{
    Call, EffectPolicy, FaultVerb, Http, HttpTimeout, Process, ProcessArguments, Provider, Python,
    Reading, Tls, Verb,
};
pub use runtime::{HypothesisStrategy, RollbackStrategy, Runtime, StrategyError};
pub use source::{SecretSource, Setting, VariableType, VariableTypeError};
pub use template::Template;
pub use tolerance::Tolerance;

/// An experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiment {
    /// What is believed of the system.
    pub title: Template,
    /// Why it is believed.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What it contributes to, such as `reliability: high`.
    pub contributions: Map<String, Value>,
    /// Named values, in the order in which they are determined.
    pub configuration: Vec<(String, Setting)>,
    /// Named values that nobody may see.
    pub secrets: Vec<(String, SecretSource)>,
    /// Hooks, by name.
    pub controls: Vec<Control>,
    /// What must hold.
    pub hypothesis: Option<Hypothesis>,
    /// What is done to the system.
    pub method: Vec<Activity>,
    /// What brings the system back.
    pub rollbacks: Vec<Activity>,
    /// How it is run, unless the command says otherwise.
    pub runtime: Runtime,
    /// What others put into it.
    pub extensions: Vec<Value>,
    /// How it was written; `None` for one that was built.
    pub written: Option<Map<String, Value>>,
}

/// What must hold of a system that is well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hypothesis {
    /// What it says.
    pub title: String,
    /// Probes with tolerances, evaluated in order until one is not met.
    pub probes: Vec<Activity>,
    /// Its own hooks.
    pub controls: Vec<ControlUse>,
}

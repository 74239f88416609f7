//! Hooks around the parts of a run.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Process;

/// A hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// What it is called.
    pub name: String,
    /// Who does it.
    pub provider: ControlProvider,
    /// On which side of its part alone; `None` for both.
    pub side: Option<Side>,
    /// Whether it is used without being named.
    pub automatic: Automatic,
}

/// Who does a hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlProvider {
    /// Functions of a module.
    Python {
        /// The module.
        module: String,
        /// What all its functions are given.
        arguments: Map<String, Value>,
    },
    /// A program. An addition of ours: it is told level and side in its environment.
    Process(Process),
}

/// Before or after a part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Before it.
    Before,
    /// After it.
    After,
}

/// Whether a hook of the experiment applies where nobody names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// It does.
    Everywhere,
    /// Only where it is named.
    WhereNamed,
}

/// A hook at the part that it is for.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlUse {
    /// One of its own.
    Own(Control),
    /// One of the experiment's, by name.
    Named(String),
}

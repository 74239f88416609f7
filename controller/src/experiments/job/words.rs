//! The last words of `kubectl schism run`, which its pod leaves (`schism.run-summary/v1`). Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What the document is called.
const SCHEMA: &str = "schism.run-summary/v1";

/// What it came to. Fields are only added.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Words {
    schema: String,
    /// With what the command has ended.
    pub(crate) exit_code: u8,
    /// Why nothing was run, or nothing more.
    pub(crate) error: Option<Trouble>,
    /// One for each file.
    pub(crate) runs: Vec<Told>,
}

/// Why nothing was run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Trouble {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    pub(crate) status: String,
    pub(crate) deviated: bool,
    pub(crate) reasons: Vec<String>,
    /// Of its method.
    pub(crate) steps: Steps,
    pub(crate) faults: BTreeMap<String, Value>,
    pub(crate) owed: Dues,
}

/// How many steps have ended, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Steps {
    succeeded: u32,
    failed: u32,
    interrupted: u32,
}

/// What is owed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Dues {
    pub(crate) rollbacks: Vec<String>,
    pub(crate) faults: Vec<String>,
}

impl Steps {
    pub(crate) const fn ended(&self) -> u32 {
        self.succeeded.saturating_add(self.failed).saturating_add(self.interrupted)
    }
}

impl Words {
    /// What a pod has left; `None` of anything else: the command has not ended by itself.
    pub(super) fn read(text: &str) -> Option<Self> {
        let words: Self = serde_json::from_str(text.trim()).ok()?;
        (words.schema == SCHEMA).then_some(words)
    }
}

//! What the original came to, kept so that changes of ours are held to it without the original.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::comparison::Comparison;
use crate::outcome::Outcome;

/// Its name beside the experiments.
pub(crate) const FILE: &str = "recorded.json";

/// Outcomes by the names of cases.
#[derive(Debug)]
pub(crate) struct Recorded(BTreeMap<String, Value>);

impl Recorded {
    /// What was found just now.
    pub(crate) fn of(done: &[Comparison]) -> Self {
        let each = done.iter().map(|one| (one.case.name.clone(), one.original.compared.clone()));
        Self(each.collect())
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
    }

    /// Writes it, a line for each case.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let lines: Vec<String> = self
            .0
            .iter()
            .map(|(name, outcome)| format!("{}: {outcome}", Value::from(name.as_str())))
            .collect();
        let text = format!("{{\n{}\n}}\n", lines.join(",\n"));
        fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// What the original came to.
    ///
    /// # Errors
    /// It was never asked.
    pub(crate) fn outcome(&self, name: &str) -> Result<Outcome> {
        let compared = self.0.get(name).cloned().with_context(|| {
            format!("{name} is not recorded: `cargo xtask compat chaostoolkit` asks the original")
        })?;
        Ok(Outcome { compared, ..Outcome::default() })
    }
}

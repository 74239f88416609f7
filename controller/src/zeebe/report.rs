//! What commands print.

use serde::Serialize;
use zeebe::Key;

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::{Detail, Output, Report};

use super::patience::Reached;

/// Something was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Done {
    schema: &'static str,
    command: &'static str,
    said: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
}

impl Done {
    pub(crate) const fn new(command: &'static str, said: String) -> Self {
        Self { schema: "schism.zeebe-done/v1", command, said, key: None }
    }

    pub(crate) const fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }
}

impl Report for Done {
    fn text(&self, _: Detail) -> String {
        match self.key {
            Some(key) => format!("{} (key {key})", self.said),
            None => self.said.clone(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.key.iter().map(ToString::to_string).collect()
    }
}

/// Whether something held.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Verdict<'a> {
    schema: &'static str,
    verified: &'a str,
    holds: bool,
    said: &'a str,
}

impl Report for Verdict<'_> {
    fn text(&self, _: Detail) -> String {
        let holds = if self.holds { "holds" } else { "does not hold" };
        format!("{} {holds}: {}", self.verified, self.said)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Prints whether something held; 0 if it did, 1 if not.
pub(crate) fn verdict(
    verified: &str,
    reached: Reached<String>,
    output: Output,
) -> Result<Outcome, Failure> {
    let (holds, said) = match reached {
        Reached::Held(said) => (true, said),
        Reached::Missed(why) => (false, why),
    };
    output.show(&Verdict { schema: "schism.zeebe-verdict/v1", verified, holds, said: &said })?;
    Ok(if holds { Outcome::Effective } else { Outcome::Deviated })
}

//! What a fault in processes did. Pure: from statuses to words and to an outcome.

use fault::Status;
use serde::Serialize;

use crate::outcome::Outcome;
use crate::output::route::drifts;
use crate::output::{Detail, Report, effects, meaning, record};
use crate::session::{Confirmation, End, outcome};
use crate::spec::Within;

/// What no skew reaches, whatever was measured (docs/clock.md).
const BLIND: [&str; 4] = [
    "system calls past the vDSO (32-bit programs, traced ones, sandboxes with a kernel of their own)",
    "programs that read the processor's time stamp counter themselves",
    "absolute sleeps and timers, which are the kernel's",
    "time stamps of files and packets",
];

/// What it did, whole.
#[derive(Debug, Serialize)]
pub(super) struct ProcessesReport {
    schema: &'static str,
    id: String,
    /// By what it ended; none for one that is left to its agent.
    ended: Option<&'static str>,
    /// Whether the agent confirmed that nothing of it acts any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    healed: Option<Confirmation>,
    exit_code: u8,
    #[serde(serialize_with = "record::faults")]
    faults: Vec<Status>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    not_covered: &'static [&'static str],
    #[serde(skip)]
    outcome: Outcome,
}

impl ProcessesReport {
    fn new(
        within: Within,
        ended: Option<&'static str>,
        healed: Option<Confirmation>,
        faults: Vec<Status>,
        outcome: Outcome,
    ) -> Self {
        let (schema, not_covered): (_, &[_]) = match within {
            Within::Skew(_) => ("schism.skew/v1", &BLIND),
            Within::Freeze(_) => ("schism.freeze/v1", &[]),
            Within::Kill(_) => ("schism.kill/v1", &[]),
            Within::Stress(_) => ("schism.stress/v1", &[]),
        };
        let id = faults.first().map(|status| status.fault.id.intent.to_string());
        Self {
            schema,
            id: id.unwrap_or_default(),
            ended,
            healed,
            exit_code: outcome.code(),
            faults,
            not_covered,
            outcome,
        }
    }

    /// Of one that has ended.
    pub(super) fn ended(
        within: Within,
        end: &End,
        confirmation: Confirmation,
        faults: Vec<Status>,
    ) -> Self {
        let outcome = outcome(end, confirmation, &faults);
        Self::new(within, Some(end.word()), Some(confirmation), faults, outcome)
    }

    /// Of one that is left to its agent.
    pub(super) fn detached(within: Within, faults: Vec<Status>) -> Self {
        Self::new(within, None, None, faults, Outcome::Effective)
    }

    pub(super) const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What is to be said about it beside the figures.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> =
            self.healed.and_then(|healed| healed.note(&self.faults)).into_iter().collect();
        notes.extend(self.faults.iter().flat_map(drifts));
        notes.extend(self.faults.iter().flat_map(meaning));
        if !self.not_covered.is_empty() {
            notes.push(format!("not moved in any case: {}", self.not_covered.join("; ")));
        }
        notes
    }
}

impl Report for ProcessesReport {
    fn text(&self, detail: Detail) -> String {
        match self.ended {
            Some(_) => effects(&self.faults, detail),
            None => self.id.clone(),
        }
    }

    fn names(&self) -> Vec<String> {
        match self.ended {
            // The id was printed when it began.
            Some(_) => Vec::new(),
            None => vec![self.id.clone()],
        }
    }
}

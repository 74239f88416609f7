//! Runs of experiments as people and programs read them. Pure.

use std::time::Duration;

use fault::IntentId;
use proto::control as wire;
use serde::Serialize;

use crate::output::Detail;
use crate::output::table::Align::Left;
use crate::output::table::{Cell, Table};

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct RunRecord {
    pub(super) id: String,
    title: String,
    phase: &'static str,
    asker: String,
    faults: Vec<FaultRecord>,
    owed: Vec<String>,
    status: Option<&'static str>,
    deviated: bool,
    reason: String,
    performed_by: &'static str,
    asked_seconds: f64,
    #[serde(skip)]
    stands_as_owed: bool,
}

#[derive(Debug, Serialize)]
struct FaultRecord {
    label: String,
    intent: String,
}

/// What the rollbacks are called that a run owes.
pub(crate) fn owed(run: &wire::Run) -> Vec<String> {
    run.owed.iter().map(|owed| owed.name.clone()).collect()
}

fn phase(run: &wire::Run) -> &'static str {
    match run.phase() {
        wire::RunPhase::Unspecified => "unknown",
        wire::RunPhase::Starting => "starting",
        wire::RunPhase::Before => "before",
        wire::RunPhase::Method => "method",
        wire::RunPhase::After => "after",
        wire::RunPhase::Rollbacks => "rollbacks",
        wire::RunPhase::Owed => "owed",
        wire::RunPhase::Ended => "ended",
    }
}

impl From<wire::Run> for RunRecord {
    fn from(run: wire::Run) -> Self {
        let verdict = run.verdict.clone().unwrap_or_default();
        let status = match verdict.status() {
            wire::RunStatus::Unspecified => None,
            wire::RunStatus::Completed => Some("completed"),
            wire::RunStatus::Failed => Some("failed"),
            wire::RunStatus::Aborted => Some("aborted"),
            wire::RunStatus::Interrupted => Some("interrupted"),
        };
        let faults = run.faults.iter().map(|fault| FaultRecord {
            label: fault.label.clone(),
            intent: IntentId::from_random(fault.intent).to_string(),
        });
        Self {
            id: IntentId::from_random(run.id).to_string(),
            phase: phase(&run),
            stands_as_owed: run.phase() == wire::RunPhase::Owed,
            faults: faults.collect(),
            owed: owed(&run),
            status,
            deviated: verdict.deviated,
            performed_by: if run.performed_here { "controller" } else { "command" },
            asked_seconds: Duration::from_nanos(run.asked).as_secs_f64(),
            title: run.title,
            asker: run.asker,
            reason: run.reason,
        }
    }
}

/// A table of runs, and what is to be said of them.
pub(super) fn text(runs: &[RunRecord], detail: Detail) -> String {
    let mut columns = vec![("RUN", Left), ("PHASE", Left), ("VERDICT", Left), ("TITLE", Left)];
    if detail == Detail::Wide {
        columns.extend([("FAULTS", Left), ("ASKER", Left)]);
    }
    let mut table = Table::new(&columns);
    let mut notes = Vec::new();
    for run in runs {
        let deviated = if run.deviated { ", deviated" } else { "" };
        let verdict = run.status.map_or("-".to_owned(), |status| format!("{status}{deviated}"));
        let mut row = vec![
            Cell::from(run.id.clone()),
            Cell::from(run.phase.to_owned()),
            Cell::from(verdict),
            Cell::from(fault::Legible(&run.title).to_string()),
        ];
        if detail == Detail::Wide {
            let faults = run.faults.iter().map(|fault| format!("{}={}", fault.label, fault.intent));
            row.push(Cell::from(faults.collect::<Vec<_>>().join(" ")));
            row.push(Cell::from(fault::Legible(&run.asker).to_string()));
        }
        table.row(row);
        if !run.reason.is_empty() {
            notes.push(format!("{}: {}", run.id, fault::Legible(&run.reason)));
        }
        // What a run that goes on owes it plays itself.
        if run.stands_as_owed && !run.owed.is_empty() {
            notes.push(format!(
                "{} owes {}: `schism run --resume-rollbacks {}` plays it",
                run.id,
                fault::Legible(&run.owed.join(", ")),
                run.id
            ));
        }
    }
    let mut text = table.text();
    for note in notes {
        text.push('\n');
        text.push_str(&note);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_goes_on_is_not_to_be_finished_by_somebody_else() {
        let run = wire::Run { phase: wire::RunPhase::Rollbacks.into(), ..owing() };
        let text = text(&[run.into()], Detail::Normal);
        assert!(text.contains("rollbacks") && !text.contains("--resume-rollbacks"), "{text}");
    }

    #[test]
    fn a_run_that_owes_says_how_it_is_finished() {
        let text = text(&[owing().into()], Detail::Normal);
        for expected in [
            "00000000000a",
            "owed",
            "interrupted, deviated",
            "leader lost",
            "00000000000a: the line that started the run is lost",
            "owes back: `schism run --resume-rollbacks 00000000000a` plays it",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    fn owing() -> wire::Run {
        wire::Run {
            id: 10,
            title: "leader lost".to_owned(),
            phase: wire::RunPhase::Owed.into(),
            owed: vec![wire::OwedRollback { place: 1, name: "back".to_owned() }],
            verdict: Some(wire::RunVerdict {
                status: wire::RunStatus::Interrupted.into(),
                deviated: true,
                ..wire::RunVerdict::default()
            }),
            reason: "the line that started the run is lost".to_owned(),
            ..wire::Run::default()
        }
    }
}

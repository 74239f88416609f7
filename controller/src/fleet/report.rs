//! Intents as people and programs read them. Pure.

use std::time::Duration;

use fault::{Aspect, IntentId, Status, Verdict};
use proto::control as wire;
use serde::Serialize;

use super::brake::BrakeRecord;
use super::disrupted::{self, DisruptionRecord};
use super::ends::EndRecord;
use super::outcome;
use super::runs::{self, RunRecord};
use crate::cut::plan;
use crate::outcome::Outcome;
use crate::output::quantity::{bytes, time};
use crate::output::route::{Route, done, lost, place, what};
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Report, record};
use crate::sequence::Stage;
use crate::spec::Within;

/// Intents with their parts.
#[derive(Debug, Serialize)]
pub(super) struct IntentsReport {
    schema: &'static str,
    /// What the command exits with, where intents decide that.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    intents: Vec<IntentRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<RunRecord>,
    /// What the API server of a cluster was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disruptions: Vec<DisruptionRecord>,
    #[serde(skip_serializing_if = "String::is_empty")]
    matrix: String,
    /// How the brake stands, where everything is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    brake: Option<BrakeRecord>,
    /// Of a dry run, what would be put in place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plans: Vec<PlannedPart>,
    #[serde(skip)]
    empty: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct IntentRecord {
    id: String,
    stage: String,
    asker: String,
    reason: String,
    /// What to do about it; empty where nobody has said so.
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
    spread_seconds: Option<f64>,
    spread_error_seconds: Option<f64>,
    notes: Vec<String>,
    ends: Vec<EndRecord>,
    parts: Vec<PartRecord>,
    /// What is not confirmed to be out and may act, where it is over but for that; empty for nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    unconfirmed: String,
    #[serde(skip)]
    over: bool,
}

#[derive(Debug, Serialize)]
struct PlannedPart {
    node: String,
    #[serde(flatten)]
    part: plan::Part,
}

#[derive(Debug, Serialize)]
struct PartRecord {
    node: String,
    trouble: String,
    /// Whether its agent is not connected, and what is told of it the last that was heard.
    unheard: bool,
    #[serde(serialize_with = "record::faults")]
    faults: Vec<Status>,
    #[serde(skip)]
    planned: Option<fault::Fault>,
}

impl IntentsReport {
    fn new(schema: &'static str, intents: Vec<wire::Intent>, empty: &'static str) -> Self {
        let intents = intents.into_iter().map(IntentRecord::from).collect();
        let (runs, disruptions, plans) = (Vec::new(), Vec::new(), Vec::new());
        let (exit_code, matrix, brake) = (None, String::new(), None);
        Self { schema, exit_code, intents, runs, disruptions, matrix, brake, plans, empty }
    }

    /// With what the command exits with.
    pub(super) fn coming_to(mut self, outcome: Outcome) -> Self {
        self.exit_code = Some(outcome.code());
        self
    }

    pub(super) fn cut(intents: Vec<wire::Intent>) -> Self {
        Self::new("schism.fleet-cut/v1", intents, "")
    }

    pub(super) fn within(within: Within, intents: Vec<wire::Intent>) -> Self {
        let schema = match within {
            Within::Skew(_) => "schism.fleet-skew/v1",
            Within::Freeze(_) => "schism.fleet-freeze/v1",
            Within::Kill(_) => "schism.fleet-kill/v1",
            Within::Stress(_) => "schism.fleet-stress/v1",
        };
        Self::new(schema, intents, "")
    }

    pub(super) fn heal(
        intents: Vec<wire::Intent>,
        runs: Vec<wire::Run>,
        disruptions: Vec<wire::Disruption>,
    ) -> Self {
        Self::new("schism.fleet-heal/v1", intents, "nothing to heal").with(runs, disruptions)
    }

    /// What is told of everything, without what was left out of it.
    pub(super) fn status(told: wire::ListReply) -> Self {
        let wire::ListReply { intents, runs, brake, halted, disruptions, .. } = told;
        // An older controller says nothing of it.
        let brake = brake.map(|brake| BrakeRecord::new(brake, halted));
        let open = |intent: &wire::Intent| {
            let is_open = crate::control::is_over(intent) && outcome::stands(intent);
            is_open.then(|| outcome::unconfirmed(intent)).flatten().unwrap_or_default()
        };
        let open: Vec<String> = intents.iter().map(open).collect();
        let report = Self::new("schism.fleet-status/v1", intents, "no fault is active");
        let mut report = Self { brake, ..report.with(runs, disruptions) };
        for (intent, open) in report.intents.iter_mut().zip(open) {
            intent.unconfirmed = open;
        }
        report
    }

    fn with(self, runs: Vec<wire::Run>, disruptions: Vec<wire::Disruption>) -> Self {
        let disruptions = disruptions.iter().map(DisruptionRecord::from).collect();
        Self { runs: runs.into_iter().map(RunRecord::from).collect(), disruptions, ..self }
    }

    pub(super) fn plan(plan: wire::PlanReply) -> Self {
        let intent = plan.intent.unwrap_or_default();
        let planned = |told: wire::PartPlan| {
            let part = intent.parts.iter().find(|part| part.part == told.part)?;
            let fault = part.fault.clone()?.try_into().ok()?;
            let prepared = told.prepared?.try_into().ok()?;
            Some(PlannedPart { node: part.node.clone(), part: plan::Part::new(fault, prepared) })
        };
        let plans = plan.parts.into_iter().filter_map(planned).collect();
        let report = Self::new("schism.fleet-plan/v1", vec![intent], "");
        Self { matrix: plan.matrix, plans, ..report }
    }
}

impl From<wire::Intent> for IntentRecord {
    fn from(intent: wire::Intent) -> Self {
        let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
        Self {
            id: IntentId::from_random(intent.id).to_string(),
            stage: stage(&intent),
            over: crate::control::is_over(&intent),
            spread_seconds: intent.spread.map(|spread| seconds(spread.achieved_ns)),
            spread_error_seconds: intent.spread.map(|spread| seconds(spread.error_ns)),
            ends: intent.ends.into_iter().map(EndRecord::from).collect(),
            parts: intent.parts.into_iter().map(PartRecord::from).collect(),
            asker: intent.asker,
            reason: intent.reason,
            hint: intent.hint,
            notes: intent.notes,
            unconfirmed: String::new(),
        }
    }
}

impl From<wire::Part> for PartRecord {
    fn from(part: wire::Part) -> Self {
        let status = part.status.and_then(|status| status.try_into().ok());
        Self {
            node: part.node,
            trouble: part.trouble,
            unheard: part.unheard,
            faults: status.into_iter().collect(),
            planned: part.fault.and_then(|fault| fault.try_into().ok()),
        }
    }
}

impl PartRecord {
    fn fault(&self) -> Option<&fault::Fault> {
        self.faults.first().map(|status| &status.fault).or(self.planned.as_ref())
    }
}

impl IntentsReport {
    fn parts(&self) -> impl Iterator<Item = (&IntentRecord, &PartRecord)> {
        self.intents.iter().flat_map(|intent| intent.parts.iter().map(move |part| (intent, part)))
    }

    /// What is lost between two ends, and parts of which nothing is known.
    fn cuts(&self, detail: Detail) -> Option<Table> {
        let mut columns = vec![
            ("ID", Left),
            ("NODE", Left),
            ("FROM → TO", Left),
            ("AT", Left),
            ("STAGE", Left),
            ("STATE", Left),
            ("LEFT", Right),
            ("LEASE", Right),
            ("MATCHED", Right),
            ("LOST", Right),
        ];
        if detail == Detail::Wide {
            columns.extend([("BYTES", Right), ("ASKER", Left)]);
        }
        let mut table = Table::new(&columns);
        let mut parts = self.parts().filter(|(_, part)| !part.is_in_processes()).peekable();
        parts.peek()?;
        for (intent, part) in parts {
            let fault = part.fault();
            let cut = fault.and_then(|fault| fault.kind.cut());
            let effect = part.faults.first().map(|status| status.effect).unwrap_or_default();
            let lost = |figure: String| match cut {
                Some(cut) => lost(cut, figure),
                None => figure,
            };
            let route = fault.map_or_else(String::new, |fault| Route::from(fault).to_string());
            let mut row = vec![
                Cell::from(intent.id.clone()),
                Cell::from(part.node.clone()),
                Cell::from(route),
                Cell::from(cut.map_or("-", |cut| place(cut.side))),
            ];
            row.extend(part.standing(intent));
            row.push(Cell::from(effect.matched));
            row.push(Cell::from(lost(effect.lost.to_string())));
            if detail == Detail::Wide {
                row.push(Cell::from(lost(bytes(effect.lost_bytes))));
                row.push(Cell::from(fault::Legible(&intent.asker).to_string()));
            }
            table.row(row);
        }
        Some(table)
    }

    /// What is done to processes.
    fn in_processes(&self, detail: Detail) -> Option<Table> {
        let mut columns = vec![
            ("ID", Left),
            ("NODE", Left),
            ("PROCESSES OF", Left),
            ("FAULT", Left),
            ("STAGE", Left),
            ("STATE", Left),
            ("LEFT", Right),
            ("LEASE", Right),
            ("MEASURED", Left),
        ];
        if detail == Detail::Wide {
            columns.push(("ASKER", Left));
        }
        let mut table = Table::new(&columns);
        let mut parts = self.parts().filter(|(_, part)| part.is_in_processes()).peekable();
        parts.peek()?;
        for (intent, part) in parts {
            let Some(fault) = part.fault() else { continue };
            let mut row = vec![
                Cell::from(intent.id.clone()),
                Cell::from(part.node.clone()),
                Cell::from(Route::from(fault)),
                Cell::from(what(&fault.kind)),
            ];
            row.extend(part.standing(intent));
            row.push(Cell::from(part.faults.first().map_or_else(|| "-".to_owned(), done)));
            if detail == Detail::Wide {
                row.push(Cell::from(fault::Legible(&intent.asker).to_string()));
            }
            table.row(row);
        }
        Some(table)
    }

    /// What is to be said beside the figures.
    fn notes(&self, detail: Detail) -> Vec<String> {
        let mut notes = Vec::new();
        for intent in &self.intents {
            for part in &intent.parts {
                notes.extend(part.faults.first().and_then(|status| shadow(&status.fault)));
                if part.unheard {
                    notes.push(unheard(&part.node));
                }
                if !part.trouble.is_empty() {
                    notes.push(part.trouble.clone());
                }
            }
            if !intent.reason.is_empty() {
                notes.push(format!("{}: {}", intent.id, intent.reason));
            }
            if !intent.hint.is_empty() {
                notes.push(format!("  hint: {}", intent.hint));
            }
            if !intent.unconfirmed.is_empty() {
                notes.push(intent.unconfirmed.clone());
            }
            notes.extend(intent.notes.iter().cloned());
            if detail == Detail::Wide {
                notes.extend(intent.ends.iter().filter_map(EndRecord::found));
            }
        }
        notes.dedup();
        notes
    }

    fn table(&self, detail: Detail) -> String {
        let tables = [self.cuts(detail), self.in_processes(detail)].into_iter().flatten();
        let tables: Vec<String> = tables.map(|table| table.text()).collect();
        let mut text = tables.join("\n");
        if !self.matrix.is_empty() {
            text = format!("{}\n{text}", self.matrix);
        }
        for note in self.notes(detail) {
            text.push('\n');
            text.push_str(&note);
        }
        for PlannedPart { node, part } in &self.plans {
            text.push_str(&format!("\non {node}: {}", part.text(detail).trim_end()));
        }
        text
    }
}

impl PartRecord {
    fn is_in_processes(&self) -> bool {
        self.fault().is_some_and(|fault| fault.kind.aspect() == Aspect::Processes)
    }

    /// Stage, state, and what is left of its time and of its lease.
    fn standing(&self, intent: &IntentRecord) -> [Cell; 4] {
        let left = |left: Option<Duration>| left.map_or_else(|| "-".to_owned(), time);
        let status = self.faults.first();
        let living = status.filter(|status| !status.state.is_final());
        // The last that was heard says nothing of now where the end was not heard.
        let is_stale = living.is_some() && (intent.over || self.unheard);
        let living = living.filter(|_| !is_stale);
        let state = match status {
            Some(_) if is_stale => "unknown".to_owned(),
            Some(status) => status.standing().to_string(),
            None => "-".to_owned(),
        };
        [
            Cell::from(intent.stage.clone()),
            Cell::from(state),
            Cell::from(left(living.and_then(Status::time_left))),
            Cell::from(left(living.and_then(Status::lease_left))),
        ]
    }
}

impl Report for IntentsReport {
    fn text(&self, detail: Detail) -> String {
        let intents = (!self.intents.is_empty()).then(|| self.table(detail));
        let disruptions =
            (!self.disruptions.is_empty()).then(|| disrupted::list(&self.disruptions, detail));
        let runs = (!self.runs.is_empty()).then(|| runs::text(&self.runs, detail));
        let parts: Vec<String> = [intents, disruptions, runs].into_iter().flatten().collect();
        let mut text = match parts.is_empty() {
            true => self.empty.to_owned(),
            false => parts.join("\n\n"),
        };
        for line in self.brake.iter().flat_map(BrakeRecord::lines) {
            text = format!("{}\n{line}", text.trim_end());
        }
        text
    }

    fn names(&self) -> Vec<String> {
        let intents = self.intents.iter().map(|intent| &intent.id);
        let disruptions = self.disruptions.iter().map(|one| &one.id);
        let runs = self.runs.iter().map(|run| &run.id);
        intents.chain(disruptions).chain(runs).cloned().collect()
    }
}

/// What is said of a fault that loses nothing.
fn shadow(fault: &fault::Fault) -> Option<String> {
    let cut = fault.kind.cut().filter(|cut| cut.verdict == Verdict::Count);
    cut.map(|_| format!("{}: shadow: nothing is lost, only counted", fault.id.intent))
}

fn unheard(node: &str) -> String {
    format!(
        "{node} is not connected: what was put in there ends with its lease, or at once if its agent has ended"
    )
}

/// What the processes of a part were seen to do; `None` for a cut.
fn seen(node: &str, status: &Status) -> Option<String> {
    if status.fault.kind.cut().is_some() {
        return None;
    }
    let asked = what(&status.fault.kind);
    Some(format!("{}@{node}: {asked}: {}", Route::from(&status.fault), done(status)))
}

/// What the processes of an intent were seen to do.
pub(super) fn in_processes(intent: &wire::Intent) -> Vec<String> {
    let parts = intent.parts.iter().cloned().map(PartRecord::from);
    parts.filter_map(|part| seen(&part.node, part.faults.first()?)).collect()
}

/// How an intent stands, in one word.
pub(super) fn stage(intent: &wire::Intent) -> String {
    let known = Stage::try_from(intent.stage());
    known.map_or_else(|_| "unknown".to_owned(), |stage| stage.to_string())
}

/// How an intent stands, in one line.
pub(super) fn standing(intent: &wire::Intent) -> String {
    let nodes: std::collections::BTreeSet<&str> =
        intent.parts.iter().map(|part| part.node.as_str()).collect();
    let nodes: Vec<&str> = nodes.into_iter().collect();
    let spread = intent.spread.filter(|_| intent.parts.len() > 1).map(|spread| {
        let millis = |nanos: u64| nanos as f64 / 1e6;
        format!(
            ", begun within {:.3} ms (± {:.3} ms)",
            millis(spread.achieved_ns),
            millis(spread.error_ns)
        )
    });
    format!("{} on {}{}", stage(intent), nodes.join(", "), spread.unwrap_or_default())
}

//! Intents and agents as people and programs read them. Pure.

use std::time::Duration;

use fault::{IntentId, Status, Verdict};
use proto::control as wire;
use serde::Serialize;

use super::ends::EndRecord;
use super::runs::{self, RunRecord};
use crate::cut::plan;
use crate::outcome::Outcome;
use crate::output::quantity::{bytes, time};
use crate::output::route::{Route, done, place, what};
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
    #[serde(skip_serializing_if = "String::is_empty")]
    matrix: String,
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
    spread_seconds: Option<f64>,
    spread_error_seconds: Option<f64>,
    notes: Vec<String>,
    ends: Vec<EndRecord>,
    parts: Vec<PartRecord>,
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
        let (runs, plans, matrix) = (Vec::new(), Vec::new(), String::new());
        Self { schema, exit_code: None, intents, runs, matrix, plans, empty }
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

    pub(super) fn heal(intents: Vec<wire::Intent>, runs: Vec<wire::Run>) -> Self {
        Self::new("schism.fleet-heal/v1", intents, "nothing to heal").with(runs)
    }

    pub(super) fn status(intents: Vec<wire::Intent>, runs: Vec<wire::Run>) -> Self {
        Self::new("schism.fleet-status/v1", intents, "no fault is active").with(runs)
    }

    fn with(self, runs: Vec<wire::Run>) -> Self {
        Self { runs: runs.into_iter().map(RunRecord::from).collect(), ..self }
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
            notes: intent.notes,
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

impl IntentsReport {
    /// What the count of lost packets is called: nothing is, where all that is listed only counts.
    fn lost(&self) -> &'static str {
        let parts = self.intents.iter().flat_map(|intent| &intent.parts);
        let cuts = || parts.clone().filter_map(|part| part.fault()?.kind.cut());
        let all = cuts().all(|cut| cut.verdict == Verdict::Count) && cuts().next().is_some();
        if all { "WOULD HAVE LOST" } else { "LOST" }
    }
}

impl PartRecord {
    fn fault(&self) -> Option<&fault::Fault> {
        self.faults.first().map(|status| &status.fault).or(self.planned.as_ref())
    }
}

impl Report for IntentsReport {
    fn text(&self, detail: Detail) -> String {
        if self.intents.is_empty() {
            return match self.runs.as_slice() {
                [] => self.empty.to_owned(),
                runs => runs::text(runs, detail),
            };
        }
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
            (self.lost(), Right),
        ];
        if detail == Detail::Wide {
            columns.extend([("BYTES", Right), ("ASKER", Left)]);
        }
        let mut table = Table::new(&columns);
        let mut notes = Vec::new();
        for intent in &self.intents {
            for part in &intent.parts {
                let status = part.faults.first();
                let fault = part.fault();
                let left = |left: Option<Duration>| left.map_or_else(|| "-".to_owned(), time);
                let effect = status.map(|status| status.effect).unwrap_or_default();
                let living = status.filter(|status| !status.state.is_final());
                // The last that was heard says nothing of now where the end was not heard.
                let is_stale = living.is_some() && (intent.over || part.unheard);
                let living = living.filter(|_| !is_stale);
                let state = match status {
                    Some(_) if is_stale => "unknown".to_owned(),
                    Some(status) => status.standing().to_string(),
                    None => "-".to_owned(),
                };
                let mut row = vec![
                    Cell::from(intent.id.clone()),
                    Cell::from(part.node.clone()),
                    Cell::from(
                        fault.map_or_else(String::new, |fault| Route::from(fault).to_string()),
                    ),
                    Cell::from(
                        fault.and_then(|fault| fault.kind.cut()).map_or("-", |cut| place(cut.side)),
                    ),
                    Cell::from(intent.stage.clone()),
                    Cell::from(state),
                    Cell::from(left(living.and_then(Status::time_left))),
                    Cell::from(left(living.and_then(Status::lease_left))),
                    packets(fault, effect.matched),
                    packets(fault, effect.lost),
                ];
                if detail == Detail::Wide {
                    row.push(Cell::from(bytes(effect.lost_bytes)));
                    row.push(Cell::from(fault::Legible(&intent.asker).to_string()));
                }
                table.row(row);
                notes.extend(status.and_then(|status| seen(&part.node, status)));
                notes.extend(status.and_then(|status| shadow(&status.fault)));
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
            notes.extend(intent.notes.iter().cloned());
            if detail == Detail::Wide {
                notes.extend(intent.ends.iter().filter_map(EndRecord::found));
            }
        }
        let mut text = table.text();
        if !self.matrix.is_empty() {
            text = format!("{}\n{text}", self.matrix);
        }
        notes.dedup();
        for note in notes {
            text.push('\n');
            text.push_str(&note);
        }
        for PlannedPart { node, part } in &self.plans {
            text.push_str(&format!("\non {node}: {}", part.text(detail).trim_end()));
        }
        if !self.runs.is_empty() {
            text.push_str("\n\n");
            text.push_str(&runs::text(&self.runs, detail));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        let intents = self.intents.iter().map(|intent| &intent.id);
        intents.chain(self.runs.iter().map(|run| &run.id)).cloned().collect()
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

/// A count of packets, where packets are what a fault is about.
fn packets(fault: Option<&fault::Fault>, count: u64) -> Cell {
    let counts = fault.is_none_or(|fault| fault.kind.cut().is_some());
    Cell::from(if counts { count.to_string() } else { "-".to_owned() })
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

/// Agents as the controller knows them.
#[derive(Debug, Serialize)]
pub(super) struct AgentsReport {
    schema: &'static str,
    agents: Vec<AgentRecord>,
}

#[derive(Debug, Serialize)]
struct AgentRecord {
    node: String,
    connected: bool,
    version: String,
    kernel: String,
    missing: Vec<String>,
    heard_seconds_ago: f64,
    clock_offset_seconds: f64,
    clock_error_seconds: f64,
    active_faults: u32,
    remote: String,
    contested: bool,
}

impl AgentsReport {
    pub(super) fn new(agents: Vec<wire::AgentStatus>) -> Self {
        let agents = agents.into_iter().map(AgentRecord::from).collect();
        Self { schema: "schism.agents/v1", agents }
    }
}

impl From<wire::AgentStatus> for AgentRecord {
    fn from(agent: wire::AgentStatus) -> Self {
        use proto::agent::capability::Presence;
        let about = agent.description.unwrap_or_default();
        let missing = about
            .capabilities
            .iter()
            .filter(|capability| capability.presence() == Presence::Missing)
            .map(|capability| capability.name.clone());
        Self {
            node: agent.node,
            connected: agent.connected,
            missing: missing.collect(),
            version: about.version,
            kernel: about.kernel,
            heard_seconds_ago: Duration::from_nanos(agent.heard_ago_ns).as_secs_f64(),
            clock_offset_seconds: agent.clock_offset_ns as f64 / 1e9,
            clock_error_seconds: agent.clock_error_ns as f64 / 1e9,
            active_faults: agent.active_faults,
            remote: agent.remote,
            contested: agent.contested,
        }
    }
}

impl Report for AgentsReport {
    fn text(&self, _: Detail) -> String {
        if self.agents.is_empty() {
            return "no agent has dialled this controller".to_owned();
        }
        let mut table = Table::new(&[
            ("NODE", Left),
            ("LINK", Left),
            ("VERSION", Left),
            ("KERNEL", Left),
            ("MISSING", Left),
            ("HEARD", Right),
            // Since its machine's boot, against this controller's start: the time of day is nobody's.
            ("BOOT CLOCK", Right),
            ("FAULTS", Right),
        ]);
        for agent in &self.agents {
            let missing = match agent.missing.as_slice() {
                [] => "-".to_owned(),
                names => names.join(","),
            };
            let heard = time(Duration::from_secs_f64(agent.heard_seconds_ago));
            let error = agent.clock_error_seconds * 1e3;
            table.row(vec![
                Cell::from(agent.node.clone()),
                Cell::from(agent.link().to_owned()),
                Cell::from(agent.version.clone()),
                Cell::from(agent.kernel.clone()),
                Cell::from(missing),
                Cell::from(format!("{heard} ago")),
                Cell::from(format!("{:+.6}s ±{error:.3}ms", agent.clock_offset_seconds)),
                Cell::from(agent.active_faults.to_string()),
            ]);
        }
        let mut text = table.text();
        for agent in self.agents.iter().filter(|agent| agent.contested) {
            text.push_str(&format!(
                "\n{}: two agents dial with its certificate and take each other's place; stop one of them",
                agent.node
            ));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.node.clone()).collect()
    }
}

impl AgentRecord {
    const fn link(&self) -> &'static str {
        match (self.contested, self.connected) {
            (true, _) => "contested",
            (false, true) => "up",
            (false, false) => "lost",
        }
    }
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

//! Agents as people and programs read them. Pure.

use std::time::Duration;

use proto::control as wire;
use serde::Serialize;

use super::brake::takes_none;
use crate::output::quantity::time;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Report};

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
    /// Why it takes no faults; empty where it does.
    halted: String,
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
            halted: agent.halted,
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
            ("BRAKE", Left),
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
                Cell::from(if agent.halted.is_empty() { "-" } else { "on" }),
            ]);
        }
        let mut text = table.text();
        for agent in self.agents.iter().filter(|agent| agent.contested) {
            text.push_str(&format!(
                "\n{}: two agents dial with its certificate and take each other's place; stop one of them",
                agent.node
            ));
        }
        for agent in self.agents.iter().filter(|agent| !agent.halted.is_empty()) {
            text.push_str(&format!("\n{}", takes_none(&agent.node, &agent.halted)));
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

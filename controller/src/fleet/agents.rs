//! Agents as people and programs read them. Pure.

use std::time::Duration;

use proto::control as wire;
use serde::Serialize;

use super::brake::{BrakeRecord, takes_none};
use crate::output::quantity::time;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Report};

/// Agents as the controller knows them.
#[derive(Debug, Serialize)]
pub(super) struct AgentsReport {
    schema: &'static str,
    agents: Vec<AgentRecord>,
    /// `None` of an older controller.
    brake: Option<BrakeRecord>,
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
    /// Whether it has not confirmed yet that it knows how the brake stands: what it said before may not be so.
    untold: bool,
}

impl AgentsReport {
    pub(super) fn new(reply: wire::AgentsReply) -> Self {
        let mut agents: Vec<_> = reply.agents.into_iter().map(AgentRecord::from).collect();
        let brake = reply.brake.map(|brake| {
            for agent in &mut agents {
                agent.untold = brake.behind.contains(&agent.node);
            }
            let takes_none = |agent: &&AgentRecord| agent.connected && !agent.halted.is_empty();
            let halted = |agent: &AgentRecord| wire::HaltedNode {
                node: agent.node.clone(),
                reason: agent.halted.clone(),
            };
            BrakeRecord::new(brake, agents.iter().filter(takes_none).map(halted).collect())
        });
        Self { schema: "schism.agents/v1", agents, brake }
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
            untold: false,
        }
    }
}

impl Report for AgentsReport {
    fn text(&self, _: Detail) -> String {
        let mut text = match self.agents.is_empty() {
            true => "no agent has dialled this controller".to_owned(),
            false => self.table(),
        };
        for agent in self.agents.iter().filter(|agent| agent.contested) {
            text.push_str(&format!(
                "\n{}: two agents dial with its certificate and take each other's place; stop one of them",
                agent.node
            ));
        }
        let lines = match &self.brake {
            Some(brake) => brake.lines(),
            None => {
                let halted = self.agents.iter().filter(|agent| !agent.halted.is_empty());
                halted.map(|agent| takes_none(&agent.node, &agent.halted)).collect()
            }
        };
        for line in lines {
            text.push_str(&format!("\n{line}"));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.node.clone()).collect()
    }
}

impl AgentsReport {
    fn table(&self) -> String {
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
                Cell::from(agent.brake()),
            ]);
        }
        table.text()
    }
}

impl AgentRecord {
    const fn brake(&self) -> &'static str {
        match (self.untold, self.halted.is_empty()) {
            (true, _) => "?",
            (false, true) => "-",
            (false, false) => "on",
        }
    }

    const fn link(&self) -> &'static str {
        match (self.contested, self.connected) {
            (true, _) => "contested",
            (false, true) => "up",
            (false, false) => "lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_told_of_the_brake_is_told() {
        let agent = |node: &str, halted: &str| wire::AgentStatus {
            node: node.to_owned(),
            connected: true,
            halted: halted.to_owned(),
            ..wire::AgentStatus::default()
        };
        let brake = wire::Brake {
            on: true,
            reason: "enough".to_owned(),
            behind: vec!["b".to_owned()],
            ..wire::Brake::default()
        };
        let agents = vec![agent("a", "enough"), agent("b", ""), agent("c", "by hand")];
        let reply = wire::AgentsReply { agents, brake: Some(brake) };
        let report = AgentsReport::new(reply.clone());
        let text = report.text(Detail::Normal);
        let column: Vec<&str> =
            text.lines().skip(1).take(3).filter_map(|row| row.split_whitespace().last()).collect();
        assert_eq!(column, ["on", "?", "on"], "{text}");
        // Parted from the table by a line.
        let below: Vec<&str> = text.lines().skip(5).collect();
        let expected = [
            "the brake is on: enough",
            "c takes no faults: by hand",
            "not known to have heard that the brake is on: b",
        ];
        assert_eq!(below, expected, "{text}");
        let document = serde_json::to_value(&report).unwrap();
        assert_eq!(document["agents"][1]["untold"], true, "{document:#}");
        assert_eq!(document["brake"]["untold"][0], "b", "{document:#}");
        let older = AgentsReport::new(wire::AgentsReply { brake: None, ..reply });
        assert!(older.text(Detail::Normal).ends_with("c takes no faults: by hand"));
    }
}

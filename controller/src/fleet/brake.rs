//! What came of the brake, as people and programs read it. Pure.

use proto::control as wire;
use serde::Serialize;

use super::outcome::unconfirmed;
use super::report::IntentRecord;
use crate::outcome::Outcome;
use crate::output::{Detail, Report};

/// How the brake stands.
#[derive(Debug, Serialize)]
pub(super) struct BrakeRecord {
    /// Whether the controller's is on.
    halted: bool,
    reason: String,
    who: String,
    /// Nodes that have not confirmed that they know.
    untold: Vec<String>,
    /// Nodes that take no faults, whoever has put the brake on there.
    nodes: Vec<NodeReason>,
}

#[derive(Debug, Serialize)]
struct NodeReason {
    node: String,
    reason: String,
}

/// That a node takes no faults, and why.
pub(super) fn takes_none(node: &str, reason: &str) -> String {
    format!("{node} takes no faults: {}", fault::Legible(reason))
}

impl BrakeRecord {
    pub(super) fn new(brake: wire::Brake, nodes: Vec<wire::HaltedNode>) -> Self {
        let nodes = nodes.into_iter().map(|one| NodeReason { node: one.node, reason: one.reason });
        Self {
            halted: brake.on,
            reason: brake.reason,
            who: brake.who,
            untold: brake.behind,
            nodes: nodes.collect(),
        }
    }

    /// What people are told of it; nothing where everything may be done.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.halted {
            let who = fault::Legible(&self.who);
            let by = if self.who.is_empty() { String::new() } else { format!(" (by {who})") };
            lines.push(format!("the brake is on{by}: {}", fault::Legible(&self.reason)));
        }
        // What is said of all is not said of each.
        let other = self.nodes.iter().filter(|one| !self.halted || one.reason != self.reason);
        let is_told = |one: &&NodeReason| !self.untold.contains(&one.node);
        lines.extend(other.filter(is_told).map(|one| takes_none(&one.node, &one.reason)));
        if !self.untold.is_empty() {
            let stands = if self.halted { "on" } else { "off" };
            let untold = self.untold.join(", ");
            lines.push(format!("not known to have heard that the brake is {stands}: {untold}"));
        }
        lines
    }
}

/// What came of the brake.
#[derive(Debug, Serialize)]
pub(super) struct BrakeReport {
    schema: &'static str,
    exit_code: u8,
    /// Whether it is on now.
    halted: bool,
    /// Nodes that could not be told.
    untold: Vec<String>,
    /// Of those that are there, why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<NodeReason>,
    /// What had not ended when it was put on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intents: Vec<IntentRecord>,
    /// What of that is not confirmed to be out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unconfirmed: Vec<String>,
    #[serde(skip)]
    outcome: Outcome,
}

impl BrakeReport {
    /// After `halt`.
    pub(super) fn on(reply: wire::HaltReply) -> Self {
        let unconfirmed: Vec<String> = reply.intents.iter().filter_map(unconfirmed).collect();
        let intents = reply.intents.into_iter().map(IntentRecord::from).collect();
        let outcome =
            if unconfirmed.is_empty() { Outcome::Effective } else { Outcome::Unconfirmed };
        let told = Self::of(reply.untold, reply.reasons);
        let outcome = outcome.worst(told.outcome);
        let exit_code = outcome.code();
        Self { exit_code, halted: true, intents, unconfirmed, outcome, ..told }
    }

    /// After `resume`.
    pub(super) fn off(reply: wire::ResumeReply) -> Self {
        Self::of(reply.untold, reply.reasons)
    }

    fn of(untold: Vec<String>, reasons: Vec<wire::NotTold>) -> Self {
        let reasons =
            reasons.into_iter().map(|one| NodeReason { node: one.node, reason: one.reason });
        let outcome = if untold.is_empty() { Outcome::Effective } else { Outcome::Unconfirmed };
        let (exit_code, intents, unconfirmed) = (outcome.code(), Vec::new(), Vec::new());
        let schema = "schism.brake/v1";
        let (halted, reasons) = (false, reasons.collect());
        Self { schema, exit_code, halted, untold, reasons, intents, unconfirmed, outcome }
    }

    pub(super) const fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl Report for BrakeReport {
    fn text(&self, _: Detail) -> String {
        let mut text = match self.halted {
            true => "the brake is on: new faults are refused until `schism resume`".to_owned(),
            false => "the brake is off".to_owned(),
        };
        match (self.intents.len(), self.unconfirmed.len()) {
            (0, _) => {}
            (all, 0) => text.push_str(&format!("\nconfirmed to be healed: {all}")),
            (all, open) => {
                text.push_str(&format!("\nconfirmed to be healed: {} of {all}", all - open));
            }
        }
        for sentence in &self.unconfirmed {
            text.push_str(&format!("\n{sentence}"));
        }
        let is_away = |node: &&String| self.reasons.iter().all(|one| one.node != **node);
        let away: Vec<&str> = self.untold.iter().filter(is_away).map(String::as_str).collect();
        if !away.is_empty() {
            let away = away.join(", ");
            text.push_str(&format!(
                "\ncould not be told, and is told when it is there again: {away}"
            ));
        }
        for NodeReason { node, reason } in &self.reasons {
            let reason = fault::Legible(reason);
            text.push_str(&format!("\n{node} has not confirmed it, and is told again: {reason}"));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.untold.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_halted_is_told_once() {
        let node = |node: &str, reason: &str| wire::HaltedNode {
            node: node.to_owned(),
            reason: reason.to_owned(),
        };
        let brake = |on, reason: &str, behind: &[&str]| wire::Brake {
            on,
            reason: reason.to_owned(),
            who: if on { "ann".to_owned() } else { String::new() },
            behind: behind.iter().map(|node| (*node).to_owned()).collect(),
            told: Vec::new(),
        };
        let lines = |brake, nodes| BrakeRecord::new(brake, nodes).lines();
        assert_eq!(lines(brake(false, "", &[]), Vec::new()), Vec::<String>::new());
        let by_hand = "/run/schism/halt is there";
        assert_eq!(
            lines(brake(false, "", &["c"]), vec![node("b", by_hand), node("c", "enough")]),
            [
                "b takes no faults: /run/schism/halt is there",
                "not known to have heard that the brake is off: c"
            ]
        );
        assert_eq!(
            lines(brake(true, "enough", &["c"]), vec![node("a", "enough"), node("b", by_hand)]),
            [
                "the brake is on (by ann): enough",
                "b takes no faults: /run/schism/halt is there",
                "not known to have heard that the brake is on: c"
            ]
        );
    }

    #[test]
    fn a_brake_that_healed_everything_is_done_and_another_one_is_not() {
        let intent = |id, stage: wire::Stage| wire::Intent {
            id,
            stage: stage.into(),
            ..wire::Intent::default()
        };
        let reply = |intents| wire::HaltReply { intents, ..wire::HaltReply::default() };
        let all = BrakeReport::on(reply(vec![intent(10, wire::Stage::Healed)]));
        assert_eq!(all.outcome(), Outcome::Effective);
        assert!(all.text(Detail::Normal).ends_with("confirmed to be healed: 1"));
        let (healed, healing) = (intent(10, wire::Stage::Healed), intent(11, wire::Stage::Healing));
        let some = BrakeReport::on(reply(vec![healed, healing]));
        assert_eq!((some.outcome(), some.exit_code), (Outcome::Unconfirmed, 5));
        let text = some.text(Detail::Normal);
        assert!(text.contains("confirmed to be healed: 1 of 2\n00000000000b is not"), "{text}");
    }

    #[test]
    fn who_is_there_and_has_not_confirmed_it_is_not_called_away() {
        let reason = "remove /run/schism/halt: Is a directory".to_owned();
        let reply = wire::ResumeReply {
            untold: vec!["a".to_owned(), "b".to_owned()],
            reasons: vec![wire::NotTold { node: "b".to_owned(), reason }],
        };
        let report = BrakeReport::off(reply);
        assert_eq!(report.outcome(), Outcome::Unconfirmed);
        let expected = "the brake is off\n\
                        could not be told, and is told when it is there again: a\n\
                        b has not confirmed it, and is told again: remove /run/schism/halt: Is a directory";
        assert_eq!(report.text(Detail::Normal), expected);
    }
}

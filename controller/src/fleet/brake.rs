//! What came of the brake, as people and programs read it. Pure.

use proto::control as wire;
use serde::Serialize;

use super::outcome::unconfirmed;
use super::report::IntentRecord;
use crate::outcome::Outcome;
use crate::output::{Detail, Report};

/// What came of the brake.
#[derive(Debug, Serialize)]
pub(super) struct BrakeReport {
    schema: &'static str,
    exit_code: u8,
    /// Whether it is on now.
    halted: bool,
    /// Nodes that could not be told.
    untold: Vec<String>,
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
        let told = Self::off(reply.untold);
        let outcome = outcome.worst(told.outcome);
        let exit_code = outcome.code();
        Self { exit_code, halted: true, intents, unconfirmed, outcome, ..told }
    }

    /// After `resume`.
    pub(super) fn off(untold: Vec<String>) -> Self {
        let outcome = if untold.is_empty() { Outcome::Effective } else { Outcome::Unconfirmed };
        let (exit_code, intents, unconfirmed) = (outcome.code(), Vec::new(), Vec::new());
        let schema = "schism.brake/v1";
        Self { schema, exit_code, halted: false, untold, intents, unconfirmed, outcome }
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
        if !self.untold.is_empty() {
            let untold = self.untold.join(", ");
            text.push_str(&format!(
                "\ncould not be told, and is told when it is there again: {untold}"
            ));
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
    fn a_brake_that_healed_everything_is_done_and_another_one_is_not() {
        let intent = |id, stage: wire::Stage| wire::Intent {
            id,
            stage: stage.into(),
            ..wire::Intent::default()
        };
        let reply = |intents| wire::HaltReply { intents, untold: Vec::new() };
        let all = BrakeReport::on(reply(vec![intent(10, wire::Stage::Healed)]));
        assert_eq!(all.outcome(), Outcome::Effective);
        assert!(all.text(Detail::Normal).ends_with("confirmed to be healed: 1"));
        let (healed, healing) = (intent(10, wire::Stage::Healed), intent(11, wire::Stage::Healing));
        let some = BrakeReport::on(reply(vec![healed, healing]));
        assert_eq!((some.outcome(), some.exit_code), (Outcome::Unconfirmed, 5));
        let text = some.text(Detail::Normal);
        assert!(text.contains("confirmed to be healed: 1 of 2\n00000000000b is not"), "{text}");
    }
}

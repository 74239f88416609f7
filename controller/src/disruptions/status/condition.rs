//! Conditions of a disruption, as `kubectl wait` knows them. Pure.

use super::{Phase, Status};
use crate::objects::status::{Condition, Truth};
use crate::outcome::Outcome;

/// What holds of it.
pub(super) fn of(status: &Status) -> Vec<Condition> {
    let Status { phase, exit_code, message, .. } = status;
    let accepted = match phase {
        Phase::Refused => (Truth::False, "Refused", message.as_str()),
        Phase::Pending
        | Phase::UnderWay
        | Phase::Standing
        | Phase::Undoing
        | Phase::Done
        | Phase::Failed
        | Phase::Idle
        | Phase::Unknown => (Truth::True, "Accepted", "no guard is against it"),
    };
    let standing = match phase {
        Phase::Standing => (Truth::True, "Standing", "the node is cordoned"),
        Phase::Pending
        | Phase::Refused
        | Phase::UnderWay
        | Phase::Undoing
        | Phase::Done
        | Phase::Failed
        | Phase::Idle
        | Phase::Unknown => (Truth::False, word(*phase), ""),
    };
    let complete = if phase.is_final() { Truth::True } else { Truth::False };
    let succeeded = match exit_code {
        Some(code) if *code == Outcome::Effective.code() => Truth::True,
        Some(_) => Truth::False,
        None => Truth::Unknown,
    };
    vec![
        Condition::new("Accepted", accepted.0, accepted.1, accepted.2),
        Condition::new("Standing", standing.0, standing.1, standing.2),
        Condition::new("Complete", complete, word(*phase), ""),
        Condition::new("Succeeded", succeeded, word(*phase), message),
    ]
}

/// Why, for programs.
const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Refused => "Refused",
        Phase::UnderWay => "UnderWay",
        Phase::Standing => "Standing",
        Phase::Undoing => "Undoing",
        Phase::Done => "Done",
        Phase::Failed => "Failed",
        Phase::Idle => "Idle",
        Phase::Unknown => "Unknown",
    }
}

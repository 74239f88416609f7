//! What a command comes to by what became of intents. Pure.

use std::time::Duration;

use fault::{IntentId, Status};
use proto::control as wire;

use super::happened;
use crate::control::is_over;
use crate::heal::{INERT, INERT_MEANS};
use crate::outcome::Outcome;
use crate::output::quantity::time;

/// What is said where a cut had no effect.
pub(crate) const UNMATCHED: &str =
    "nothing was matched in one direction at least, so it had no effect there";
/// What is said where a fault in processes had none.
pub(crate) const UNMEASURED: &str =
    "of one target at least nothing was measured, so no effect is known there";

/// What a command comes to by what became of intents.
pub(crate) fn outcome(intents: &[wire::Intent]) -> Outcome {
    let each = |intent: &wire::Intent| match intent.stage() {
        wire::Stage::Unconfirmed => Outcome::Unconfirmed,
        // It never acted, or it did and something of it is still there.
        wire::Stage::Failed if intent.began == 0 || stays(intent) => Outcome::Unconfirmed,
        wire::Stage::Failed => Outcome::Deviated,
        wire::Stage::Unspecified
        | wire::Stage::Pending
        | wire::Stage::Preparing
        | wire::Stage::Active
        | wire::Stage::Healing
        | wire::Stage::Healed
        | wire::Stage::Expired => {
            let happened = happened(intent);
            match !happened.is_empty() && happened.into_iter().all(|it| it) {
                true => Outcome::Effective,
                false => Outcome::NothingMatched,
            }
        }
    };
    intents.iter().map(each).fold(Outcome::Effective, Outcome::worst)
}

/// What a heal comes to: it is done when it is confirmed, whatever the fault has matched.
pub(super) fn confirmed(intents: &[wire::Intent]) -> Outcome {
    match intents.iter().all(is_confirmed) {
        true => Outcome::Effective,
        false => Outcome::Unconfirmed,
    }
}

/// What is not confirmed to be out of an intent that was to end, and what ends it then; `None` if all of
/// it is out.
pub(crate) fn unconfirmed(intent: &wire::Intent) -> Option<String> {
    if is_confirmed(intent) {
        return None;
    }
    let open = |part: &&wire::Part| part.owed || is_left(part) || !is_over(intent) && lives(part);
    let parts: Vec<&wire::Part> = intent.parts.iter().filter(open).collect();
    let mut nodes: Vec<&str> = parts.iter().map(|part| part.node.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let end = match parts.iter().copied().map(lease).max() {
        Some(left) if left.is_zero() => "its lease is over by now".to_owned(),
        Some(left) => format!("its lease ends it there within {}", time(left)),
        None if is_over(intent) => "its node is gone, and its lease is over".to_owned(),
        None => "its lease ends it".to_owned(),
    };
    let id = IntentId::from_random(intent.id);
    if is_inert(intent) {
        let nodes = nodes.join(", ");
        return Some(format!("{id} is not out whole on {nodes}: {INERT}; {INERT_MEANS}"));
    }
    let place = if nodes.is_empty() { String::new() } else { format!(" on {}", nodes.join(", ")) };
    Some(format!("{id} is not confirmed to be healed{place}: {end}"))
}

/// Whether nothing of it acts any more, whatever stays of it.
pub(super) fn is_inert(intent: &wire::Intent) -> bool {
    let is_open = |part: &&wire::Part| part.owed || is_left(part);
    let is_inert = |part: &wire::Part| !part.owed && heard(part).is_some_and(|it| it.is_inert());
    is_over(intent)
        && intent.stage() != wire::Stage::Unconfirmed
        && intent.parts.iter().filter(is_open).all(is_inert)
}

/// Whether it is among what stands: it goes on, or something of it that is not confirmed to be out may act.
pub(super) fn stands(intent: &wire::Intent) -> bool {
    !is_over(intent) || intent.parts.iter().any(|part| part.may_act)
}

fn is_confirmed(intent: &wire::Intent) -> bool {
    is_over(intent) && intent.stage() != wire::Stage::Unconfirmed && !stays(intent)
}

/// Whether a node could not take something of it out.
fn stays(intent: &wire::Intent) -> bool {
    intent.parts.iter().any(is_left)
}

fn is_left(part: &wire::Part) -> bool {
    let drifts = heard(part).into_iter().flat_map(|status| status.drifts);
    drifts.into_iter().any(|drift| drift.is_left())
}

fn lives(part: &wire::Part) -> bool {
    heard(part).is_none_or(|status| !status.state.is_final())
}

/// How long it may act still, by what was last heard.
fn lease(part: &wire::Part) -> Duration {
    let asked = part.fault.as_ref().map_or(0, |fault| fault.lease_ns);
    let left = heard(part).and_then(|status| status.lease_left());
    left.unwrap_or(Duration::from_nanos(asked))
}

fn heard(part: &wire::Part) -> Option<Status> {
    part.status.clone().and_then(|status| status.try_into().ok())
}

#[cfg(test)]
mod tests {
    use fault::{Drift, State};

    use super::*;
    use crate::cut::specimen;

    fn part(number: u16, node: &str, state: State) -> wire::Part {
        let status = specimen::status(number, state, 1, 1);
        wire::Part {
            part: number.into(),
            node: node.to_owned(),
            fault: Some((&status.fault).into()),
            status: Some(status.into()),
            ..wire::Part::default()
        }
    }

    fn intent(stage: wire::Stage, parts: Vec<wire::Part>) -> wire::Intent {
        wire::Intent { id: 10, stage: stage.into(), parts, ..wire::Intent::default() }
    }

    #[test]
    fn what_is_not_confirmed_is_named_with_its_lease() {
        let lost = wire::Part { owed: true, ..part(1, "b", State::Active) };
        let unheard = wire::Part { owed: true, status: None, ..part(2, "c", State::Active) };
        let ended = part(0, "a", State::Healed);
        let both = intent(wire::Stage::Unconfirmed, vec![ended.clone(), lost.clone()]);
        assert_eq!(
            unconfirmed(&both).unwrap(),
            "00000000000a is not confirmed to be healed on b: its lease ends it there within 13s"
        );
        let never = intent(wire::Stage::Unconfirmed, vec![lost, unheard]);
        assert_eq!(
            unconfirmed(&never).unwrap(),
            "00000000000a is not confirmed to be healed on b, c: its lease ends it there within 15s"
        );
        let gone = intent(wire::Stage::Unconfirmed, vec![ended.clone()]);
        assert_eq!(
            unconfirmed(&gone).unwrap(),
            "00000000000a is not confirmed to be healed: its node is gone, and its lease is over"
        );
        let healing = vec![ended.clone(), part(1, "b", State::Healing)];
        assert!(unconfirmed(&intent(wire::Stage::Healing, healing)).unwrap().contains(" on b: "));
        assert_eq!(unconfirmed(&intent(wire::Stage::Healed, vec![ended])), None);
        assert_eq!(confirmed(&[both]), Outcome::Unconfirmed);
    }

    #[test]
    fn what_is_not_confirmed_stands_until_its_lease_has_ended_it() {
        let lost = wire::Part { owed: true, ..part(0, "b", State::Active) };
        let acting = wire::Part { may_act: true, ..lost.clone() };
        assert!(stands(&intent(wire::Stage::Active, vec![lost.clone()])));
        assert!(stands(&intent(wire::Stage::Unconfirmed, vec![acting])));
        assert!(!stands(&intent(wire::Stage::Unconfirmed, vec![lost])));
        assert!(!stands(&intent(wire::Stage::Healed, vec![part(0, "b", State::Healed)])));
    }

    #[test]
    fn a_skew_that_is_not_out_whole_is_not_said_to_act() {
        let mut status = specimen::status(0, State::Failed, 1, 1);
        status.drifts = vec![Drift::NotTakenOut("detach".to_owned())];
        let left = |status: Status| {
            let part = wire::Part { status: Some(status.into()), ..part(0, "a", State::Failed) };
            intent(wire::Stage::Failed, vec![part, self::part(1, "b", State::Healed)])
        };
        let cut = left(status.clone());
        assert!(!is_inert(&cut));
        assert!(unconfirmed(&cut).unwrap().contains("its lease ends it there"));
        status.fault.kind = specimen::skew();
        let undecided = left(Status {
            fault: fault::Fault {
                peers: fault::Peers { fixed: Vec::new(), followed: None },
                ..status.fault.clone()
            },
            ..status.clone()
        });
        assert!(!is_inert(&undecided), "nobody knows that it was disarmed");
        status.drifts = vec![Drift::Inert("the bytes of process 7".to_owned())];
        status.fault.peers = fault::Peers { fixed: Vec::new(), followed: None };
        let skew = left(status);
        assert!(is_inert(&skew));
        let said = unconfirmed(&skew).unwrap();
        assert!(said.contains("is not out whole on a: ") && said.contains("true time"), "{said}");
        let mut lost = skew;
        lost.parts[1].owed = true;
        lost.set_stage(wire::Stage::Unconfirmed);
        assert!(!is_inert(&lost));
    }
}

//! What faults came to, by how they ended and by what was confirmed and measured. Pure.

use std::collections::BTreeMap;

use fault::{FaultId, Kind, State, Status};
use serde::Serialize;

use super::End;
use crate::interrupts::Interrupt;
use crate::outcome::Outcome;
use crate::output::quantity::time;
use crate::output::route::Route;

/// Whether the end of a fault was confirmed by its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Confirmation {
    /// It was.
    Confirmed,
    /// It was not: the kernel ends the fault with its agent, at the latest at the lease's end.
    NotConfirmed,
}

impl Confirmation {
    /// What is to be said where it was not.
    pub(crate) fn note(self, faults: &[Status]) -> Option<String> {
        match self {
            Self::Confirmed => None,
            Self::NotConfirmed => {
                let latest = faults.iter().filter_map(Status::lease_left).max();
                let latest = latest.map_or_else(String::new, |left| {
                    format!(" ({} after the last report)", time(left))
                });
                // A moved clock is the one fault that no process of ours has to live for.
                let clocks = |status: &Status| matches!(status.fault.kind, Kind::Skew(_));
                let ends = if faults.iter().any(clocks) {
                    "a skew ends at its lease's end, and our code stays in its processes until an agent \
                     starts or `schism residue --remove` takes it out"
                } else {
                    "the fault ends with its agent, at the latest at its lease's end"
                };
                Some(format!("not confirmed by the agent: {ends}{latest}"))
            }
        }
    }
}

/// What faults came to.
pub(crate) fn outcome(end: &End, confirmation: Confirmation, faults: &[Status]) -> Outcome {
    let mut outcome = match end {
        End::Deadline | End::Done | End::AllEnded => Outcome::Effective,
        End::Interrupted(Interrupt::Keyboard | Interrupt::Termination | Interrupt::Hangup) => {
            Outcome::Interrupted
        }
        End::Broken(_, _) | End::NotRenewed(_) => Outcome::Deviated,
        End::AgentLost(_) | End::AgentSilent(_) => match confirmation {
            Confirmation::Confirmed => Outcome::Deviated,
            Confirmation::NotConfirmed => Outcome::Unconfirmed,
        },
    };
    if confirmation == Confirmation::NotConfirmed {
        outcome = outcome.worst(Outcome::Unconfirmed);
    }
    for status in faults {
        outcome = outcome.worst(match status.state {
            State::Failed if status.stays() => Outcome::Unconfirmed,
            State::Failed => Outcome::Deviated,
            State::Gone(_) if status.is_done() => Outcome::Effective,
            State::Gone(_) => Outcome::Deviated,
            State::Expired if !status.ran_its_time() && *end == End::AllEnded => Outcome::Deviated,
            State::Prepared
            | State::Active
            | State::Shadowed
            | State::Healing
            | State::Healed
            | State::Expired => Outcome::Effective,
        });
    }
    if by_route(faults).values().any(|happened| !happened) {
        outcome = outcome.worst(Outcome::NothingMatched);
    }
    outcome
}

/// The faults that are not known to be over.
pub(crate) fn unconfirmed<'a>(faults: impl Iterator<Item = &'a Status>) -> Vec<FaultId> {
    faults
        .filter(|status| !status.state.is_final() || status.stays())
        .map(|status| status.fault.id)
        .collect()
}

/// Whether anything happened, by direction or target: a direction may be enforced at two places, of which
/// the first leaves nothing for the second.
fn by_route(faults: &[Status]) -> BTreeMap<String, bool> {
    let mut routes: BTreeMap<String, bool> = BTreeMap::new();
    for status in faults {
        *routes.entry(Route::from(&status.fault).to_string()).or_default() |= status.happened();
    }
    routes
}

#[cfg(test)]
mod tests {
    use fault::Gone;

    use super::*;
    use crate::cut::specimen;

    #[test]
    fn outcomes() {
        let keyboard = End::Interrupted(Interrupt::Keyboard);
        let lost = End::AgentLost("gone".to_owned());
        let (yes, no) = (Confirmation::Confirmed, Confirmation::NotConfirmed);
        let gone = State::Gone(Gone::Namespace);
        let table = [
            (End::Deadline, yes, State::Expired, 9, 0),
            (End::Deadline, yes, State::Healed, 0, 3),
            (End::Deadline, no, State::Active, 9, 5),
            (keyboard.clone(), yes, State::Healed, 9, 130),
            (keyboard.clone(), yes, State::Healed, 0, 130),
            (keyboard, no, State::Active, 9, 5),
            (End::AllEnded, yes, State::Healed, 9, 0),
            (End::AllEnded, yes, State::Expired, 9, 1),
            (End::Broken(specimen::id(0), gone), yes, gone, 9, 1),
            (End::Broken(specimen::id(0), State::Failed), yes, State::Failed, 9, 1),
            (lost.clone(), no, State::Active, 9, 5),
            (lost, yes, State::Healed, 9, 1),
            (End::NotRenewed(specimen::id(0)), yes, State::Healed, 9, 1),
        ];
        for (end, confirmation, state, matched, code) in table {
            let faults = [specimen::status(0, state, matched, matched)];
            let found = outcome(&end, confirmation, &faults).code();
            assert_eq!(found, code, "{end:?} {confirmation:?} {state} {matched}");
        }
    }

    #[test]
    fn what_failed_and_stays_is_not_confirmed() {
        let mut failed = specimen::status(0, State::Failed, 9, 9);
        let broken = End::Broken(specimen::id(0), State::Failed);
        assert_eq!(unconfirmed([&failed].into_iter()), []);
        failed.drifts = vec![fault::Drift::NotTakenOut("detach".to_owned())];
        assert_eq!(unconfirmed([&failed].into_iter()), [specimen::id(0)]);
        let found = outcome(&broken, Confirmation::Confirmed, &[failed]);
        assert_eq!(found, Outcome::Unconfirmed);
    }

    #[test]
    fn a_direction_has_an_effect_wherever_it_was_enforced() {
        let faults =
            [specimen::status(0, State::Healed, 9, 9), specimen::status(1, State::Healed, 0, 0)];
        assert_eq!(outcome(&End::Deadline, Confirmation::Confirmed, &faults), Outcome::Effective);
    }
}

//! What is to be done about an object. Pure: time is passed in.
//!
//! Level-triggered, as for faults: whatever was missed, what is decided follows from how things are.

use std::time::Duration;

use super::resource::Object;
use super::status::Status;
use crate::link::nanos;
use crate::objects::decision::{Attempt, Ending};

/// How often steps are counted anew in a status: however many there are, they cost a call in that time.
const EVERY: Duration = Duration::from_secs(5);

/// How long an object on its way out is held for the rollbacks of its run: a rollback may wait for as long as it likes,
/// and nothing may hang by it.
const LONGEST_ROLLBACK: Duration = Duration::from_secs(600);

/// How an object stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) object: &'a Object,
    /// What is to be said of it by what is known of its run; `None` where there is none.
    pub(crate) known: Option<&'a Status>,
    pub(crate) attempt: &'a Attempt,
    pub(crate) ending: Ending,
    /// What was last said of it.
    pub(crate) said: &'a Status,
    /// When its status was last written here, Unix time, ns; 0 for never.
    pub(crate) told: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Nothing, until something happens or it is so late (Unix time, ns).
    Wait(Option<u64>),
    /// To have the object wait for its run.
    Hold,
    /// To have it wait no longer.
    Release,
    /// To have it run.
    Begin,
    /// To have it end in rollback, for this reason.
    End(&'static str),
    /// To say how it is.
    Tell(Box<Status>),
}

/// What is to be done about an object; `now` is Unix time, ns.
pub(crate) fn step(standing: Standing<'_>, now: u64) -> Step {
    match standing.known {
        Some(status) if status.phase.is_final() => over(standing, status.clone()),
        Some(status) => living(standing, status.clone(), now),
        None => unknown(standing, now),
    }
}

/// Nobody runs it, as far as is known.
fn unknown(standing: Standing<'_>, now: u64) -> Step {
    let Standing { object, attempt, said, .. } = standing;
    match attempt {
        Attempt::UnderWay => Step::Wait(None),
        Attempt::Refused(refusal) => over(standing, Status::refused(object, refusal, now)),
        // It is over for longer than anybody remembers.
        Attempt::Untried | Attempt::Again { .. } if said.phase.is_final() => release(object),
        // It is never begun twice.
        Attempt::Untried | Attempt::Again { .. } if said.has_begun() => {
            over(standing, Status::lost(object, now))
        }
        Attempt::Untried | Attempt::Again { .. } if object.is_leaving() => release(object),
        Attempt::Again { at, .. } if now < *at => Step::Wait(Some(*at)),
        Attempt::Untried | Attempt::Again { .. } if object.is_held() => Step::Begin,
        Attempt::Untried | Attempt::Again { .. } => Step::Hold,
    }
}

fn over(standing: Standing<'_>, status: Status) -> Step {
    let Standing { object, said, .. } = standing;
    // When it was refused is said once.
    let ended_at = said.ended_at.clone().or_else(|| status.ended_at.clone());
    let same = Status { ended_at, ..status.clone() };
    if said.phase.is_final() && same.settled() == said.settled() {
        return release(object);
    }
    Step::Tell(Box::new(status))
}

fn release(object: &Object) -> Step {
    if object.is_held() { Step::Release } else { Step::Wait(None) }
}

fn living(standing: Standing<'_>, status: Status, now: u64) -> Step {
    let Standing { object, ending, said, told, .. } = standing;
    if object.is_leaving() {
        match ending {
            Ending::Unasked => return Step::End("its object was deleted"),
            Ending::Asked(since) => {
                let end = since.saturating_add(nanos(LONGEST_ROLLBACK));
                if now >= end {
                    return release(object);
                }
                if !object.is_held() {
                    return Step::Wait(None);
                }
                return match status.settled() == said.settled() {
                    true => Step::Wait(Some(end)),
                    false => Step::Tell(Box::new(status)),
                };
            }
        }
    }
    if !object.is_held() {
        return Step::Hold;
    }
    if status.settled() != said.settled() {
        return Step::Tell(Box::new(status));
    }
    if status == *said {
        return Step::Wait(None);
    }
    let due = told.saturating_add(nanos(EVERY));
    if now < due { Step::Wait(Some(due)) } else { Step::Tell(Box::new(status)) }
}

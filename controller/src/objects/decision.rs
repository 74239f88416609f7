//! What is to be done about an object. Pure: time is passed in.
//!
//! Level-triggered: whatever was missed, what is decided follows from how things are. There is no more than one step
//! at a time for each object, and after each it is looked at anew.

use std::time::Duration;

use proto::control as wire;

use super::resource::Object;
use super::status::{Phase, Status};
use crate::control::is_over;
use crate::failure::Failure;
use crate::link::nanos;

/// When counts are first told of a fault that acts, and how many times later each next time: however long it lasts,
/// they cost some calls.
const FIRST: Duration = Duration::from_secs(10);
const FACTOR: u64 = 6;

/// How much longer than its lease an object on its way out is held for a fault of which no node says a word.
const GRACE: Duration = Duration::from_secs(3);

/// How far putting in has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It was not tried.
    #[default]
    Untried,
    /// It is being tried.
    UnderWay,
    /// What was in the way may pass: tried since then (Unix time, ns), to be tried again at the latter.
    Again { since: u64, at: u64 },
    /// It is not put in.
    Refused(Box<Failure>),
}

/// Whether the end of a fault was asked for here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Unasked,
    /// Since then (Unix time, ns).
    Asked(u64),
}

/// How an object stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) object: &'a Object,
    pub(crate) intent: Option<&'a wire::Intent>,
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
    /// To have the object wait for its fault.
    Hold,
    /// To have it wait no longer.
    Release,
    /// To put it in.
    PutIn,
    /// To take it out, for this reason.
    Heal(&'static str),
    /// To say how it is.
    Tell(Box<Status>),
}

/// What is to be done about an object; `now` is Unix time, ns.
pub(crate) fn step(standing: Standing<'_>, now: u64) -> Step {
    match standing.intent {
        Some(intent) if is_over(intent) => {
            over(standing, Status::told(standing.object, intent, now))
        }
        Some(intent) => living(standing, intent, now),
        None => unknown(standing, now),
    }
}

/// Nobody has been asked for it, as far as is known.
fn unknown(standing: Standing<'_>, now: u64) -> Step {
    let Standing { object, attempt, said, .. } = standing;
    match attempt {
        Attempt::UnderWay => Step::Wait(None),
        Attempt::Refused(refusal) => over(standing, Status::refused(object, refusal, now)),
        // It is over for longer than anybody remembers.
        Attempt::Untried | Attempt::Again { .. } if said.phase.is_final() => release(object),
        Attempt::Untried | Attempt::Again { .. } if object.is_leaving() => release(object),
        Attempt::Again { at, .. } if now < *at => Step::Wait(Some(*at)),
        Attempt::Untried | Attempt::Again { .. } if object.is_held() => Step::PutIn,
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

fn living(standing: Standing<'_>, intent: &wire::Intent, now: u64) -> Step {
    let Standing { object, ending, said, told, .. } = standing;
    if object.is_leaving() {
        return match ending {
            Ending::Unasked => Step::Heal("its object was deleted"),
            Ending::Asked(since) => {
                // Whatever becomes of it, its lease ends it by then.
                let lease = intent.spec.as_ref().map_or(0, |spec| spec.lease_ns);
                let end = since.saturating_add(lease).saturating_add(nanos(GRACE));
                if now < end { Step::Wait(Some(end)) } else { release(object) }
            }
        };
    }
    if !object.is_held() {
        return Step::Hold;
    }
    // On its way in or out it is for moments: that is worth no call.
    if intent.stage() != wire::Stage::Active {
        return Step::Wait(None);
    }
    let status = Status::told(object, intent, now);
    if said.phase != Phase::Active || status.settled() != said.settled() {
        return Step::Tell(Box::new(status));
    }
    let due = due(intent.began, told);
    if now < due {
        return Step::Wait(Some(due));
    }
    // Its next time is counted from this one, whether or not anything was counted since.
    Step::Tell(Box::new(status))
}

/// When counts are told next of a fault that began then and of which was told last at that time; all Unix times, ns.
fn due(began: u64, told: u64) -> u64 {
    let mut after = nanos(FIRST);
    while began.saturating_add(after) <= told && after < u64::MAX / FACTOR {
        after *= FACTOR;
    }
    began.saturating_add(after)
}

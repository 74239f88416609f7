//! What is to be done about a fault. Pure: time is passed in.

use std::time::Duration;

use proto::control as wire;

use super::status::{Phase, Status};
use crate::control::is_over;
use crate::keeping::decision::{Ending, Said as _, Standing, Step};
use crate::link::nanos;

/// When counts are first told of a fault that acts, and how many times later each next time: however long it lasts,
/// they cost some calls.
const FIRST: Duration = Duration::from_secs(10);
const FACTOR: u64 = 6;

/// How much longer than its lease an object on its way out is held for a fault of which no node says a word.
const GRACE: Duration = Duration::from_secs(3);

/// What is to be done about an object of which this intent is known; `now` is Unix time, ns.
pub(crate) fn step(
    standing: &Standing<'_, Status>,
    intent: Option<&wire::Intent>,
    now: u64,
) -> Step<Status> {
    match intent {
        Some(intent) if is_over(intent) => {
            standing.over(Status::told(standing.object, intent, now))
        }
        Some(intent) => living(standing, intent, now),
        None => standing.unbegun(now),
    }
}

fn living(standing: &Standing<'_, Status>, intent: &wire::Intent, now: u64) -> Step<Status> {
    let Standing { object, ending, said, told, .. } = *standing;
    if object.is_leaving() {
        return match ending {
            Ending::Unasked => Step::End("its object was deleted"),
            Ending::Asked(since) => {
                // Whatever becomes of it, its lease ends it by then.
                let lease = intent.spec.as_ref().map_or(0, |spec| spec.lease_ns);
                let end = since.saturating_add(lease).saturating_add(nanos(GRACE));
                if now < end { Step::Wait(Some(end)) } else { standing.release() }
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

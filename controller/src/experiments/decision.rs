//! What is to be done about an experiment. Pure: time is passed in.

use std::time::Duration;

use super::status::Status;
use crate::keeping::decision::{Ending, Said as _, Standing, Step};
use crate::link::nanos;

/// How often steps are counted anew in a status: however many there are, they cost a call in that time.
const EVERY: Duration = Duration::from_secs(5);

/// How long an object on its way out is held for the rollbacks of its run: a rollback may wait for as long as it likes,
/// and nothing may hang by it.
const LONGEST_ROLLBACK: Duration = Duration::from_secs(600);

/// What is to be done about an object of which this is to be said by what is known of its run, where there is one; `now`
/// is Unix time, ns.
pub(crate) fn step(
    standing: &Standing<'_, Status>,
    known: Option<&Status>,
    now: u64,
) -> Step<Status> {
    match known {
        Some(status) if status.phase.is_final() => standing.over(status.clone()),
        Some(status) => living(standing, status.clone(), now),
        None => standing.unbegun(now),
    }
}

fn living(standing: &Standing<'_, Status>, status: Status, now: u64) -> Step<Status> {
    let Standing { object, ending, said, told, .. } = *standing;
    if object.is_leaving() {
        match ending {
            Ending::Unasked => return Step::End("its object was deleted"),
            Ending::Asked(since) => {
                let end = since.saturating_add(nanos(LONGEST_ROLLBACK));
                if now >= end {
                    return standing.release();
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

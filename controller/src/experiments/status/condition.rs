//! Conditions of an experiment, as `kubectl wait` knows them. Pure.

use super::{Phase, Status};
use crate::failure::Cause;
use crate::objects::status::condition::reason;
use crate::objects::status::{Condition, Truth};

/// Of a run that does not begin.
pub(super) fn refused(cause: Cause, message: &str) -> Vec<Condition> {
    vec![
        Condition::new("Accepted", Truth::False, reason(cause), message),
        Condition::new("Complete", Truth::True, "Refused", "nothing was touched"),
        Condition::new("Succeeded", Truth::False, "Refused", "nothing was touched"),
    ]
}

/// Of a run that has begun, or was to.
pub(super) fn of(status: &Status) -> Vec<Condition> {
    let Status { phase, exit_code, message, job, .. } = status;
    let accepted = match phase {
        Phase::Refused => (Truth::False, "Refused", message.as_str()),
        Phase::Pending if job.is_empty() => (Truth::Unknown, "Waiting", message.as_str()),
        Phase::Pending => (Truth::True, "Accepted", "its Job is made"),
        Phase::Running
        | Phase::RollingBack
        | Phase::Completed
        | Phase::Failed
        | Phase::Aborted
        | Phase::Interrupted
        | Phase::Owed
        | Phase::Unknown => (Truth::True, "Accepted", "it has begun"),
    };
    let complete = match phase {
        Phase::Owed => (Truth::True, "Owed", "it goes no further, and rollbacks are owed"),
        Phase::Refused | Phase::Completed | Phase::Failed | Phase::Aborted | Phase::Interrupted => {
            (Truth::True, phase.word(), "")
        }
        Phase::Pending | Phase::Running | Phase::RollingBack | Phase::Unknown => {
            (Truth::False, phase.word(), "")
        }
    };
    let succeeded = match exit_code {
        Some(0) if *phase == Phase::Completed => (Truth::True, "Succeeded"),
        Some(_) => (Truth::False, phase.word()),
        None => (Truth::Unknown, phase.word()),
    };
    vec![
        Condition::new("Accepted", accepted.0, accepted.1, accepted.2),
        Condition::new("Complete", complete.0, complete.1, complete.2),
        Condition::new("Succeeded", succeeded.0, succeeded.1, message),
    ]
}

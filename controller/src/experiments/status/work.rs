//! From what became of a Job to what its object says of it. Pure: time is passed in.

use super::{Phase, Status, TOLD, condition, short, steps};
use crate::experiments::job::{self, Course, End, Work};
use crate::experiments::resource::Object;
use crate::objects::status::instant;

/// What a command whose last words nobody has heard is taken to end with: nothing is confirmed.
const UNCONFIRMED: u8 = 5;

impl Status {
    /// What is said of an object by what became of its Job; `None` where it has none. `now` is Unix time, ns.
    pub(crate) fn of_work(object: &Object, work: &Work, now: u64) -> Option<Self> {
        let asked = object.spec.job.as_ref()?;
        let made = work.job.as_ref().filter(|made| job::is_of(&made.metadata, object))?;
        let began = object.status.started_at.clone();
        let kept = job::journal(object, object.id()?);
        let begun = Self {
            job: format!("{}/{}", job::namespace(object, asked)?, made.metadata.name),
            started_at: began.or_else(|| Some(instant(now))),
            steps: steps(object, 0),
            journal: match &asked.journal {
                Some(claim) => format!("{kept} in the claim {claim}"),
                None => format!("{kept} in /journal of its pod, as long as that is there"),
            },
            ..Self::begun(object)
        };
        let status = match job::course(made, work) {
            Course::Waiting(why) => Self { message: short(&why), ..begun },
            Course::Running => Self { phase: Phase::Running, part: "job".to_owned(), ..begun },
            Course::Ended(end) => begun.ended(object, &end, now),
        };
        let conditions = condition::of(&status);
        Some(status.with(conditions, object, now))
    }

    fn ended(self, object: &Object, end: &End, now: u64) -> Self {
        // Where nobody says when it happened, it is as it was said first.
        let at = end.at.clone().or_else(|| object.status.ended_at.clone());
        let begun = Self { ended_at: at.or_else(|| Some(instant(now))), ..self };
        let Some(words) = &end.words else {
            let code = end.code.map(|code| format!(", exit code {code}")).unwrap_or_default();
            let reason = &end.reason;
            let message =
                format!("it has left no last words ({reason}{code}): its faults are deleted");
            // Of a container that has ended that is known; otherwise it was taken away.
            let phase = if end.code.is_some() { Phase::Failed } else { Phase::Interrupted };
            let exit_code = Some(UNCONFIRMED);
            return Self { phase, exit_code, message: short(&message), ..begun };
        };
        let exit_code = Some(words.exit_code);
        let trouble = words.error.as_ref().map(|error| match &error.hint {
            Some(hint) => short(&format!("{}; {hint}", error.message)),
            None => short(&error.message),
        });
        let Some(run) = words.runs.first() else {
            let message = trouble.unwrap_or_default();
            return Self { phase: Phase::Refused, exit_code, message, ..begun };
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let owed: Vec<&String> = run.owed.rollbacks.iter().chain(&run.owed.faults).collect();
        let reasons: Vec<String> = run.reasons.iter().take(TOLD).map(|why| short(why)).collect();
        Self {
            phase: match run.status.as_str() {
                _ if !owed.is_empty() => Phase::Owed,
                "completed" => Phase::Completed,
                "failed" => Phase::Failed,
                "aborted" => Phase::Aborted,
                _ => Phase::Interrupted,
            },
            exit_code,
            deviated: Some(run.deviated),
            steps: steps(object, run.steps.ended()),
            faults: Some(count(run.faults.len())),
            owes: Some(count(owed.len())),
            owed: owed.into_iter().take(TOLD).map(|name| short(name)).collect(),
            message: trouble.or_else(|| reasons.first().cloned()).unwrap_or_default(),
            reasons,
            ..begun
        }
    }
}

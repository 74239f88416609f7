//! From what became of a run to what its object says of it. Pure: time is passed in.
//!
//! Steps and faults are counted and not listed, and nothing that a step has found is told: the journal has it.

mod condition;
mod work;

use fault::IntentId;
use proto::control as wire;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resource::{Object, Spec};
use crate::failure::Failure;
use crate::keeping::decision::Said;
use crate::objects::status::condition::since;
use crate::objects::status::{Condition, instant};

/// How many of the reasons, and of the rollbacks that are owed, are told.
const TOLD: usize = 5;

/// The longest text that is told, in characters.
const LONGEST: usize = 1000;

/// What an object says of its run. What is empty is not written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    /// What became of it, in one word.
    pub(crate) phase: Phase,
    /// What the experiment is called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) title: String,
    /// The id of the run, 12 hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) run: String,
    /// From what was drawn: a number of 64 bits, which JSON has no room for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) seed: String,
    /// Which part of it goes on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) part: String,
    /// Since when (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// Steps of the method that have ended, and how many there are: `2/5`; the first alone where steps are repeated.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) steps: String,
    /// How many faults it has asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) faults: Option<u32>,
    /// Whether the system deviated from its steady state, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deviated: Option<bool>,
    /// The first few reasons of the verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reasons: Vec<String>,
    /// How many rollbacks are owed, once it is over, and the first few of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owes: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) owed: Vec<String>,
    /// What went wrong, in one sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// What a command that has run it ends with, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<u8>,
    /// The Job that runs it, where that is not the controller: `NAMESPACE/NAME`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) job: String,
    /// Where its journal is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) journal: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
    /// Of which specification this is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Phase {
    /// It has not begun.
    #[default]
    Pending,
    /// It does not begin.
    Refused,
    /// It goes on.
    Running,
    /// Its rollbacks are played.
    RollingBack,
    /// It went its way.
    Completed,
    /// It failed.
    Failed,
    /// A step could not be performed at all.
    Aborted,
    /// Somebody ended it, and it was rolled back.
    Interrupted,
    /// It goes no further, and rollbacks are owed.
    Owed,
    /// A word of the future.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Whether nothing more comes of it by itself.
    pub(crate) const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::RollingBack | Self::Unknown => false,
            Self::Refused
            | Self::Completed
            | Self::Failed
            | Self::Aborted
            | Self::Interrupted
            | Self::Owed => true,
        }
    }

    /// Whether a run had begun when this was said.
    const fn has_begun(self) -> bool {
        match self {
            Self::Pending | Self::Refused | Self::Unknown => false,
            Self::Running
            | Self::RollingBack
            | Self::Completed
            | Self::Failed
            | Self::Aborted
            | Self::Interrupted
            | Self::Owed => true,
        }
    }

    /// As `kubectl` shows it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Refused => "Refused",
            Self::Running => "Running",
            Self::RollingBack => "RollingBack",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
            Self::Interrupted => "Interrupted",
            Self::Owed => "Owed",
            Self::Unknown => "Unknown",
        }
    }

    fn of(run: &wire::Run) -> Self {
        match run.phase() {
            wire::RunPhase::Unspecified
            | wire::RunPhase::Starting
            | wire::RunPhase::Before
            | wire::RunPhase::Method
            | wire::RunPhase::After => Self::Running,
            wire::RunPhase::Rollbacks => Self::RollingBack,
            wire::RunPhase::Owed => Self::Owed,
            wire::RunPhase::Ended => match run.verdict.clone().unwrap_or_default().status() {
                wire::RunStatus::Completed => Self::Completed,
                wire::RunStatus::Failed => Self::Failed,
                wire::RunStatus::Aborted => Self::Aborted,
                wire::RunStatus::Interrupted | wire::RunStatus::Unspecified => Self::Interrupted,
            },
        }
    }
}

impl Status {
    /// Whether it had begun, or something was made to run it, when this was said.
    pub(crate) const fn has_begun(&self) -> bool {
        self.phase.has_begun() || !self.job.is_empty()
    }

    fn begun(object: &Object) -> Self {
        let title = object.spec.experiment.get("title").and_then(Value::as_str);
        Self {
            title: short(title.unwrap_or_default()),
            run: object.id().map(|id| id.to_string()).unwrap_or_default(),
            seed: object.seed().to_string(),
            observed_generation: object.metadata.generation,
            ..Self::default()
        }
    }

    /// With what holds of it, some of it since before; `now` is Unix time, ns.
    fn with(self, conditions: Vec<Condition>, object: &Object, now: u64) -> Self {
        let conditions = since(conditions, &object.status.conditions, now);
        Self { conditions, ..self }
    }

    /// What is said of an object by what became of its run, of whose method so many steps have ended; `now` is Unix
    /// time, ns.
    pub(crate) fn told(object: &Object, run: &wire::Run, ended: u32, now: u64) -> Self {
        let (begun, phase) = (Self::begun(object), Phase::of(run));
        let over = phase.is_final();
        let at = |nanos: u64| (nanos != 0).then(|| instant(nanos));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let verdict = run.verdict.clone().filter(|_| over);
        let reasons = verdict.iter().flat_map(|verdict| &verdict.reasons);
        let reasons: Vec<String> = reasons.take(TOLD).map(|reason| short(reason)).collect();
        let owed: Vec<&str> = match over {
            true => run.owed.iter().map(|owed| owed.name.as_str()).collect(),
            false => Vec::new(),
        };
        let why = if run.reason.is_empty() { reasons.first() } else { Some(&run.reason) };
        let id = IntentId::from_random(run.id);
        let status = Self {
            phase,
            title: short(&run.title),
            run: id.to_string(),
            part: part(run).to_owned(),
            started_at: at(run.asked),
            ended_at: at(run.ended).filter(|_| over),
            steps: steps(object, ended),
            faults: Some(count(run.faults.len())),
            deviated: verdict.as_ref().map(|verdict| verdict.deviated),
            owes: over.then(|| count(owed.len())),
            owed: owed.into_iter().take(TOLD).map(short).collect(),
            message: why.map(|why| short(why)).unwrap_or_default(),
            exit_code: verdict.map(|verdict| code(verdict.exit())),
            journal: match over {
                true => format!("runs/{id}.json in the archive of the controller"),
                false => String::new(),
            },
            reasons,
            ..begun
        };
        let conditions = condition::of(&status);
        status.with(conditions, object, now)
    }
}

/// What a status may have said before, and does not say any more: a run that is taken over goes on.
const PASSING: [&str; 9] =
    ["part", "endedAt", "deviated", "reasons", "owes", "owed", "message", "exitCode", "journal"];

impl Said for Status {
    type Spec = Spec;
    type Phase = Phase;

    fn phase(&self) -> Phase {
        self.phase
    }

    fn word(&self) -> &'static str {
        self.phase.word()
    }

    fn is_final(&self) -> bool {
        self.phase.is_final()
    }

    /// What something waits for is no news either.
    fn settled(&self) -> Self {
        let message = match self.phase {
            Phase::Pending => String::new(),
            Phase::Refused
            | Phase::Running
            | Phase::RollingBack
            | Phase::Completed
            | Phase::Failed
            | Phase::Aborted
            | Phase::Interrupted
            | Phase::Owed
            | Phase::Unknown => self.message.clone(),
        };
        Self {
            message,
            steps: String::new(),
            faults: self.faults.map(|_| 0),
            conditions: self.conditions.iter().map(Condition::settled).collect(),
            ..self.clone()
        }
    }

    fn ended_with(&self, earlier: &Self) -> Self {
        let ended_at = earlier.ended_at.clone().or_else(|| self.ended_at.clone());
        Self { ended_at, ..self.clone() }
    }

    fn refused(object: &Object, refusal: &Failure, now: u64) -> Self {
        let message = match &refusal.hint {
            Some(hint) => format!("{}; {hint}", refusal.reason),
            None => refusal.reason.clone(),
        };
        let status = Self {
            phase: Phase::Refused,
            message: short(&message),
            exit_code: Some(refusal.outcome.code()),
            ended_at: Some(instant(now)),
            ..Self::begun(object)
        };
        let conditions = condition::refused(refusal.cause, &status.message);
        status.with(conditions, object, now)
    }

    fn waiting(object: &Object, why: &str, now: u64) -> Self {
        let status = Self { message: short(why), ..Self::begun(object) };
        let conditions = condition::of(&status);
        status.with(conditions, object, now)
    }

    fn lost(object: &Object, said: &Self, now: u64) -> Option<Self> {
        if !said.has_begun() {
            return None;
        }
        let message = match &object.spec.job {
            None => {
                "nobody knows any more what became of it: its faults have ended with their leases"
            }
            // They are objects of their own.
            Some(_) => "nobody knows any more what became of it: its faults are deleted",
        };
        let status = Self {
            phase: Phase::Interrupted,
            part: String::new(),
            message: message.to_owned(),
            exit_code: Some(5),
            ended_at: Some(instant(now)),
            ..object.status.clone()
        };
        let conditions = condition::of(&status);
        Some(status.with(conditions, object, now))
    }

    fn written(&self) -> Value {
        let mut status = serde_json::to_value(self).unwrap_or_default();
        for key in PASSING {
            if status.get(key).is_none() {
                status[key] = Value::Null;
            }
        }
        status
    }
}

/// Which part of a run goes on.
fn part(run: &wire::Run) -> &'static str {
    match run.phase() {
        wire::RunPhase::Starting => "configuration",
        wire::RunPhase::Before => "steady state before the method",
        wire::RunPhase::Method => "method",
        wire::RunPhase::After => "steady state after the method",
        wire::RunPhase::Rollbacks => "rollbacks",
        wire::RunPhase::Unspecified | wire::RunPhase::Owed | wire::RunPhase::Ended => "",
    }
}

/// How many steps of the method have ended, and of how many where that is known beforehand.
fn steps(object: &Object, ended: u32) -> String {
    let method = object.spec.experiment.get("method").and_then(Value::as_array);
    let method = method.map_or(&[][..], Vec::as_slice);
    let is_repeated = |step: &Value| step.get("for-each").is_some();
    match method.iter().any(is_repeated) {
        true => ended.to_string(),
        false => format!("{ended}/{}", method.len()),
    }
}

/// What a command ends with.
pub(crate) const fn code(exit: wire::RunExit) -> u8 {
    match exit {
        wire::RunExit::Done => 0,
        wire::RunExit::Failed => 1,
        wire::RunExit::NoEffect => 3,
        wire::RunExit::Unconfirmed => 5,
        wire::RunExit::Interrupted | wire::RunExit::Unspecified => 130,
    }
}

/// A text as it is told.
fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

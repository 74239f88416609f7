//! Conditions of an object, as `kubectl wait` knows them. Pure.

use serde::{Deserialize, Serialize};

use super::{Phase, instant};
use crate::failure::Cause;

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Condition {
    /// `Accepted`, `Active` or `Healed`.
    #[serde(rename = "type")]
    pub(crate) name: String,
    pub(crate) status: Truth,
    /// Why, for programs.
    pub(crate) reason: String,
    /// Why, for people.
    pub(crate) message: String,
    /// Since when (RFC 3339).
    pub(crate) last_transition_time: String,
}

/// Whether it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Truth {
    True,
    False,
    /// Nobody knows.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Condition {
    /// One, of which is not known since when.
    pub(crate) fn new(name: &str, status: Truth, reason: &str, message: &str) -> Self {
        Self {
            name: name.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: String::new(),
        }
    }

    /// Without the time since when.
    pub(crate) fn settled(&self) -> Self {
        Self { last_transition_time: String::new(), ..self.clone() }
    }
}

/// Why something is refused, in a word for programs.
pub(crate) const fn reason(cause: Cause) -> &'static str {
    match cause {
        Cause::WrongUsage => "Invalid",
        Cause::NotFound => "NotFound",
        Cause::Refused => "Guarded",
        Cause::Unsupported => "Unsupported",
        Cause::Unreachable => "Unreachable",
        Cause::Kernel => "Kernel",
        Cause::Interrupted | Cause::Other => "Refused",
    }
}

/// Of a fault that is not put in.
pub(super) fn refused(cause: Cause, message: &str) -> Vec<Condition> {
    vec![
        Condition::new("Accepted", Truth::False, reason(cause), message),
        Condition::new("Active", Truth::False, "Refused", "nothing was put in"),
        Condition::new("Healed", Truth::True, "Refused", "nothing was put in"),
    ]
}

/// Of a fault that was taken up; `message` says why it failed or was ended, `acted` whether it ever did.
pub(super) fn of(phase: Phase, message: &str, acted: bool) -> Vec<Condition> {
    let active = match phase {
        Phase::Pending => (Truth::False, "Preparing", "it is on its way in"),
        Phase::Active => (Truth::True, "Active", "it was read back on every node"),
        Phase::Healing => (Truth::False, "Healing", message),
        Phase::Failed if !acted => (Truth::False, "Failed", message),
        Phase::Refused
        | Phase::Healed
        | Phase::Expired
        | Phase::Failed
        | Phase::Unconfirmed
        | Phase::Unknown => (Truth::False, "Ended", message),
    };
    let healed = match phase {
        Phase::Pending | Phase::Active => (Truth::False, "Acting", ""),
        Phase::Healing => (Truth::False, "Healing", "it is on its way out"),
        Phase::Healed => (Truth::True, "Healed", "every node has confirmed it"),
        Phase::Expired => (Truth::True, "Expired", "it has ended at its deadline"),
        Phase::Failed => (Truth::True, "Failed", "it is out wherever it was"),
        Phase::Unconfirmed => {
            (Truth::Unknown, "Unconfirmed", "a node has not confirmed it: its lease ends it there")
        }
        Phase::Refused | Phase::Unknown => (Truth::Unknown, "Unknown", ""),
    };
    vec![
        Condition::new("Accepted", Truth::True, "Accepted", "no guard is against it"),
        Condition::new("Active", active.0, active.1, active.2),
        Condition::new("Healed", healed.0, healed.1, healed.2),
    ]
}

/// The same with the times since when they hold: those of before where nothing turned; `now` is Unix time, ns.
pub(crate) fn since(all: Vec<Condition>, before: &[Condition], now: u64) -> Vec<Condition> {
    let at = |one: &Condition| {
        let same = |other: &&Condition| other.name == one.name && other.status == one.status;
        let known = before.iter().find(same).map(|other| other.last_transition_time.clone());
        known.filter(|time| !time.is_empty()).unwrap_or_else(|| instant(now))
    };
    all.into_iter().map(|one| Condition { last_transition_time: at(&one), ..one }).collect()
}

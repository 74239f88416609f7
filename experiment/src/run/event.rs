//! What a run is told.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::FaultLabel;

/// Something that was asked for and is answered. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub(super) u64);

impl CallId {
    /// The one that was told to somebody else.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// What somebody else is told.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a run is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What was asked for has ended. An answer to something that was aborted is no mistake.
    Finished(CallId, Ending),
    /// An answer to [`super::Action::Heal`].
    Healed(CallId, Healing),
    /// A fault of this run is over without being asked to.
    FaultEnded(FaultLabel, Effect),
    /// A fault of this run, or a part of it, ended before its deadline without being asked to, and why. That it is
    /// over is told apart from it.
    FaultBroke(FaultLabel, String),
    /// A fault of this run is over without being asked to, but something of it is there still, and what.
    FaultStays(FaultLabel, String),
    /// Whoever held a fault of this run is not heard of any more, and why. It may have ended, by its lease.
    FaultLost(FaultLabel, String),
    /// Somebody wants the run to end.
    Interrupt(Interruption),
    /// The time has come that was asked for with [`super::Action::Wake`].
    Tick,
}

/// How something that was asked for has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// With a value. A fault acts now, and was verified.
    Returned(Value),
    /// Without one. A fault was not put in, or is out again.
    Failed(String),
    /// In a way that its provider has no name for, such as a program that is not there. Nobody knows whether
    /// a fault was put in.
    Crashed(String),
    /// It wants the whole run to end.
    Interrupted(String),
    /// Nobody is there any more who could perform it: a rollback is left to somebody else, and the next one is
    /// played.
    Untried,
}

/// How a heal has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Healing {
    /// The fault is out.
    Out(Effect),
    /// It was over already, before its deadline, and why.
    Broken(Effect, String),
    /// It was never put in.
    Absent,
    /// Nobody said that it is: its lease will end it.
    Unconfirmed(String),
}

/// What a fault has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Whether it has done anything.
    pub had: HadEffect,
    /// Figures, such as `lost`, `passed`, `delivered`.
    pub figures: Map<String, Value>,
}

/// Whether a fault has done anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HadEffect {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// Nobody knows.
    #[default]
    Unknown,
}

/// Who wants a run to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interruption {
    /// Ctrl-C.
    Sigint,
    /// Whoever supervises the process.
    Sigterm,
    /// Its terminal is gone.
    Sighup,
    /// SIGUSR1: now, with rollbacks where they are owed.
    Sigusr1,
    /// SIGUSR2: now, without rollbacks. Faults of the run are healed all the same.
    Sigusr2,
    /// A hook or a step, and why.
    Asked(String),
    /// The line that started the run is gone.
    Lost,
    /// The journal cannot be written, and why: nobody could finish what this run owes.
    Unwritten(String),
}

impl fmt::Display for Interruption {
    /// By whom, for people. Why, where somebody has asked for it, may have a secret in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sigint | Self::Sigterm | Self::Sighup | Self::Sigusr1 | Self::Sigusr2 => {
                self.named().1
            }
            Self::Asked(_) => "it was asked to end",
            Self::Lost => "the line that started it is lost",
            Self::Unwritten(_) => "its journal cannot be written",
        })
    }
}

impl Interruption {
    /// Its kind and name in a journal.
    #[must_use]
    pub const fn named(&self) -> (&'static str, &'static str) {
        match self {
            Self::Sigint => ("signal", "SIGINT"),
            Self::Sigterm => ("signal", "SIGTERM"),
            Self::Sighup => ("signal", "SIGHUP"),
            Self::Sigusr1 => ("signal", "SIGUSR1"),
            Self::Sigusr2 => ("signal", "SIGUSR2"),
            Self::Asked(_) => ("control", "InterruptExecution"),
            Self::Lost => ("connection", "lost"),
            Self::Unwritten(_) => ("journal", "unwritten"),
        }
    }

    /// Why, as a journal has it.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Asked(reason) | Self::Unwritten(reason) => Some(reason.clone()),
            Self::Sigint | Self::Sigterm | Self::Sighup | Self::Sigusr1 | Self::Sigusr2 => {
                Some(format!("received {}", self.named().1))
            }
            Self::Lost => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_interrupts_is_told_in_words_and_not_by_a_journals_name() {
        let asked = Interruption::Asked("the key is hunter2".to_owned());
        assert_eq!(asked.to_string(), "it was asked to end");
        assert_eq!(asked.named().1, "InterruptExecution", "as the original's journals have it");
        assert_eq!(Interruption::Sigterm.to_string(), "SIGTERM");
        assert_eq!(Interruption::Sighup.to_string(), "SIGHUP");
    }
}

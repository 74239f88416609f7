//! What a run comes to, by our rules and by the original's.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Interruption;
use super::terms::Verdicts;
use crate::journal::Status;
use crate::model::FaultLabel;

/// Something that counts for the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The steady state was not met before the method.
    Baseline(String),
    /// A probe of the steady state failed, or could not be compared, before the method.
    BaselineUnknown(String),
    /// The steady state was not met during the method.
    During(String),
    /// A probe of the steady state could not be performed or compared during the method.
    DuringUnknown(String),
    /// The method was ended because of that.
    FailedFast,
    /// The steady state was not met after the method.
    After(String),
    /// A probe of the steady state failed, or could not be compared, after the method.
    AfterUnknown(String),
    /// A probe of the method was not within its tolerance.
    Probe(String),
    /// A step failed.
    Step(String),
    /// A step ended in a way that its provider has no name for.
    Crash(String),
    /// The same in the background, which the original reads over.
    BackgroundCrash(String),
    /// A setting could not be determined.
    Setting(String),
    /// A rollback failed.
    Rollback(String),
    /// A rollback ended in a way that its provider has no name for.
    RollbackCrash(String),
    /// A rollback did not come to its end, and is owed.
    RollbackStopped(String),
    /// A fault had no effect.
    NoEffect(FaultLabel),
    /// A fault ended before its deadline without being asked to.
    Broke(FaultLabel),
    /// Nobody knows how long a fault acted.
    Lost(FaultLabel),
    /// Nobody said that a fault is out.
    Unconfirmed(FaultLabel),
    /// Whoever was to be told of the run was not told of all of it, and why.
    Untold(String),
    /// Somebody wanted the run to end.
    Interrupted(Interruption),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline(probe) => {
                write!(f, "the steady state was not met before the method: `{probe}`")
            }
            Self::BaselineUnknown(probe) => {
                write!(f, "the steady state is not known before the method: `{probe}` failed")
            }
            Self::During(probe) => {
                write!(f, "the steady state was not met during the method: `{probe}`")
            }
            Self::DuringUnknown(probe) => {
                write!(f, "the steady state is not known during the method: `{probe}`")
            }
            Self::FailedFast => f.write_str("the method was ended at the first deviation"),
            Self::After(probe) => {
                write!(f, "the steady state was not met after the method: `{probe}`")
            }
            Self::AfterUnknown(probe) => {
                write!(f, "the steady state is not known after the method: `{probe}` failed")
            }
            Self::Probe(probe) => write!(f, "`{probe}` was not within its tolerance"),
            Self::Step(step) => write!(f, "`{step}` failed"),
            Self::Crash(step) => write!(f, "`{step}` could not be performed"),
            Self::BackgroundCrash(step) => {
                write!(f, "`{step}` could not be performed in the background")
            }
            Self::Setting(setting) => write!(f, "the setting `{setting}` could not be determined"),
            Self::Rollback(step) => write!(f, "the rollback `{step}` failed"),
            Self::RollbackCrash(step) => write!(f, "the rollback `{step}` could not be performed"),
            Self::RollbackStopped(step) => {
                write!(f, "the rollback `{step}` did not come to its end, and is owed")
            }
            Self::NoEffect(fault) => write!(f, "the fault `{fault}` had no effect"),
            Self::Broke(fault) => write!(f, "the fault `{fault}` ended before its time"),
            Self::Lost(fault) => {
                write!(
                    f,
                    "whoever held the fault `{fault}` was lost: nobody knows how long it acted"
                )
            }
            Self::Unconfirmed(fault) => {
                write!(f, "nobody confirmed that the fault `{fault}` is out: its lease ends it")
            }
            Self::Untold(why) => write!(f, "events were not written any more: {why}"),
            Self::Interrupted(Interruption::Unwritten(why)) => {
                write!(f, "the journal could not be written: {why}")
            }
            Self::Interrupted(by) => write!(f, "the run was interrupted ({by})"),
        }
    }
}

/// One way to see a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct View {
    status: Option<Status>,
    deviated: bool,
}

/// How a process ends, in the words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, and all was well.
    Done,
    /// 1: the system deviated, or the run failed.
    Failed,
    /// 3: a fault had no effect, and nothing else is wrong.
    NoEffect,
    /// 5: a heal was not confirmed.
    Unconfirmed,
    /// 130: somebody wanted it to end.
    Interrupted,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NoEffect => 3,
            Self::Unconfirmed => 5,
            Self::Interrupted => 130,
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub status: Status,
    /// Whether the system deviated from its steady state.
    pub deviated: bool,
    /// How the command ends.
    pub exit: Exit,
    /// Why, in the order in which it happened.
    pub reasons: Vec<Reason>,
    /// Whether the original would have ended well.
    pub original: Original,
}

/// What the original would have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// That all was well.
    Passes,
    /// That something was not.
    Fails,
}

/// What a run comes to so far.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    verdicts: Verdicts,
    original: View,
    strict: View,
    reasons: Vec<Reason>,
}

impl Standing {
    pub(super) const fn new(verdicts: Verdicts) -> Self {
        let view = View { status: None, deviated: false };
        Self { verdicts, original: view, strict: view, reasons: Vec::new() }
    }

    const fn view(&self) -> View {
        match self.verdicts {
            Verdicts::Compat => self.original,
            Verdicts::Strict => self.strict,
        }
    }

    pub(super) const fn status(&self) -> Option<Status> {
        self.view().status
    }

    pub(super) const fn deviated(&self) -> bool {
        self.view().deviated
    }

    pub(super) fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// Whether the method does not go on. A failed step alone does not stop it: later ones may tell more.
    pub(super) fn stops(&self) -> bool {
        matches!(self.status(), Some(Status::Aborted | Status::Interrupted))
            || self.reasons.contains(&Reason::FailedFast)
    }

    pub(super) fn note(&mut self, reason: Reason) {
        use Status::{Aborted, Completed, Failed, Interrupted};
        let (original, strict) = (&mut self.original, &mut self.strict);
        match &reason {
            Reason::Baseline(_) => {
                original.status = Some(Completed);
                strict.status = Some(Failed);
            }
            Reason::BaselineUnknown(_) | Reason::FailedFast => {
                original.status = Some(Failed);
                strict.status = Some(Failed);
            }
            Reason::During(_) | Reason::Probe(_) => strict.deviated = true,
            Reason::After(_) => {
                original.deviated = true;
                original.status = Some(Completed);
                strict.deviated = true;
            }
            Reason::AfterUnknown(_) => {
                *original = View { status: Some(Failed), deviated: true };
                *strict = View { status: Some(Failed), deviated: true };
            }
            Reason::Crash(_) | Reason::DuringUnknown(_) => {
                original.status = Some(Aborted);
                strict.status = Some(Aborted);
            }
            Reason::RollbackCrash(_) => {
                original.status = Some(Aborted);
                strict.worsen(Failed);
            }
            Reason::Step(_)
            | Reason::BackgroundCrash(_)
            | Reason::Setting(_)
            | Reason::Rollback(_)
            | Reason::RollbackStopped(_) => strict.worsen(Failed),
            // Counted at the end: what a fault did, or who hears of it, has no say in how the run goes on.
            Reason::NoEffect(_)
            | Reason::Broke(_)
            | Reason::Lost(_)
            | Reason::Unconfirmed(_)
            | Reason::Untold(_) => {}
            Reason::Interrupted(_) => {
                original.status = Some(Interrupted);
                strict.status = Some(Interrupted);
            }
        }
        // The same probe may be wrong a hundred times a second.
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// A view with what faults came to, and whether it was told.
    fn counted(&self, mut view: View, verdicts: Verdicts) -> View {
        let counts = |reason: &Reason| match reason {
            Reason::NoEffect(_) | Reason::Broke(_) | Reason::Lost(_) | Reason::Unconfirmed(_) => {
                true
            }
            // The original has nothing to tell.
            Reason::Untold(_) => verdicts == Verdicts::Strict,
            Reason::Baseline(_)
            | Reason::BaselineUnknown(_)
            | Reason::During(_)
            | Reason::DuringUnknown(_)
            | Reason::FailedFast
            | Reason::After(_)
            | Reason::AfterUnknown(_)
            | Reason::Probe(_)
            | Reason::Step(_)
            | Reason::Crash(_)
            | Reason::BackgroundCrash(_)
            | Reason::Setting(_)
            | Reason::Rollback(_)
            | Reason::RollbackCrash(_)
            | Reason::RollbackStopped(_)
            | Reason::Interrupted(_) => false,
        };
        if self.reasons.iter().any(counts) {
            view.worsen(Status::Failed);
        }
        view
    }

    pub(super) fn verdict(&self) -> Verdict {
        let view = self.counted(self.view(), self.verdicts);
        let View { status, deviated } = view;
        let status = status.unwrap_or(Status::Completed);
        let fails =
            |view: View| view.deviated || !matches!(view.status, None | Some(Status::Completed));
        let has = |is: fn(&Reason) -> bool| self.reasons.iter().any(is);
        let only_without_effect =
            !deviated && self.reasons.iter().all(|reason| matches!(reason, Reason::NoEffect(_)));
        let exit = match self.verdicts {
            _ if !fails(view) => Exit::Done,
            Verdicts::Compat => Exit::Failed,
            Verdicts::Strict if has(|reason| matches!(reason, Reason::Unconfirmed(_))) => {
                Exit::Unconfirmed
            }
            Verdicts::Strict if has(is_unwritten) => Exit::Failed,
            Verdicts::Strict if status == Status::Interrupted => Exit::Interrupted,
            Verdicts::Strict if only_without_effect => Exit::NoEffect,
            Verdicts::Strict => Exit::Failed,
        };
        let original = if fails(self.counted(self.original, Verdicts::Compat)) {
            Original::Fails
        } else {
            Original::Passes
        };
        Verdict { status, deviated, exit, reasons: self.reasons.clone(), original }
    }
}

/// Nobody asked for that end.
const fn is_unwritten(reason: &Reason) -> bool {
    matches!(reason, Reason::Interrupted(Interruption::Unwritten(_)))
}

impl View {
    /// What was worse before stays.
    fn worsen(&mut self, status: Status) {
        if matches!(self.status, None | Some(Status::Completed)) {
            self.status = Some(status);
        }
    }
}

impl Verdict {
    /// The last line of a run that fails by our rules alone: that it does, and why.
    #[must_use]
    pub fn explanation(&self) -> Option<String> {
        let differs = self.exit != Exit::Done && self.original == Original::Passes;
        differs.then(|| {
            let reasons: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
            format!(
                "with --compat this run would have ended well. It fails because {}",
                reasons.join("; ")
            )
        })
    }
}

//! What whoever watches a run is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Effect, Interruption};
use super::standing::Reason;
use crate::journal::Status;
use crate::model::{ActivityKind, FaultLabel, Lane};

/// One piece of news. Secrets are hidden in all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// The run begins.
    RunBegan {
        /// What the experiment is called.
        title: String,
    },
    /// An evaluation of the steady state begins.
    EvaluationBegan(Section),
    /// An evaluation of the steady state has ended.
    EvaluationEnded {
        /// Which.
        section: Section,
        /// Whether all was as it should be.
        met: bool,
        /// The probe that decided that it was not.
        probe: Option<String>,
    },
    /// The method begins.
    MethodBegan,
    /// The method is over.
    MethodEnded,
    /// Rollbacks begin.
    RollbacksBegan,
    /// Rollbacks are over.
    RollbacksEnded,
    /// Rollbacks are not played, by the strategy or because somebody asked for it.
    RollbacksLeftOut,
    /// A step begins.
    StepBegan {
        /// Of which part of the run.
        section: Section,
        /// What it is called.
        name: String,
        /// Whether it looks or does.
        kind: ActivityKind,
        /// Whether the next one waits for it.
        lane: Lane,
    },
    /// A step has ended.
    StepEnded {
        /// Of which part of the run.
        section: Section,
        /// What it is called.
        name: String,
        /// Whether it looks or does.
        kind: ActivityKind,
        /// How.
        status: Option<Status>,
        /// How long it took.
        took: Duration,
        /// What it found.
        output: Value,
        /// What went wrong.
        error: Option<String>,
        /// Whether that was within its tolerance.
        met: Option<bool>,
    },
    /// Nothing happens for a while, by a step's pauses.
    Pause {
        /// The step.
        name: String,
        /// How long.
        time: Duration,
    },
    /// A fault acts.
    FaultBegan(FaultLabel),
    /// A fault is out.
    FaultEnded(FaultLabel, Effect),
    /// A fault, or a part of it, ended before its deadline without being asked to, and why.
    FaultBroke(FaultLabel, String),
    /// Whoever held a fault is not heard of any more.
    FaultLost(FaultLabel, String),
    /// A fault may still be there until its lease ends it.
    FaultUnconfirmed(FaultLabel, String),
    /// Somebody wants the run to end.
    Interrupted(Interruption),
    /// Something that changes the verdict.
    Noted(Reason),
    /// The run is over.
    RunEnded {
        /// What it came to.
        status: Status,
        /// Whether the system deviated.
        deviated: bool,
    },
}

/// Parts of a run that have steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Settings that probes determine.
    Configuration,
    /// The steady state before the method.
    Before,
    /// The steady state during the method, counted from 1.
    During(u32),
    /// The steady state after the method.
    After,
    /// The method.
    Method,
    /// The rollbacks.
    Rollbacks,
}

impl Section {
    /// Whether its steps are judged by their tolerances wherever verdicts stand.
    #[must_use]
    pub const fn is_hypothesis(self) -> bool {
        matches!(self, Self::Before | Self::During(_) | Self::After)
    }
}

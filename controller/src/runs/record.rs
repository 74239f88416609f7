//! What is written down of a run while it goes on. Pure.

use experiment::journal::{Owed, Status};
use experiment::line::Kept;
use experiment::run::{Exit, Progress, Section, Verdict};
use fault::IntentId;
use proto::control as wire;

use crate::control::has_ended;

/// The longest title that is kept, in characters.
const LONGEST_TITLE: usize = 200;

/// A run as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) run: wire::Run,
    pub(super) kept: Kept,
}

/// Whether storing is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Some,
}

impl Change {
    fn of(changed: bool) -> Self {
        if changed { Self::Some } else { Self::None }
    }
}

/// A stored run that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("what is kept of the run cannot be read: {0}")]
pub(super) struct RecordError(#[from] serde_json::Error);

impl Record {
    /// Of an earlier life, or of a run that goes no further.
    pub(super) fn restored(run: wire::Run) -> Result<Self, RecordError> {
        let kept = serde_json::from_slice(&run.kept)?;
        Ok(Self { run, kept })
    }

    pub(super) fn id(&self) -> IntentId {
        IntentId::from_random(self.run.id)
    }

    /// What happened, as far as it says where the run is.
    pub(super) fn hears(&mut self, progress: &Progress) -> Change {
        use Progress::{EvaluationBegan, MethodBegan, MethodEnded, RollbacksBegan, RunBegan};
        if let Progress::StepEnded { section: Section::Method, .. } = progress {
            // It is stored with what is stored next.
            self.run.steps += 1;
        }
        let phase = if matches!(progress, RunBegan { .. } | EvaluationBegan(Section::Before)) {
            wire::RunPhase::Before
        } else if matches!(progress, MethodBegan) {
            wire::RunPhase::Method
        } else if matches!(progress, MethodEnded | EvaluationBegan(Section::After)) {
            wire::RunPhase::After
        } else if matches!(progress, RollbacksBegan) {
            wire::RunPhase::Rollbacks
        } else {
            return Change::None;
        };
        let changed = self.run.phase() != phase;
        self.run.set_phase(phase);
        Change::of(changed)
    }

    pub(super) fn rolls_back(&self) -> bool {
        self.run.phase() == wire::RunPhase::Rollbacks
    }

    /// What somebody has to do if it goes no further.
    pub(super) fn owes(&mut self, owed: &Owed) -> Change {
        let names = self.kept.rollbacks(&owed.rollbacks);
        let places = owed.rollbacks.iter().map(|place| u32::try_from(*place).unwrap_or(u32::MAX));
        let owed: Vec<wire::OwedRollback> =
            places.zip(names).map(|(place, name)| wire::OwedRollback { place, name }).collect();
        let changed = self.run.owed != owed;
        self.run.owed = owed;
        Change::of(changed)
    }

    /// The rollbacks that are owed, by their places.
    pub(super) fn owed(&self) -> Vec<usize> {
        self.run.owed.iter().filter_map(|owed| usize::try_from(owed.place).ok()).collect()
    }

    /// It goes no further: what is owed stays owed.
    pub(super) fn stops(&mut self, verdict: wire::RunVerdict, now: u64) {
        let owes = !self.run.owed.is_empty();
        self.run.set_phase(if owes { wire::RunPhase::Owed } else { wire::RunPhase::Ended });
        self.run.verdict.get_or_insert(verdict);
        self.run.ended = now;
    }
}

/// Whether nothing more comes of a run by itself.
pub(crate) fn is_over(run: &wire::Run) -> bool {
    has_ended(run) || run.phase() == wire::RunPhase::Owed
}

/// A title as it is shown.
pub(super) fn title(kept: &Kept) -> String {
    let title = kept.experiment.get("title").and_then(|title| title.as_str()).unwrap_or_default();
    title.chars().take(LONGEST_TITLE).collect()
}

/// What a run came to.
pub(super) fn verdict(verdict: &Verdict, explanation: Option<String>) -> wire::RunVerdict {
    let status = match verdict.status {
        Status::Completed => wire::RunStatus::Completed,
        Status::Failed => wire::RunStatus::Failed,
        Status::Aborted => wire::RunStatus::Aborted,
        Status::Interrupted => wire::RunStatus::Interrupted,
    };
    let exit = match verdict.exit {
        Exit::Done => wire::RunExit::Done,
        Exit::Failed => wire::RunExit::Failed,
        Exit::NoEffect => wire::RunExit::NoEffect,
        Exit::Unconfirmed => wire::RunExit::Unconfirmed,
        Exit::Interrupted => wire::RunExit::Interrupted,
    };
    wire::RunVerdict {
        status: status.into(),
        deviated: verdict.deviated,
        exit: exit.into(),
        reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
        explanation: explanation.unwrap_or_default(),
    }
}

/// Of a run whose controller ended in the middle of it.
pub(super) fn cut_short(reason: &str) -> wire::RunVerdict {
    wire::RunVerdict {
        status: wire::RunStatus::Interrupted.into(),
        deviated: false,
        exit: wire::RunExit::Interrupted.into(),
        reasons: vec![reason.to_owned()],
        explanation: String::new(),
    }
}

//! By which rules a run goes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Control, Dry, HypothesisStrategy, RollbackStrategy, Runtime};

/// What a verdict means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdicts {
    /// What the original would say, and do.
    Compat,
    /// What it says: a steady state that was not met is no success, rollbacks are played on every way out,
    /// what fails has failed.
    Strict,
}

/// What follows when the steady state is not met during the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailFast {
    /// The method ends: at once where verdicts are strict, after the current step in `compat`.
    Stops,
    /// Nothing, until the method is over.
    GoesOn,
}

/// By which rules a run goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// What its verdict means.
    pub verdicts: Verdicts,
    /// When the steady state is looked at.
    pub hypothesis: HypothesisStrategy,
    /// When rollbacks are played.
    pub rollbacks: RollbackStrategy,
    /// Time between two evaluations during the method.
    pub frequency: Duration,
    /// How many evaluations during the method there are at least.
    pub evaluations: u32,
    /// What follows when one is not met.
    pub fail_fast: FailFast,
    /// What is only rehearsed.
    pub dry: Option<Dry>,
    /// Hooks of the command, for every part of the run.
    pub controls: Vec<Control>,
    /// From what every random choice of the run comes.
    pub seed: u64,
}

impl Terms {
    /// What holds where nobody says anything.
    #[must_use]
    pub const fn new(verdicts: Verdicts) -> Self {
        Self {
            verdicts,
            hypothesis: HypothesisStrategy::Default,
            rollbacks: RollbackStrategy::Default,
            frequency: Duration::from_secs(1),
            evaluations: 0,
            fail_fast: FailFast::GoesOn,
            dry: None,
            controls: Vec::new(),
            seed: 0,
        }
    }

    /// What the command line, the experiment and settings come to, in this order. As in the original, an
    /// experiment that says anything about its strategies is not asked for the rest in the settings.
    #[must_use]
    pub fn decided(mut self, flags: &Runtime, experiment: &Runtime, settings: &Runtime) -> Self {
        let own = experiment.hypothesis.is_some() || experiment.rollbacks.is_some();
        let declared = if own { experiment } else { settings };
        self.hypothesis = flags.hypothesis.or(declared.hypothesis).unwrap_or(self.hypothesis);
        self.rollbacks = flags.rollbacks.or(declared.rollbacks).unwrap_or(self.rollbacks);
        self.frequency = flags
            .frequency
            .or(experiment.frequency)
            .or(settings.frequency)
            .unwrap_or(self.frequency);
        self.evaluations = flags
            .evaluations
            .or(experiment.evaluations)
            .or(settings.evaluations)
            .unwrap_or(self.evaluations);
        self
    }
}

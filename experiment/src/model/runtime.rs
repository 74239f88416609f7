//! How an experiment is run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How an experiment wants to be run; `None` leaves it to settings and defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runtime {
    /// When the steady state is looked at.
    pub hypothesis: Option<HypothesisStrategy>,
    /// When rollbacks are played.
    pub rollbacks: Option<RollbackStrategy>,
    /// Time between two evaluations during the method.
    pub frequency: Option<Duration>,
    /// How many evaluations during the method there must be before it is over.
    pub evaluations: Option<u32>,
}

/// When the steady state is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HypothesisStrategy {
    /// Before and after.
    Default,
    /// Before the method.
    Before,
    /// After the method.
    After,
    /// While the method goes on.
    During,
    /// Before, during and after.
    Continuously,
    /// Never.
    Skip,
}

impl HypothesisStrategy {
    /// All, as they are written.
    pub const KNOWN: &[&str] = &[
        "default",
        "before-method-only",
        "after-method-only",
        "during-method-only",
        "continuously",
        "skip",
    ];

    /// Whether the method waits for it.
    #[must_use]
    pub const fn before(self) -> bool {
        matches!(self, Self::Default | Self::Before | Self::Continuously)
    }

    /// Whether it is looked at while the method goes on.
    #[must_use]
    pub const fn during(self) -> bool {
        matches!(self, Self::During | Self::Continuously)
    }

    /// Whether it is looked at after the method.
    #[must_use]
    pub const fn after(self) -> bool {
        matches!(self, Self::Default | Self::After | Self::Continuously)
    }
}

/// When rollbacks are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackStrategy {
    /// `compat`: unless the run failed or was interrupted. `strict`: on every way out.
    Default,
    /// On every way out.
    Always,
    /// Never.
    Never,
    /// When the system deviated.
    Deviated,
}

impl RollbackStrategy {
    /// All, as they are written.
    pub const KNOWN: &[&str] = &["default", "always", "never", "deviated"];
}

/// A word that stands for nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one of {} was expected here, found `{text}`", .known.join(", "))]
pub struct StrategyError {
    /// The word.
    pub text: String,
    /// The words there are.
    pub known: &'static [&'static str],
}

impl FromStr for HypothesisStrategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        Ok(match text {
            "default" => Self::Default,
            "before-method-only" => Self::Before,
            "after-method-only" => Self::After,
            "during-method-only" => Self::During,
            // The second is how the original's command line took it for years.
            "continuously" | "continously" | "continuous" => Self::Continuously,
            "skip" => Self::Skip,
            _ => return Err(StrategyError { text: text.to_owned(), known: Self::KNOWN }),
        })
    }
}

impl fmt::Display for HypothesisStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::Before => "before-method-only",
            Self::After => "after-method-only",
            Self::During => "during-method-only",
            Self::Continuously => "continuously",
            Self::Skip => "skip",
        })
    }
}

impl FromStr for RollbackStrategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        Ok(match text {
            "default" => Self::Default,
            "always" => Self::Always,
            "never" => Self::Never,
            "deviated" => Self::Deviated,
            _ => return Err(StrategyError { text: text.to_owned(), known: Self::KNOWN }),
        })
    }
}

impl fmt::Display for RollbackStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::Always => "always",
            Self::Never => "never",
            Self::Deviated => "deviated",
        })
    }
}

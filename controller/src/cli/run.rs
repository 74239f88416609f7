//! `schism run` and `schism validate` as people type them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use experiment::model::{Dry, HypothesisStrategy, RollbackStrategy};
use experiment::variables::Variable;

use crate::run::Source;

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Experiments, in JSON or YAML: files, or http(s) addresses
    #[arg(required_unless_present = "resume_rollbacks", value_name = "FILE")]
    pub files: Vec<Source>,
    /// Verdicts, exit codes and order as Chaos Toolkit has them
    #[arg(long, conflicts_with = "strict")]
    pub compat: bool,
    /// Whatever deviates or fails counts, and rollbacks are played on every way out (the default)
    #[arg(long)]
    pub strict: bool,
    /// Where the journal is written, after every step; of several files each has its own
    /// [default: journal.json, or the one whose rollbacks are played]
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Write what it came to as a suite of tests (JUnit)
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write what happens as it happens, a line of JSON each
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Write what the command came to as one line of JSON of at most 4096 bytes, when it ends: into the message
    /// of a container's end, for instance
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// When rollbacks are played: default, always, never, deviated
    #[arg(long, value_name = "WHEN")]
    pub rollback_strategy: Option<RollbackStrategy>,
    /// When the steady state is looked at: default, before-method-only, after-method-only,
    /// during-method-only, continuously, skip
    #[arg(long, value_name = "WHEN")]
    pub hypothesis_strategy: Option<HypothesisStrategy>,
    /// Time between two looks during the method (s)
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_hyphen_values = true)]
    pub hypothesis_frequency: Option<Duration>,
    /// End the method at the first deviation
    #[arg(long)]
    pub fail_fast: bool,
    /// A value of the experiment's configuration: NAME=VALUE or NAME:TYPE=VALUE
    #[arg(long = "var", value_name = "VARIABLE")]
    pub variables: Vec<Variable>,
    /// A file of values: JSON, YAML, or .env for the environment
    #[arg(long = "var-file", value_name = "FILE")]
    pub variable_files: Vec<PathBuf>,
    /// What is only rehearsed: probes, actions, activities, pause
    #[arg(long, value_name = "WHAT")]
    pub dry: Option<Dry>,
    /// From which every random choice is drawn [default: a random one]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Settings of Chaos Toolkit, of which controls and strategies are read
    /// [default: with --compat ~/.chaostoolkit/settings.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Finish what the run of this journal still owed: heals and rollbacks
    #[arg(long, value_name = "JOURNAL", conflicts_with = "files")]
    pub resume_rollbacks: Option<PathBuf>,
    /// Put faults in by this machine's agent, whatever controller is set
    #[arg(long)]
    pub local: bool,
}

/// `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Experiments, in JSON or YAML: files, or http(s) addresses
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<Source>,
    /// Only warn of what Chaos Toolkit ignores
    #[arg(long)]
    pub compat: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "write a number of seconds".to_owned())?;
    let time = Duration::try_from_secs_f64(number).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(time) }
}

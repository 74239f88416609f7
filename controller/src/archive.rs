//! What has happened, in files that only grow: who did what, and intents that have ended.
//!
//! One line of JSON each, for people with `grep` and programs with a schema's name. Nothing here is ever
//! needed to go on: what is, is in the [store](crate::store).

mod ended;
mod entry;
mod journal;
mod runs;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use self::{
    ended::{Direction, Ended, Enforced, Fate, Measured},
    entry::{Audit, Deed, Node, Verdict},
    journal::{Copies, Journal, Limits, Lines},
    runs::{Of, Runs},
};

/// Why the archive did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The directory or a file in it could not be made or opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not certain to be there after a crash.
    #[error("cannot write to {path}: {source}")]
    Append {
        /// To which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A full file could not be put aside.
    #[error("cannot put {path} aside: {source}")]
    Rotate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry that JSON has no form for.
    #[error("cannot write an entry: {0}")]
    Form(serde_json::Error),
    /// The runtime ends, and with it the thread that was to do it.
    #[error("the archive is closed")]
    Closed,
}

/// The archive of a controller: a directory with `audit.jsonl` and `ended.jsonl`, and of each the older
/// ones, `audit.jsonl.1` and on; and `runs` with a file for each run.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Who asked for what. Each call that changes something is in it before it is answered.
    pub audit: Journal<Audit>,
    /// Intents that have ended.
    pub ended: Journal<Ended>,
    /// Journals of runs.
    pub runs: Runs,
}

impl Archive {
    /// Opens the archive in a directory, or makes one that only its owner can read.
    ///
    /// # Errors
    /// The directory or a file can't be made or written.
    pub async fn open(directory: impl AsRef<Path>, limits: Limits) -> Result<Self, ArchiveError> {
        let directory = directory.as_ref();
        let audit = Journal::open(directory.join("audit.jsonl"), limits).await?;
        let ended = Journal::open(directory.join("ended.jsonl"), limits).await?;
        let runs = Runs::open(directory.join("runs")).await?;
        Ok(Self { audit, ended, runs })
    }
}

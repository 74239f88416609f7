//! What a worker counts.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use zeebe::{GatewayError, Key};

use crate::outcome::Outcome;
use crate::output::quantity::{count, time};
use crate::output::{Detail, Report};
use crate::session::live::{Line, Weight};

/// How jobs are come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doing {
    /// By asking.
    Polling,
    /// By waiting for them.
    Streaming,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Polling => "asking for",
            Self::Streaming => "pushing",
        })
    }
}

/// Counts.
pub(super) struct Tally(Mutex<Counts>);

struct Counts {
    began: Instant,
    taken: u64,
    pushed: u64,
    completed: u64,
    /// Taken, and neither completed nor failed.
    in_hand: u64,
    again: u64,
    streams: u64,
    /// For how many jobs it has asked and waits for the answer.
    asked: u32,
    /// For how many it has asked without an answer in time.
    unheard: u64,
    keys: HashSet<Key>,
    failures: BTreeMap<&'static str, u64>,
    /// What was last said, so that it is not said again.
    troubles: BTreeMap<Doing, String>,
}

impl Default for Tally {
    fn default() -> Self {
        Self(Mutex::new(Counts {
            began: Instant::now(),
            taken: 0,
            pushed: 0,
            completed: 0,
            in_hand: 0,
            again: 0,
            streams: 0,
            asked: 0,
            unheard: 0,
            keys: HashSet::new(),
            failures: BTreeMap::new(),
            troubles: BTreeMap::new(),
        }))
    }
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn taken(&self, key: Key) {
        let mut counts = self.counts();
        counts.taken += 1;
        counts.in_hand += 1;
        if !counts.keys.insert(key) {
            counts.again += 1;
        }
    }

    /// So many jobs are asked for.
    pub(super) fn asked(&self, most: u32) {
        self.counts().asked = most;
    }

    /// The answer is there, or why there is none. One that is late may have been given to nobody, jobs and all.
    pub(super) fn answered(&self, error: Option<&GatewayError>) {
        let mut counts = self.counts();
        let asked = std::mem::take(&mut counts.asked);
        if matches!(error, Some(GatewayError::Late(_))) {
            counts.unheard += u64::from(asked);
        }
    }

    pub(super) fn pushed(&self) {
        self.counts().pushed += 1;
        self.well(Doing::Streaming);
    }

    pub(super) fn completed(&self) {
        let mut counts = self.counts();
        counts.completed += 1;
        counts.in_hand -= 1;
    }

    pub(super) fn failed(&self, error: &GatewayError) {
        let mut counts = self.counts();
        *counts.failures.entry(error.kind()).or_default() += 1;
        counts.in_hand -= 1;
    }

    pub(super) fn stream_opened(&self) {
        self.counts().streams += 1;
    }

    /// It goes again.
    pub(super) fn well(&self, doing: Doing) {
        self.counts().troubles.remove(&doing);
    }

    /// It does not go; whether that is news.
    pub(super) fn trouble(&self, doing: Doing, error: &GatewayError) -> bool {
        let mut counts = self.counts();
        *counts.failures.entry(error.kind()).or_default() += 1;
        let said = error.to_string();
        counts.troubles.insert(doing, said.clone()) != Some(said)
    }

    pub(super) fn line(&self) -> Line {
        let counts = self.counts();
        let mut line = Line::new(format!(
            "{}  {} completed of {} taken",
            time(counts.began.elapsed()),
            counts.completed,
            counts.taken
        ));
        for (kind, count) in &counts.failures {
            line.push(Weight::Part, format!("  {kind} {count}"));
        }
        line
    }

    pub(super) fn report(&self, job_type: &str, outcome: Outcome) -> WorkerReport {
        let counts = self.counts();
        WorkerReport {
            schema: "schism.zeebe-worker/v1",
            exit_code: outcome.code(),
            job_type: job_type.to_owned(),
            seconds: counts.began.elapsed().as_secs_f64(),
            taken: counts.taken,
            pushed: counts.pushed,
            completed: counts.completed,
            again: counts.again,
            streams: counts.streams,
            unheard: counts.unheard + u64::from(counts.asked),
            left: counts.in_hand,
            failures: counts.failures.clone(),
        }
    }
}

/// A worker that has ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct WorkerReport {
    schema: &'static str,
    exit_code: u8,
    job_type: String,
    seconds: f64,
    taken: u64,
    /// How many of them were pushed.
    pushed: u64,
    completed: u64,
    /// How many it had been given before.
    again: u64,
    /// How often it was asked that they be pushed.
    streams: u64,
    /// For how many it has asked and heard no answer in time: they may be given out.
    unheard: u64,
    /// How many it was not done with at its end.
    left: u64,
    failures: BTreeMap<&'static str, u64>,
}

impl Report for WorkerReport {
    fn text(&self, _: Detail) -> String {
        let mut text = format!(
            "{} of type {} completed of {} taken ({} pushed, {} given out again) in {:.1} s",
            count(self.completed, "job"),
            self.job_type,
            self.taken,
            self.pushed,
            self.again,
            self.seconds
        );
        if self.streams > 0 {
            text += &format!("; asked {} that they be pushed", count(self.streams, "time"));
        }
        if self.left > 0 {
            text += &format!("\n{} left: not done with at the end", count(self.left, "job"));
        }
        if self.unheard > 0 {
            let jobs = count(self.unheard, "job");
            text += &format!("\nup to {jobs} may be given out and were not heard of");
        }
        for (kind, count) in &self.failures {
            text += &format!("\n{kind} {count}");
        }
        text
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

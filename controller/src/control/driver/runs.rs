//! Runs of experiments as the driver keeps them. It alone writes to the store, so that each write is told
//! in its turn.

use std::collections::BTreeMap;

use fault::IntentId;
use prost::Message as _;
use proto::control as wire;
use proto::control::event::Kind as Told;
use tokio::sync::oneshot;

use super::Driver;
use super::unheard::{put_new, runs_same};
use crate::control::handle::ControlError;
use crate::control::intent::RecordError;
use crate::metrics::Written;
use crate::store::{Expected, Key, Kind, PutError, Revision, Store};

/// Runs that are kept after they have ended; what owes is kept until it does not.
const KEPT: usize = 100;

/// What is asked about runs.
pub(in crate::control) enum RunWord {
    /// To write one down that nobody knows yet.
    New { run: Box<wire::Run>, reply: oneshot::Sender<Result<(), ControlError>> },
    /// To write down what it has become.
    Changed { run: Box<wire::Run>, reply: oneshot::Sender<Result<(), ControlError>> },
    /// To tell what happened in one.
    News { id: u64, news: Vec<u8> },
    /// All, whole.
    All { reply: oneshot::Sender<Vec<wire::Run>> },
}

/// All runs that are kept.
pub(in crate::control) type Runs = BTreeMap<IntentId, wire::Run>;

/// A run as it is told: without what only who takes it over has a use for.
pub(crate) fn told(run: &wire::Run) -> wire::Run {
    wire::Run { kept: Vec::new().into(), names: Vec::new(), ..run.clone() }
}

/// Whether nothing more comes of a run, and nothing is owed.
#[must_use]
pub fn has_ended(run: &wire::Run) -> bool {
    run.phase() == wire::RunPhase::Ended
}

/// What an earlier life has written down.
pub(super) async fn stored(store: &dyn Store) -> Result<Runs, ControlError> {
    let (_, records) = store.list(Kind::Run).await?;
    let mut runs = Runs::new();
    for record in records {
        match wire::Run::decode(record.value.as_slice()) {
            Ok(run) => {
                let id = IntentId::from_random(run.id);
                runs.insert(id, wire::Run { revision: record.revision.0, ..run });
            }
            // Its faults are intents of their own, and end with their leases or deadlines.
            Err(error) => tracing::error!(key = ?record.key, %error, "a run is left aside"),
        }
    }
    Ok(runs)
}

/// A stored run as it is told.
pub(in crate::control) fn decoded(value: &[u8], revision: u64) -> Result<wire::Run, RecordError> {
    Ok(told(&wire::Run { revision, ..wire::Run::decode(value)? }))
}

impl Driver {
    pub(super) async fn about_run(&mut self, word: RunWord) {
        match word {
            RunWord::New { run, reply } => {
                let id = IntentId::from_random(run.id);
                let known = self.runs.contains_key(&id) || self.intents.contains_key(&id);
                let halted = self.brake.borrow().clone();
                let written = match halted {
                    _ if known => Err(ControlError::Conflict(id)),
                    Some(reason) => Err(ControlError::Halted(reason)),
                    None => self.write_run(*run, Expected::Never).await,
                };
                // Who asked may be gone: it is there for the next life then.
                let _ = reply.send(written);
                self.forget_runs().await;
            }
            RunWord::Changed { run, reply } => {
                let _ = reply.send(self.write_run(*run, Expected::Any).await);
            }
            RunWord::News { id, news } => {
                if self.events.receiver_count() > 0 {
                    self.say(Told::News(wire::RunNews { id, news: news.into() }));
                }
            }
            RunWord::All { reply } => {
                let _ = reply.send(self.runs.values().cloned().collect());
            }
        }
    }

    async fn write_run(&mut self, run: wire::Run, expected: Expected) -> Result<(), ControlError> {
        let id = IntentId::from_random(run.id);
        // The store knows it.
        let record = wire::Run { revision: 0, ..run.clone() }.encode_to_vec();
        let put = match expected {
            Expected::Never => {
                let same = |there: &[u8]| runs_same(there, &run);
                put_new(self.store.as_ref(), Key::run(id), record, same).await
            }
            Expected::Absent | Expected::At(_) | Expected::Any => {
                self.store.put(Key::run(id), expected, record).await
            }
        };
        let written = match put {
            Ok(revision) => {
                self.revision = revision.0;
                Ok(())
            }
            Err(PutError::Conflict { .. }) => return Err(ControlError::Conflict(id)),
            Err(PutError::Gone) => return Err(ControlError::Forgotten(id)),
            Err(PutError::Store(error)) => {
                self.tally.failed(Written::Store);
                if expected == Expected::Never {
                    return Err(error.into());
                }
                tracing::error!(run = %id, %error, "not stored");
                Err(error.into())
            }
        };
        // What it is counts, whatever the disk says; the next write has it, too.
        let run = wire::Run { revision: self.revision, ..run };
        let event = told(&run);
        self.runs.insert(id, run);
        self.say(Told::Run(event));
        written
    }

    /// Lets go of the oldest that have ended.
    async fn forget_runs(&mut self) {
        let ended = self.runs.iter().filter(|(_, run)| has_ended(run));
        let mut ended: Vec<(u64, IntentId, u64)> =
            ended.map(|(id, run)| (run.asked, *id, run.revision)).collect();
        ended.sort_unstable();
        ended.truncate(ended.len().saturating_sub(KEPT));
        for (_, id, at) in ended {
            match self.store.delete(Key::run(id), Revision(at)).await {
                Ok(revision) => {
                    self.revision = revision.0;
                    self.runs.remove(&id);
                    self.say(Told::ForgottenRun(wire::Forgotten { id: id.get() }));
                }
                // It stays until the next one begins.
                Err(error) => return tracing::warn!(run = %id, %error, "not forgotten"),
            }
        }
    }
}

//! What is written of intents, and when. In a cluster each write is a request, so there are no more of them than what is
//! promised takes: one before anything is touched, one before anybody is told that it acts, one before anybody is told
//! that it is over.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fault::IntentId;
use tokio::time::Instant;

use super::Driver;
use crate::control::intent::Intent;
use crate::metrics::Written;
use crate::sequence::Stage;
use crate::store::{Expected, Key};

/// How long an intent may be on its way out before that is written. Mostly it is out by then, which is written instead;
/// whoever takes over meanwhile finds one that acts, and nodes that say that it has ended.
const OUT_WITHIN: Duration = Duration::from_millis(100);

/// How long a store that has failed is let be.
const REST: Duration = Duration::from_secs(2);

/// What is to be written of intents, and when.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// Those that are on their way out and are not told so before it is written, which is at that time.
    leaving: BTreeMap<IntentId, Instant>,
    /// Those of which the store did not take the last: a next life would go by what it has of them.
    failed: VecDeque<IntentId>,
    /// When the first of those is tried again.
    again: Option<Instant>,
}

impl Unwritten {
    fn wait(&mut self, id: IntentId, now: Instant) {
        self.leaving.entry(id).or_insert(now + OUT_WITHIN);
    }

    fn fails(&mut self, id: IntentId, now: Instant) {
        // Behind the others: what is never taken keeps nobody from it.
        self.failed.push_back(id);
        self.again = Some(now + REST);
    }

    fn is_written(&mut self, id: IntentId) {
        self.leaving.remove(&id);
        self.failed.retain(|failed| *failed != id);
    }

    /// Whether it is told once it is written.
    pub(super) fn has(&self, id: IntentId) -> bool {
        self.leaving.contains_key(&id)
    }

    /// When the first of them is to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        let again = self.again.filter(|_| !self.failed.is_empty());
        self.leaving.values().copied().chain(again).min()
    }

    /// Whom the store may take by now.
    fn next_failed(&self, now: Instant) -> Option<IntentId> {
        self.failed.front().copied().filter(|_| self.again.is_none_or(|again| now >= again))
    }
}

impl Driver {
    /// Stores what an intent has become, and tells it; of one that has just set out for its end a little later, unless
    /// it is there by then.
    pub(super) async fn record(&mut self, id: IntentId) {
        let Some(intent) = self.intents.get_mut(&id) else { return };
        if intent.sequence.stage() == Stage::Healing {
            return self.unwritten.wait(id, Instant::now());
        }
        if intent.sequence.stage().is_final() && intent.ended == 0 {
            intent.ended = self.wall.now();
            // What was healed before the start that was agreed on never acted.
            intent.began = if intent.began > intent.ended { 0 } else { intent.began };
        }
        // First, so that the record says at once that it is there.
        if self.endings.is_ready() {
            self.archive(id).await;
        }
        self.put(id).await;
        self.conclude().await;
    }

    /// Stores and tells whatever waits for that.
    pub(super) async fn write_unwritten(&mut self) {
        for id in self.unwritten.leaving.keys().copied().collect::<Vec<_>>() {
            self.put(id).await;
        }
    }

    /// The same, and stores what the store did not take, until it fails again.
    pub(super) async fn write_due(&mut self) {
        self.write_unwritten().await;
        while let Some(id) = self.unwritten.next_failed(Instant::now()) {
            self.put(id).await;
        }
    }

    /// Writes the lines of those that have ended and have none.
    pub(super) async fn conclude(&mut self) {
        if !self.endings.is_ready() {
            return;
        }
        let without = |one: &&Intent| one.sequence.stage().is_final() && !one.archived;
        let ended: Vec<IntentId> =
            self.intents.values().filter(without).map(|one| one.id).collect();
        for id in ended {
            if !self.archive(id).await {
                return;
            }
            self.put(id).await;
        }
    }

    /// Makes sure that one that has ended has its line; whether it has.
    async fn archive(&mut self, id: IntentId) -> bool {
        let Some(intent) = self.intents.get_mut(&id) else { return false };
        if intent.archived || !intent.sequence.stage().is_final() {
            return intent.archived;
        }
        if let Err(error) = self.endings.write(intent.wire()).await {
            // It is written with the next one that ends, or by the next life.
            self.tally.failed(Written::Archive);
            tracing::error!(intent = %id, %error, "not archived");
            return false;
        }
        intent.archived = true;
        true
    }

    /// Stores what an intent has become, and tells it.
    async fn put(&mut self, id: IntentId) {
        self.unwritten.is_written(id);
        let Some(intent) = self.intents.get_mut(&id) else { return };
        match self.store.put(Key::intent(id), Expected::Any, intent.record()).await {
            Ok(revision) => {
                self.revision = revision.0;
                intent.revision = revision.0;
            }
            Err(error) => {
                // What acts is bounded by its lease, whatever stands in the store. An earlier record of it is there, by
                // which a next life would take one that was healed for one that acts: it is tried again.
                self.tally.failed(Written::Store);
                self.unwritten.fails(id, Instant::now());
                let note = format!("what became of it could not be stored: {error}");
                if !intent.notes.contains(&note) {
                    tracing::error!(intent = %id, %error, "not stored");
                    intent.notes.push(note);
                }
            }
        }
        self.tell(id);
    }
}

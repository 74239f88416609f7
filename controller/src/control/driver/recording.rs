//! What is written of intents, and when. In a cluster each write is a request, so there are no more of them than what is
//! promised takes: one before anything is touched, one before anybody is told that it acts, one before anybody is told
//! that it is over.

use std::collections::BTreeMap;
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

/// Intents that are on their way out and are not told so before it is written, which is at that time.
#[derive(Debug, Default)]
pub(super) struct Unwritten(BTreeMap<IntentId, Instant>);

impl Unwritten {
    fn wait(&mut self, id: IntentId, now: Instant) {
        self.0.entry(id).or_insert(now + OUT_WITHIN);
    }

    fn is_written(&mut self, id: IntentId) {
        self.0.remove(&id);
    }

    pub(super) fn has(&self, id: IntentId) -> bool {
        self.0.contains_key(&id)
    }

    /// When the first of them is to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().min().copied()
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
        for id in self.unwritten.0.keys().copied().collect::<Vec<_>>() {
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
                // What acts is bounded by its lease, whatever stands in the store; an earlier record of it
                // is there, by which a next life takes it out.
                self.tally.failed(Written::Store);
                let note = format!("what became of it could not be stored: {error}");
                tracing::error!(intent = %id, %error, "not stored");
                if !intent.notes.contains(&note) {
                    intent.notes.push(note);
                }
            }
        }
        self.tell(id);
    }
}

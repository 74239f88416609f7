//! What a watcher has missed.

use std::collections::BTreeMap;

use fault::IntentId;
use prost::Message as _;
use proto::control as wire;
use proto::control::event::Kind as Told;

use super::driver::braking::published;
use super::driver::disruptions::{self, Disruptions};
use super::driver::runs::{self, Runs};
use super::handle::ControlError;
use super::intent::{At, Intent, RecordError};
use crate::store::{Change, ChangesError, Key, Kind, Revision, Store};

/// Everything that is known of what was.
pub(super) struct Past<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) intents: &'a BTreeMap<IntentId, Intent>,
    pub(super) runs: &'a Runs,
    pub(super) disruptions: &'a Disruptions,
    /// The latest that the driver has written.
    pub(super) revision: u64,
    /// Now.
    pub(super) at: At,
}

impl Past<'_> {
    /// Of each record that was changed after a revision the last state, by revision; with 0 what stands.
    pub(super) async fn since(&self, since: u64) -> Result<Vec<wire::Event>, ControlError> {
        if since == 0 {
            return self.standing().await;
        }
        let gap = |earliest| ControlError::Gap { since, earliest, latest: self.revision };
        if since > self.revision {
            // Another store's revision, or one of this store that a copy of it has not come to.
            let all = self.store.changes_since(Revision(0)).await;
            return Err(gap(match all {
                Err(ChangesError::Compacted { kept }) => kept.0,
                Ok(_) | Err(ChangesError::Store(_)) => 0,
            }));
        }
        let changes = match self.store.changes_since(Revision(since)).await {
            Ok(changes) => changes,
            Err(ChangesError::Compacted { kept }) => return Err(gap(kept.0)),
            Err(ChangesError::Store(error)) => return Err(error.into()),
        };
        let mut events = Vec::with_capacity(changes.len());
        for change in changes {
            let revision = change.revision.0;
            if let Some(kind) = self.told(change)? {
                events.push(wire::Event { revision, at: 0, kind: Some(kind) });
            }
        }
        Ok(events)
    }

    async fn standing(&self) -> Result<Vec<wire::Event>, ControlError> {
        let event = |revision, kind| wire::Event { revision, at: 0, kind: Some(kind) };
        let told = |intent: &Intent| event(intent.revision, Told::Intent(intent.told(self.at)));
        let mut events: Vec<wire::Event> = self.intents.values().map(told).collect();
        let runs = self.runs.values().map(|run| event(run.revision, Told::Run(runs::told(run))));
        events.extend(runs);
        let told = |held: &disruptions::Held| {
            event(held.disruption.revision, Told::Disruption(held.disruption.clone()))
        };
        events.extend(self.disruptions.values().map(told));
        if let Some(record) = self.store.get(Key::brake()).await? {
            events.push(event(record.revision.0, brake(&record.value)?));
        }
        events.sort_by_key(|event| event.revision);
        Ok(events)
    }

    fn told(&self, change: Change) -> Result<Option<Told>, ControlError> {
        Ok(match (change.key.kind, change.value) {
            (Kind::Intent, Some(value)) => {
                let intent = wire::Intent::decode(value.as_slice()).map_err(RecordError::from)?;
                // What is known here is as new, and has what was heard since.
                let known = self.intents.get(&IntentId::from_random(intent.id));
                Some(Told::Intent(known.map_or(intent, |known| known.told(self.at))))
            }
            (Kind::Intent, None) => {
                let id = u64::from_str_radix(change.key.id.as_str(), 16).ok();
                id.map(|id| Told::Forgotten(wire::Forgotten { id }))
            }
            (Kind::Run, Some(value)) => Some(Told::Run(runs::decoded(&value, change.revision.0)?)),
            (Kind::Run, None) => {
                let id = u64::from_str_radix(change.key.id.as_str(), 16).ok();
                id.map(|id| Told::ForgottenRun(wire::Forgotten { id }))
            }
            (Kind::Disruption, Some(value)) => {
                Some(Told::Disruption(disruptions::decoded(&value, change.revision.0)?))
            }
            (Kind::Disruption, None) => {
                let id = u64::from_str_radix(change.key.id.as_str(), 16).ok();
                id.map(|id| Told::ForgottenDisruption(wire::Forgotten { id }))
            }
            (Kind::Brake, Some(value)) => Some(brake(&value)?),
            // Nobody takes it away, and who this controller is does not change.
            (Kind::Brake, None) | (Kind::Identity, _) => None,
        })
    }
}

fn brake(record: &[u8]) -> Result<Told, ControlError> {
    Ok(Told::Brake(published(wire::Brake::decode(record).map_err(RecordError::from)?)))
}

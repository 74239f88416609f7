//! What pods are told of the faults that are about them, and when.

use std::time::Duration;

use super::Keeper;
use super::calls::{self, Done};
use crate::control::is_over;
use crate::objects::mention;
use crate::objects::resource::Place;
use crate::objects::status::{Phase, Status};

/// How long a fault has to act before its pods are told so: of one that is over by then they are told once, what it was.
/// Each time is a call for each of them.
const WORTH_A_WORD: Duration = Duration::from_secs(2);

impl Keeper {
    /// Says it to the pods that it is about; that it acts only once it has for a while.
    pub(super) fn mention_in_time(&mut self, place: &Place, uid: &str, status: &Status) {
        if status.phase != Phase::Active {
            return self.mention(place, status);
        }
        let (place, uid, status) = (place.clone(), uid.to_owned(), Box::new(status.clone()));
        self.tasks.spawn(async move {
            tokio::time::sleep(WORTH_A_WORD).await;
            Done::Lasted { place, uid, status }
        });
    }

    /// Whether an object is the same as before, and its fault acts still.
    pub(super) fn acts(&self, place: &Place, uid: &str) -> bool {
        let entry = self.entries.get(place).filter(|entry| entry.object.metadata.uid == uid);
        let said = entry.and_then(|entry| entry.said.as_ref());
        let id = entry.and_then(|entry| entry.object.intent());
        let intent = id.and_then(|id| self.intents.get(&id.get()));
        said.is_some_and(|said| said.phase == Phase::Active)
            && intent.is_some_and(|intent| !is_over(intent))
    }

    /// Says it to the pods that it is about, as events of theirs.
    pub(super) fn mention(&mut self, place: &Place, status: &Status) {
        let Some(entry) = self.entries.get(place) else { return };
        let Some(intent) = entry.object.intent().and_then(|id| self.intents.get(&id.get())) else {
            return;
        };
        let mentions = mention::of(place, status, intent, self.means.control.wall().now());
        if !mentions.is_empty() {
            self.tasks.spawn(calls::mention(self.means.client.clone(), mentions));
        }
    }
}

//! What objects are told of their runs, and when.

use super::calls::Done;
use super::{Entry, Keeper};
use crate::experiments::mention;
use crate::experiments::resource::Place;
use crate::experiments::status::{Phase, Status};
use crate::objects::happening;

impl Keeper {
    /// Says to an object what is news of it, once that stands in its status.
    pub(super) fn mention(&mut self, (place, uid): (&Place, &str), before: Phase, status: &Status) {
        let is_it = |entry: &&Entry| entry.object.metadata.uid == uid;
        let Some(entry) = self.entries.get(place).filter(is_it) else { return };
        let Some(said) = mention::of(place, &entry.object, (before, status), self.now()) else {
            return;
        };
        let client = self.means.client.clone();
        self.tasks.spawn(async move {
            happening::say(&client, vec![said]).await;
            Done::Mentioned
        });
    }
}

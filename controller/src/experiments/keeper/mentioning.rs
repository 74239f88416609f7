//! What objects are told of their runs, and when.

use super::Keeper;
use crate::experiments::mention;
use crate::experiments::resource::Place;
use crate::experiments::status::{Phase, Status};
use crate::keeping::nothing;
use crate::objects::happening;

/// Says to an object what is news of it, once that stands in its status.
pub(super) fn mention(keeper: &mut Keeper, place: &Place, before: Phase, status: &Status) {
    let now = keeper.now();
    let Some(entry) = keeper.entries.get(place) else { return };
    let Some(said) = mention::of(place, &entry.object, (before, status), now) else { return };
    let client = keeper.client.clone();
    keeper.tasks.spawn(async move {
        happening::say(&client, vec![said]).await;
        nothing()
    });
}

//! What pods are told of the faults that are about them, and when.

use std::time::Duration;

use super::{Keeper, calls};
use crate::control::is_over;
use crate::keeping::{nothing, then};
use crate::objects::mention;
use crate::objects::resource::Place;
use crate::objects::status::{Phase, Status};

/// How long a fault has to act before its pods are told so: of one that is over by then they are told once, what it was.
/// Each time is a call for each of them.
const WORTH_A_WORD: Duration = Duration::from_secs(2);

/// Says it to the pods that it is about; that it acts only once it has for a while.
pub(super) fn mention_in_time(keeper: &mut Keeper, place: &Place, status: &Status) {
    if status.phase != Phase::Active {
        return mention(keeper, place, status);
    }
    let Some(entry) = keeper.entries.get(place) else { return };
    let (place, status) = (place.clone(), Box::new(status.clone()));
    let uid = entry.object.metadata.uid.clone();
    keeper.tasks.spawn(async move {
        tokio::time::sleep(WORTH_A_WORD).await;
        then(move |keeper: &mut Keeper| {
            if acts(keeper, &place, &uid) {
                mention(keeper, &place, &status);
            }
        })
    });
}

/// Whether an object is the same as before, and its fault acts still.
fn acts(keeper: &mut Keeper, place: &Place, uid: &str) -> bool {
    let Some(entry) = keeper.entry(place, uid) else { return false };
    let is_active = entry.said().phase == Phase::Active;
    let id = entry.object.id();
    let intent = id.and_then(|id| keeper.known.get(&id.get()));
    is_active && intent.is_some_and(|intent| !is_over(intent))
}

/// Says it to the pods that it is about, as events of theirs.
fn mention(keeper: &mut Keeper, place: &Place, status: &Status) {
    let id = keeper.entries.get(place).and_then(|entry| entry.object.id());
    let Some(intent) = id.and_then(|id| keeper.known.get(&id.get())) else { return };
    let mentions = mention::of(place, status, intent, keeper.now());
    if !mentions.is_empty() {
        let client = keeper.client.clone();
        keeper.tasks.spawn(async move {
            calls::mention(client, mentions).await;
            nothing()
        });
    }
}

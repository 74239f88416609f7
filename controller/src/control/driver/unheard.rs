//! Records that stand in the store although nobody here has heard that they were written.

use prost::Message as _;
use proto::control as wire;

use crate::control::intent::Intent;
use crate::sequence::Moment;
use crate::store::{Expected, Key, PutError, Revision, Store};

/// Writes a record under a name that nobody here uses. What stands there already was written by a call whose answer was
/// lost, and nothing was done for it: where it asks for the same, this one takes its place.
pub(super) async fn put_new(
    store: &dyn Store,
    key: Key,
    record: Vec<u8>,
    is_same: impl Fn(&[u8]) -> bool,
) -> Result<Revision, PutError> {
    let found = match store.put(key.clone(), Expected::Never, record.clone()).await {
        Err(PutError::Conflict { found: Some(found) }) => found,
        written => return written,
    };
    let there = store.get(key.clone()).await?;
    match there.filter(|there| there.revision == found && is_same(&there.value)) {
        Some(_) => store.put(key, Expected::At(found), record).await,
        None => Err(PutError::Conflict { found: Some(found) }),
    }
}

/// Whether a record has an intent that asks for the same. One that makes no sense may have been put in by an earlier
/// life.
pub(super) fn asks_same(record: &[u8], intent: &Intent, (now, wall): (Moment, u64)) -> bool {
    Intent::restore(record, now, wall).is_ok_and(|there| {
        is_of(there.object.as_ref(), intent.object.as_ref()) || there.spec == intent.spec
    })
}

/// Whether a record has a run that asks for the same.
pub(super) fn runs_same(record: &[u8], run: &wire::Run) -> bool {
    wire::Run::decode(record).is_ok_and(|there| {
        is_of(there.object.as_ref(), run.object.as_ref()) || there.kept == run.kept
    })
}

/// Whether a record has a disruption that asks for the same.
pub(super) fn disrupts_same(record: &[u8], disruption: &wire::Disruption) -> bool {
    wire::Disruption::decode(record).is_ok_and(|there| there.spec == disruption.spec)
}

/// Whether the same object asks for both: a later version may say it in other words.
fn is_of(there: Option<&wire::Object>, here: Option<&wire::Object>) -> bool {
    there.zip(here).is_some_and(|(there, here)| there.uid == here.uid)
}

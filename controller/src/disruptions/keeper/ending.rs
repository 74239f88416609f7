//! How disruptions end before their time.

use std::time::SystemTime;

use fault::IntentId;
use futures_util::future::join_all;

use super::Means;
use crate::archive::Audit;
use crate::disruption::is_over;

/// Has one undone, and says so in the log.
pub(super) async fn one(means: Means, id: IntentId, reason: String) {
    let line = Audit::ending(SystemTime::now(), &reason, id);
    // Nothing is kept standing for want of a line in the log.
    if let Err(error) = means.audit.append(&line).await {
        tracing::error!(%error, "undoing all the same");
    }
    if let Err(error) = means.control.end_disruption(id, &reason).await {
        tracing::error!(disruption = %id, %error, "not undone; the next leader does it");
    }
}

/// Has all undone that was begun for objects which the installation in a namespace keeps: nobody here would hear that one
/// of them is deleted.
pub(super) async fn all(means: Means, namespace: String) {
    // A controller that ends leaves it to its next life.
    let Ok(known) = means.control.listing().await else { return };
    let reason = format!("its object is kept by the installation in namespace {namespace}");
    let living = known.disruptions.iter().filter(|one| one.object.is_some() && !is_over(one));
    let ends =
        living.map(|living| one(means.clone(), IntentId::from_random(living.id), reason.clone()));
    join_all(ends).await;
}

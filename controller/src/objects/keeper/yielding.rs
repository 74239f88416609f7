//! What becomes of faults whose objects are another installation's to keep.

use fault::IntentId;
use futures_util::future::join_all;

use super::{Means, calls};
use crate::control::is_over;

/// Ends all that acts for objects which the installation in a namespace keeps: nobody here would hear that one of them is
/// deleted.
pub(in crate::objects) async fn end_all(means: &Means, namespace: &str) {
    // A controller that ends leaves it to its next life.
    let Ok((intents, _)) = means.control.list().await else { return };
    let living = intents.iter().filter(|intent| intent.object.is_some() && !is_over(intent));
    let reason = format!("its object is kept by the installation in namespace {namespace}");
    let all = living
        .map(|intent| calls::heal(means.clone(), IntentId::from_random(intent.id), reason.clone()));
    join_all(all).await;
}

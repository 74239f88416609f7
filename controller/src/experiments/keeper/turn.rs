//! Whose turn it is to keep experiments.

use fault::IntentId;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::{Means, run};
use crate::objects::consent::Consent;
use crate::objects::while_own;
use crate::runs::is_over;

/// Keeps objects and runs the same as long as that is this installation's to do, until it is told to stop. What runs for
/// objects ends once they are another one's to keep.
pub async fn keep(means: Means, stopped: watch::Receiver<bool>) {
    let keeper = |ending| run(means.clone(), ending);
    let yields = |namespace| end_all(means.clone(), namespace);
    while_own(means.tenure.clone(), stopped, keeper, yields).await;
}

/// Ends all that runs for objects which the installation in a namespace keeps: nobody here would hear that one of them is
/// deleted, nor that a namespace lets no faults in any more.
async fn end_all(means: Means, namespace: String) {
    means.runs.consent().send_replace(Consent::default());
    // A controller that ends leaves it to its next life.
    let Ok(runs) = means.control.runs().await else { return };
    let living = runs.iter().filter(|run| run.object.is_some() && !is_over(run));
    let why = format!("its object is kept by the installation in namespace {namespace}");
    join_all(living.map(|run| means.runs.end_of(IntentId::from_random(run.id), &why))).await;
}

//! Whose turn it is to keep experiments.

use fault::IntentId;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::{Means, run};
use crate::objects::Tenure;
use crate::objects::consent::Consent;
use crate::objects::waiting::{self, End, told_to_stop};
use crate::runs::is_over;

/// Keeps objects and runs the same as long as that is this installation's to do, until it is told to stop. What runs for
/// objects ends once they are another one's to keep.
pub async fn keep(means: Means, mut stopped: watch::Receiver<bool>) {
    let mut tenure = means.tenure.clone();
    loop {
        let is_known = |now: &Tenure| now.is_own() || matches!(now, Tenure::Other(_));
        let now = tokio::select! {
            biased;
            () = told_to_stop(&mut stopped) => return,
            Ok(now) = tenure.wait_for(is_known) => now.clone(),
        };
        if let Tenure::Other(namespace) = now {
            end_all(&means, &namespace).await;
        }
        tokio::select! {
            biased;
            () = told_to_stop(&mut stopped) => return,
            Ok(_) = tenure.wait_for(Tenure::is_own) => {}
        }
        let lost = async {
            tokio::select! {
                Ok(_) = tenure.wait_for(|tenure| !tenure.is_own()) => {}
                () = told_to_stop(&mut stopped) => {}
            }
        };
        let keeping = |ending| run(means.clone(), ending);
        match waiting::until(keeping, lost).await {
            // The controller ends.
            End::Itself => return,
            End::Told => {}
        }
    }
}

/// Ends all that runs for objects which the installation in a namespace keeps: nobody here would hear that one of them is
/// deleted, nor that a namespace lets no faults in any more.
async fn end_all(means: &Means, namespace: &str) {
    means.runs.consent().send_replace(Consent::default());
    // A controller that ends leaves it to its next life.
    let Ok(runs) = means.control.runs().await else { return };
    let living = runs.iter().filter(|run| run.object.is_some() && !is_over(run));
    let why = format!("its object is kept by the installation in namespace {namespace}");
    join_all(living.map(|run| means.runs.end_of(IntentId::from_random(run.id), &why))).await;
}

//! What a keeper waits for: its turn, a time, its own end.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;

use super::{Means, run};
use crate::objects::Tenure;

/// Keeps objects and runs the same as long as that is this installation's to do, until it is told to stop.
pub async fn keep(means: Means, mut stopped: watch::Receiver<bool>) {
    let mut tenure = means.tenure.clone();
    loop {
        tokio::select! {
            biased;
            () = told_to_stop(&mut stopped) => return,
            Ok(_) = tenure.wait_for(Tenure::is_own) => {}
        }
        let (stop, ending) = watch::channel(false);
        let mut keeping = pin!(run(means.clone(), ending));
        let lost = async {
            tokio::select! {
                Ok(_) = tenure.wait_for(|tenure| !tenure.is_own()) => {}
                () = told_to_stop(&mut stopped) => {}
            }
        };
        tokio::select! {
            // The controller ends.
            () = &mut keeping => return,
            () = lost => {}
        }
        stop.send_replace(true);
        keeping.await;
    }
}

pub(super) async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone is a controller that ends.
    let _ = stopped.wait_for(|stop| *stop).await;
}

pub(super) async fn passed(wake: Option<u64>, now: u64) {
    match wake {
        Some(at) => tokio::time::sleep(Duration::from_nanos(at.saturating_sub(now))).await,
        None => std::future::pending().await,
    }
}

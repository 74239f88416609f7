//! What keepers of objects wait for: the driver, a time, their own end.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::Stream;
use proto::control as wire;
use tokio::sync::watch;
use tonic::Status as Refusal;

use crate::control::Control;
use crate::objects::installations::Keeper as Whose;
use crate::serve::watching;

/// What a driver tells.
pub(crate) type Told = Pin<Box<dyn Stream<Item = Result<wire::Event, Refusal>> + Send>>;

/// How a keeper has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By itself, as that of a controller that ends.
    Itself,
    /// As it was told to.
    Told,
}

/// What became of intents and runs, and what becomes of them; `None` of a controller that ends.
pub(crate) async fn told(control: &Control) -> Option<Told> {
    let told = watching::told(control.clone(), 0).await.ok()?;
    Some(Box::pin(told))
}

/// Has a keeper go on as long as objects are this installation's to keep, until that is told to stop. Whenever they are
/// another one's, whose namespace that is has been taken in before.
pub(crate) async fn in_turn<T, Y, K>(
    mut told: watch::Receiver<T>,
    whose: impl Fn(&T) -> Whose,
    mut stopped: watch::Receiver<bool>,
    yields: impl Fn(String) -> Y,
    keeper: impl Fn(watch::Receiver<bool>) -> K,
) where
    Y: Future<Output = ()>,
    K: Future<Output = ()>,
{
    loop {
        let now = tokio::select! {
            biased;
            () = told_to_stop(&mut stopped) => return,
            Ok(now) = told.wait_for(|now| whose(now) != Whose::Unknown) => whose(&now),
        };
        if let Whose::Other(namespace) = now {
            tokio::select! {
                biased;
                () = told_to_stop(&mut stopped) => return,
                () = yields(namespace) => {}
            }
        }
        tokio::select! {
            biased;
            () = told_to_stop(&mut stopped) => return,
            Ok(_) = told.wait_for(|now| whose(now) == Whose::Own) => {}
        }
        let lost = async {
            tokio::select! {
                Ok(_) = told.wait_for(|now| whose(now) != Whose::Own) => {}
                () = told_to_stop(&mut stopped) => {}
            }
        };
        match until(&keeper, lost).await {
            // The controller ends.
            End::Itself => return,
            End::Told => {}
        }
    }
}

/// Has a keeper go on until it ends by itself, or until something has happened: then it is told to stop, and waited for.
async fn until<K: Future<Output = ()>>(
    keeper: impl FnOnce(watch::Receiver<bool>) -> K,
    happened: impl Future<Output = ()>,
) -> End {
    let (stop, ending) = watch::channel(false);
    let mut keeping = pin!(keeper(ending));
    tokio::select! {
        () = &mut keeping => return End::Itself,
        () = happened => {}
    }
    stop.send_replace(true);
    keeping.await;
    End::Told
}

pub(crate) async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone is a controller that ends.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Waits until then (Unix time, ns), for ever where there is no such time.
pub(crate) async fn passed(wake: Option<u64>, now: u64) {
    match wake {
        Some(at) => tokio::time::sleep(Duration::from_nanos(at.saturating_sub(now))).await,
        None => std::future::pending().await,
    }
}

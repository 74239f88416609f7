//! Having something put in, also over the death of the controller that is asked.

use std::time::Duration;

use fault::IntentId;
use proto::control as wire;
use tokio::time::{Instant, sleep, timeout};

use super::client::Client;
use super::order::Order;
use crate::failure::{Cause, Failure};
use crate::settings::Controller;

/// How much longer than a lease a controller that was lost is waited for, with the agents that dial it (10 s).
const GRACE: Duration = Duration::from_secs(10);
/// From one attempt to the next.
const AGAIN: Duration = Duration::from_millis(500);
/// How long an attempt to connect may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is put in, under which name, and by which connection; either may be another one in the end.
pub(super) struct Applying<'a> {
    pub(super) client: &'a mut Client,
    pub(super) place: &'a Controller,
    pub(super) id: &'a mut IntentId,
}

impl Applying<'_> {
    /// Asks for it, and once more of the next life of a controller that is lost meanwhile: that one takes out what was
    /// on its way in, and says so, or has never heard of it. It is waited for until whatever was put in has ended by
    /// its lease.
    pub(super) async fn carry_out(&mut self, order: &Order) -> Result<wire::Intent, Failure> {
        let lost = match self.ask(order).await {
            Err(failure) if self.is_lost(&failure).await => failure,
            answered => return answered,
        };
        order.output.note(format!("{}; asking again", lost.reason));
        let until = Instant::now() + order.spec.terms.lease + GRACE;
        let asked = *self.id;
        let mut anew = None;
        let mut last = Err(lost);
        while Instant::now() < until {
            sleep(AGAIN).await;
            match timeout(PATIENCE, Client::open(self.place)).await {
                Ok(Ok(next)) => *self.client = next,
                Ok(Err(_)) | Err(_) => continue,
            }
            // Not before: what is told of the former one is told under its name.
            *self.id = anew.take().unwrap_or(*self.id);
            last = match self.ask(order).await {
                // What its former life had on its way in stays what it has become; any other is what came of it now.
                Ok(intent) if *self.id == asked && never_acted(&intent) => {
                    anew = Some(IntentId::from_random(crate::cut::random()?));
                    Ok(intent)
                }
                // Agents dial a controller once it serves.
                Err(failure) if is_transient(failure.cause) => Err(failure),
                answered => return answered,
            };
        }
        last
    }

    async fn ask(&mut self, order: &Order) -> Result<wire::Intent, Failure> {
        let Order { attempted, spec, .. } = order;
        self.client.apply(attempted, self.id.get(), spec.into()).await
    }

    /// Whether it is not the controller that has said this.
    async fn is_lost(&mut self, failure: &Failure) -> bool {
        matches!(failure.cause, Cause::Unreachable | Cause::Other)
            && self.client.describe().await.is_err()
    }
}

/// Whether it is out, and was never let act.
fn never_acted(intent: &wire::Intent) -> bool {
    intent.stage() == wire::Stage::Failed && intent.began == 0
}

/// Whether it may be otherwise once agents have come back, or the controller has.
const fn is_transient(cause: Cause) -> bool {
    match cause {
        Cause::NotFound | Cause::Unreachable | Cause::Other => true,
        Cause::WrongUsage
        | Cause::Refused
        | Cause::Unsupported
        | Cause::Kernel
        | Cause::Interrupted => false,
    }
}

//! Following one intent to its end, also over the death of its controller.

use std::time::Duration;

use fault::IntentId;
use proto::control as wire;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::Client;
use super::live::Parts;
use crate::control::is_over;
use crate::failure::{Cause, Failure};
use crate::session::live::Live;
use crate::settings::Controller;

/// How long after its deadline and a lease an intent may take to be told to have ended (10 s).
const GRACE: Duration = Duration::from_secs(10);
/// From one attempt to reach the controller to the next.
const AGAIN: Duration = Duration::from_millis(500);
/// How long an attempt may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One intent, and the controller that tells of it.
pub(super) struct Follower<'a> {
    pub(super) client: Client,
    pub(super) place: &'a Controller,
    pub(super) id: IntentId,
}

impl Follower<'_> {
    /// Waits until it is over. A controller that is gone is waited for: its agents hold the fault, and its
    /// next life tells of it.
    pub(super) async fn over(
        &mut self,
        terms: fault::LeaseTerms,
        live: &mut Live,
    ) -> Result<wire::Intent, Failure> {
        let until = Instant::now() + terms.total + terms.lease + GRACE;
        let mut parts = Parts::default();
        let mut told = false;
        loop {
            let lost = match timeout_at(until, self.watch(&mut parts, live)).await {
                Ok(Ok(intent)) => return Ok(intent),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(self.lost("its end was not told in time")),
            };
            if !told {
                told = true;
                live.tell(&format!("{}; asking again", lost.reason));
            }
            sleep(AGAIN).await;
            if Instant::now() >= until {
                return Err(lost);
            }
            if let Ok(Ok(client)) = timeout(PATIENCE, Client::open(self.place)).await {
                self.client = client;
            }
        }
    }

    async fn watch(&mut self, parts: &mut Parts, live: &mut Live) -> Result<wire::Intent, Failure> {
        let mut events = self.client.watch().await?;
        loop {
            match events.message().await {
                Ok(Some(event)) => {
                    if let Some(wire::event::Kind::Intent(intent)) = event.kind
                        && intent.id == self.id.get()
                    {
                        parts.show(live, &intent);
                        if is_over(&intent) {
                            return Ok(intent);
                        }
                    }
                }
                Ok(None) => return Err(self.lost("the controller closed the connection")),
                Err(status) => return Err(self.lost(status.message())),
            }
        }
    }

    fn lost(&self, reason: &str) -> Failure {
        Failure::caused(Cause::Unreachable, format!("cannot follow {}", self.id), reason)
            .hint("the fault goes on without this command: `schism status` shows it")
    }
}

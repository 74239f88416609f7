//! Tickets that are redeemed: packets for whoever knows the secret of an object.

use std::time::SystemTime;

use link::Role;
use proto::control as wire;
use proto::control::error_detail::Kind as Detail;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::caller::Caller;
use super::capturing::{self, Begun, Pieces, Tally};
use super::refusal;
use super::service::Service;
use crate::tickets::book::Ticket;
use crate::tickets::keeper::{News, Shared};
use crate::tickets::resource::{Capture, Phase, Status as Standing};

/// The tickets of a controller, and whom their objects hear of it from.
pub(super) struct Tickets {
    pub(super) tickets: Shared,
    pub(super) news: mpsc::UnboundedSender<News>,
}

/// Captures for whoever knows a secret, once.
///
/// # Errors
/// There is no such ticket, or nothing can be captured.
pub(super) async fn redeem(service: &Service, secret: &[u8]) -> Result<Pieces, Status> {
    let ticket = service.tickets.as_ref().and_then(|tickets| {
        let ticket = tickets.tickets.book().redeem(secret, SystemTime::now());
        ticket.map(|ticket| (tickets, ticket))
    });
    let Some((tickets, Ticket { object, request })) = ticket else {
        let reason = "there is no such ticket: each is good once, and for a minute";
        let needs = refusal::role(Role::Capturer).into();
        let kind = Detail::Forbidden(wire::Forbidden { needs });
        let hint = "create another Capture, as `kubectl schism capture` does".to_owned();
        return Err(refusal::status(Code::PermissionDenied, reason.to_owned(), kind, hint));
    };
    // The API server has decided that it may.
    let caller = Caller { name: object.asker(), role: Role::Capturer };
    let what = capturing::typed(&request);
    // From here on, since the caller may leave at any moment.
    let mut sum =
        Sum { object, news: tickets.news.clone(), tally: Tally::default(), refused: None };
    match capturing::begin(service, &caller, what, request).await {
        Ok(Begun { pieces, over }) => {
            sum.tell(Standing { phase: Some(Phase::Running), ..Standing::default() });
            tokio::spawn(async move {
                // One that was broken off with its runtime is told by nobody.
                sum.tally = over.await.unwrap_or_default();
                drop(sum);
            });
            Ok(pieces)
        }
        Err(refused) => {
            sum.refused = Some(refused.message().to_owned());
            Err(refused)
        }
    }
}

/// What was handed over, or why nothing was; told when that is over, however it went.
struct Sum {
    object: Capture,
    news: mpsc::UnboundedSender<News>,
    tally: Tally,
    refused: Option<String>,
}

impl Sum {
    /// Whoever keeps objects may have ended, and the controller with it.
    fn tell(&self, status: Standing) {
        let _ = self.news.send(News { object: Box::new(self.object.clone()), status });
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        let status = match self.refused.take() {
            Some(why) => Standing::of(Phase::Refused, why),
            None => Standing {
                phase: Some(Phase::Over),
                packets: Some(self.tally.packets),
                bytes: Some(self.tally.size),
                missed: self.tally.missed,
                ..Standing::default()
            },
        };
        self.tell(status);
    }
}

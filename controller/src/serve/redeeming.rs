//! Tickets that are redeemed: packets for whoever knows the secret of an object.

use std::time::SystemTime;

use futures_util::StreamExt as _;
use link::Role;
use proto::agent::capture_piece::Kind as Piece;
use proto::control as wire;
use proto::control::capture_piece::Kind;
use proto::control::error_detail::Kind as Detail;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::caller::Caller;
use super::capturing::{self, Pieces};
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
    let mut sum = Sum {
        object,
        news: tickets.news.clone(),
        packets: 0,
        size: 0,
        missed: None,
        refused: None,
    };
    match capturing::begin(service, &caller, what, request).await {
        Ok(pieces) => {
            sum.tell(Standing { phase: Some(Phase::Running), ..Standing::default() });
            Ok(Box::pin(pieces.inspect(move |piece| {
                if let Ok(piece) = piece {
                    sum.add(piece);
                }
            })))
        }
        Err(refused) => {
            sum.refused = Some(refused.message().to_owned());
            Err(refused)
        }
    }
}

/// What was handed over, or why nothing was; told when the caller is gone, however it went.
struct Sum {
    object: Capture,
    news: mpsc::UnboundedSender<News>,
    packets: u64,
    size: u64,
    missed: Option<u64>,
    refused: Option<String>,
}

impl Sum {
    /// Whoever keeps objects may have ended, and the controller with it.
    fn tell(&self, status: Standing) {
        let _ = self.news.send(News { object: Box::new(self.object.clone()), status });
    }

    fn add(&mut self, piece: &wire::CapturePiece) {
        let Some(Kind::Piece(piece)) = &piece.kind else { return };
        match &piece.kind {
            Some(Piece::Packets(packets)) => {
                let sizes = packets.packets.iter().map(|packet| packet.kept.len() as u64);
                self.packets += packets.packets.len() as u64;
                self.size += sizes.sum::<u64>();
            }
            Some(Piece::End(end)) => self.missed = Some(end.missed),
            None => {}
        }
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        let status = match self.refused.take() {
            Some(why) => Standing::of(Phase::Refused, why),
            None => Standing {
                phase: Some(Phase::Over),
                packets: Some(self.packets),
                bytes: Some(self.size),
                missed: self.missed,
                ..Standing::default()
            },
        };
        self.tell(status);
    }
}

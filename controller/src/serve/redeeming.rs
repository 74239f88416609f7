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

impl Tickets {
    /// Whoever keeps objects may have ended, and the controller with it.
    fn tell(&self, object: &Capture, status: Standing) {
        let _ = self.news.send(News { object: Box::new(object.clone()), status });
    }
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
    match capturing::begin(service, &caller, what, request).await {
        Ok(pieces) => {
            let running = Standing { phase: Some(Phase::Running), ..Standing::default() };
            tickets.tell(&object, running);
            let mut sum =
                Sum { object, news: tickets.news.clone(), packets: 0, size: 0, missed: None };
            Ok(Box::pin(pieces.inspect(move |piece| {
                if let Ok(piece) = piece {
                    sum.add(piece);
                }
            })))
        }
        Err(refused) => {
            tickets.tell(&object, Standing::of(Phase::Refused, refused.message()));
            Err(refused)
        }
    }
}

/// What was handed over; told when the stream is gone, however it went.
struct Sum {
    object: Capture,
    news: mpsc::UnboundedSender<News>,
    packets: u64,
    size: u64,
    missed: Option<u64>,
}

impl Sum {
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
        let status = Standing {
            phase: Some(Phase::Over),
            packets: Some(self.packets),
            bytes: Some(self.size),
            missed: self.missed,
            ..Standing::default()
        };
        // Whoever keeps objects may have ended, and the controller with it.
        let _ = self.news.send(News { object: Box::new(self.object.clone()), status });
    }
}

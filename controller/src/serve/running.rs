//! The stream of one run: its first request, then words both ways.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use proto::control as wire;
use proto::control::error_detail::Kind;
use proto::control::run_reply::Kind as Reply;
use proto::control::run_request::Kind as Request;
use proto::{Invalid, required};
use tonic::{Code, Status, Streaming};

use super::caller::Caller;
use super::refusal::{self, refuse_control};
use super::service::{Service, id};
use crate::runs::{AT_ONCE, Line, Peer, RunsError, SHARE};

/// How long the first request may take.
const FIRST: Duration = Duration::from_secs(10);

/// What is told on it.
pub(super) type Replies = Pin<Box<dyn Stream<Item = Result<wire::RunReply, Status>> + Send>>;

/// Begins what the first request asks for.
pub(super) async fn begin(
    service: &Service,
    caller: Caller,
    mut requests: Streaming<wire::RunRequest>,
) -> Result<Replies, Status> {
    let late = |_| Status::deadline_exceeded("nothing was asked for");
    let first = tokio::time::timeout(FIRST, requests.message()).await.map_err(late)??;
    let invalid = |error: Invalid| refusal::invalid(&error);
    let first = required(first.and_then(|request| request.kind), "kind").map_err(invalid)?;
    let (line, peer) = Line::new();
    let begun = match first {
        Request::Begin(begin) => {
            let id = id(begin.id)?;
            service.runs.begin(id, begin, &caller.name, line).await
        }
        Request::TakeOver(take) => {
            let id = id(take.id)?;
            service.runs.take_over(id, &take.values, &caller.name, line).await
        }
        Request::Answer(_) | Request::Interrupt(_) => {
            return Err(invalid(Invalid::new("kind", "is none to begin with")));
        }
    };
    begun.map_err(|error| refuse(&error))?;
    let Peer { replies, requests: said, journal } = peer;
    tokio::spawn(async move {
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                () = said.closed() => return,
            };
            // A stream that fails and one that ends are both lost.
            let Ok(Some(request)) = request else { return };
            let Some(kind) = request.kind else { continue };
            if said.send(kind).await.is_err() {
                return;
            }
        }
    });
    Ok(Box::pin(told(replies, journal)))
}

/// What is told, and in between the journal as it is by then.
fn told(
    replies: tokio::sync::mpsc::Receiver<Reply>,
    journal: tokio::sync::watch::Receiver<Vec<u8>>,
) -> impl Stream<Item = Result<wire::RunReply, Status>> + Send {
    stream::unfold((replies, journal), |(mut replies, mut journal)| async move {
        let kind = tokio::select! {
            biased;
            reply = replies.recv() => reply?,
            Ok(()) = journal.changed() => Reply::Journal(journal.borrow_and_update().clone().into()),
        };
        Some((Ok(wire::RunReply { kind: Some(kind) }), (replies, journal)))
    })
}

pub(crate) fn refuse(error: &RunsError) -> Status {
    let reason = error.to_string();
    let hint = String::new();
    match error {
        RunsError::Invalid(error) => refusal::invalid(error),
        RunsError::Control(error) => refuse_control(error),
        RunsError::Line(_) | RunsError::TooLong { .. } => {
            let field = proto::agent::InvalidField { field: "asked".to_owned() };
            refusal::status(Code::InvalidArgument, reason, Kind::InvalidField(field), hint)
        }
        RunsError::Busy => busy(reason, AT_ONCE),
        RunsError::Share(_) => busy(reason, SHARE),
        RunsError::GoesOn(id) | RunsError::OwesNothing(id) => {
            let kind = Kind::NotOwed(wire::NotOwed { id: id.get() });
            refusal::status(Code::FailedPrecondition, reason, kind, hint)
        }
        RunsError::Archive(_) => {
            let kind = Kind::StoreFailed(wire::StoreFailed {});
            refusal::status(Code::Unavailable, reason, kind, hint)
        }
    }
}

fn busy(reason: String, at_once: usize) -> Status {
    let kind = Kind::Busy(wire::Busy { at_once: u32::try_from(at_once).unwrap_or(u32::MAX) });
    let hint = "`schism status` shows them".to_owned();
    refusal::status(Code::ResourceExhausted, reason, kind, hint)
}

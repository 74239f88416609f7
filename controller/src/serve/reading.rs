//! Logs of targets, told to whoever may read them.

use std::pin::Pin;

use fault::Selector;
use futures_util::StreamExt as _;
use proto::control as wire;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::refusal::refuse_resolve;
use crate::control::unread;
use crate::link::Link;
use crate::log::{self, Sought, Wanted};

/// Pieces that may wait to be taken.
const BACKLOG: usize = 4;

/// What is told.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<wire::LogPiece, Status>> + Send>>;

/// Whose logs are meant, as it could be typed.
pub(super) fn typed(request: &wire::ReadLogRequest) -> String {
    let selectors =
        request.selectors.iter().cloned().filter_map(|one| Selector::try_from(one).ok());
    let names: Vec<String> = selectors.map(|selector| selector.to_string()).collect();
    names.join(" ")
}

/// Tells them.
pub(super) fn told(sought: Vec<(Link, Sought)>, wanted: Wanted) -> Pieces {
    let (pieces, told) = mpsc::channel(BACKLOG);
    tokio::spawn(log::tell(sought, wanted, pieces));
    let refused = |piece: Result<_, _>| {
        piece.map_err(|(node, failure)| refuse_resolve(&unread(node, failure)))
    };
    Box::pin(ReceiverStream::new(told).map(refused))
}

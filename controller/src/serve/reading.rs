//! Logs of targets, told to whoever may read them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fault::Selector;
use futures_util::{StreamExt as _, stream};
use proto::control as wire;
use proto::control::error_detail::Kind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::refusal::{self, refuse_resolve};
use crate::control::unread;
use crate::link::Link;
use crate::log::{self, BACKLOG, Piecemeal, Sought, Wanted};

/// How many requests are served at once, of all callers. An agent reads four logs at once.
const AT_ONCE: usize = 16;
/// How long one may take in all (5 min). Its agents have a minute for each target.
const LONGEST: Duration = Duration::from_secs(300);

/// Who reads logs now.
#[derive(Clone, Debug)]
pub(super) struct Readers(Arc<Semaphore>);

/// The right to be one of them.
pub(super) type Place = OwnedSemaphorePermit;

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Readers {
    /// One more, from before the agents are asked until the end is told.
    ///
    /// # Errors
    /// There are enough.
    pub(super) fn enter(&self) -> Result<Place, Status> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            let at_once = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
            let reason = format!("logs are read for {AT_ONCE} others, and for no more at once");
            let kind = Kind::Busy(wire::Busy { at_once });
            let hint = "try again when one of them is told".to_owned();
            refusal::status(Code::ResourceExhausted, reason, kind, hint)
        })
    }
}

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
pub(super) fn told(sought: Vec<(Link, Sought)>, wanted: Wanted, place: Place) -> Pieces {
    let (pieces, told) = mpsc::channel(BACKLOG);
    let telling = log::tell(sought, wanted, pieces.clone());
    bounded(telling, pieces, told, place)
}

/// What is told by `telling`, which ends in time, and with whoever listens.
fn bounded(
    telling: impl Future<Output = ()> + Send + 'static,
    pieces: mpsc::Sender<Piecemeal>,
    told: mpsc::Receiver<Piecemeal>,
    place: Place,
) -> Pieces {
    let telling = tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            // An agent that says nothing is not waited for on nobody's behalf.
            () = pieces.closed() => Ok(()),
            over = tokio::time::timeout(LONGEST, telling) => over,
        }
    });
    let late = stream::once(telling).filter_map(|over| async move {
        let late = "the logs are not read to their end within five minutes";
        match over {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(Err(Status::deadline_exceeded(late))),
            // It is told with its place.
            Err(_) => Some(Err(Status::internal("the logs could not be told"))),
        }
    });
    let refused =
        |piece: Piecemeal| piece.map_err(|(node, failure)| refuse_resolve(&unread(node, failure)));
    Box::pin(ReceiverStream::new(told).map(refused).chain(late))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_logs_are_told_at_once_and_no_more() {
        let readers = Readers::default();
        let mut places: Vec<Place> = (0..AT_ONCE).map(|_| readers.enter().unwrap()).collect();
        let busy = readers.enter().unwrap_err();
        assert_eq!(busy.code(), Code::ResourceExhausted, "{busy}");
        places.pop();
        drop(readers.enter().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_has_no_end_is_given_up_with_its_place() {
        let readers = Readers::default();
        let (pieces, told) = mpsc::channel(BACKLOG);
        let place = readers.enter().unwrap();
        let mut told = bounded(std::future::pending(), pieces, told, place);
        assert_eq!(readers.0.available_permits(), AT_ONCE - 1);
        let late = told.next().await.unwrap().unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
        assert!(told.next().await.is_none());
        assert_eq!(readers.0.available_permits(), AT_ONCE);
    }

    #[tokio::test]
    async fn what_nobody_listens_to_is_given_up() {
        let readers = Readers::default();
        let (pieces, told) = mpsc::channel(BACKLOG);
        let place = readers.enter().unwrap();
        drop(bounded(std::future::pending(), pieces, told, place));
        // The place is free once the task has seen that.
        let all = u32::try_from(AT_ONCE).unwrap();
        drop(readers.0.acquire_many(all).await.unwrap());
    }
}

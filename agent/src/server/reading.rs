//! Logs that are told: a few at a time, in pieces, within a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fault::{LogMark, Selector};
use proto::Invalid;
use proto::agent as wire;
use proto::agent::log_piece::Kind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::place;
use super::refusal::{busy, invalid, refuse_kernel, refuse_log};
use crate::kernel::Place;
use crate::log::{Part, Reading, Wanted};
use crate::worker::Agent;

/// How many are read at once. A disk that hangs keeps the thread that waits for it.
const AT_ONCE: usize = 4;
/// How long one may take in all (60 s), and its next piece (10 s).
const LONGEST: Duration = Duration::from_secs(60);
const PIECE: Duration = Duration::from_secs(10);
/// The most marks in one request.
const MOST_MARKS: usize = 256;
/// Pieces that may wait to be taken.
const BACKLOG: usize = 4;

type Piece = Result<wire::LogPiece, Status>;
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Piece> + Send>>;

/// Who reads logs now.
#[derive(Clone, Debug)]
pub(super) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// What is asked for.
struct Order {
    place: Place,
    since: Vec<LogMark>,
    wanted: Wanted,
}

impl TryFrom<wire::ReadLogRequest> for Order {
    type Error = Invalid;

    fn try_from(request: wire::ReadLogRequest) -> Result<Self, Invalid> {
        if request.since.len() > MOST_MARKS {
            return Err(Invalid::new("since", format!("has more than {MOST_MARKS} marks")));
        }
        Ok(Self {
            place: place(request.selector, request.identity)?,
            since: request.since.into_iter().map(Into::into).collect(),
            wanted: if request.ends_only { Wanted::Ends } else { Wanted::News },
        })
    }
}

/// One reading. It is given up with its stream; a thread that waits for a disk keeps its place.
struct Reader {
    agent: Agent,
    permit: Arc<OwnedSemaphorePermit>,
}

impl Reader {
    /// Does something that may wait for a disk, but not for ever.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let permit = Arc::clone(&self.permit);
        let work = self.agent.hands().work(move || {
            let _permit = permit;
            work()
        });
        match tokio::time::timeout(PIECE, work).await {
            Ok(Some(done)) => done,
            Ok(None) => Err(Status::internal("the work for this request was broken off")),
            Err(_) => Err(Status::deadline_exceeded("a disk does not answer")),
        }
    }

    async fn open(&self, order: Order) -> Result<Reading, Status> {
        let kernel = self.agent.kernel().clone();
        self.work(move || {
            let Order { place, since, wanted } = order;
            let logs = kernel.logs(&place).map_err(|e| refuse_kernel(e, &place.selector))?;
            Reading::of(logs, &since, wanted).map_err(|e| refuse_log(&e, &place.selector))
        })
        .await
    }

    async fn tell(
        &self,
        reading: Reading,
        selector: Selector,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<(), Status> {
        let tell = async |kind: Kind| {
            // Without anybody who listens there is nothing more to do.
            let piece = wire::LogPiece { kind: Some(kind) };
            pieces.send(Ok(piece)).await.map_err(|_| Status::cancelled("nobody listens"))
        };
        for part in reading.parts {
            tell(Kind::File(announced(&part))).await?;
            let (mut at, part) = (part.from, Arc::new(part));
            loop {
                let (this, selector) = (Arc::clone(&part), selector.clone());
                let bytes = self.work(move || {
                    this.read(at).map_err(|error| refuse_log(&error.into(), &selector))
                });
                let bytes = bytes.await?;
                if bytes.is_empty() {
                    break;
                }
                at += bytes.len() as u64;
                tell(Kind::Bytes(bytes.into())).await?;
            }
        }
        tell(Kind::End(wire::LogEnd { missing: reading.missing.unwrap_or_default() })).await
    }
}

fn announced(part: &Part) -> wire::LogFile {
    wire::LogFile {
        device: part.number.device,
        inode: part.number.inode,
        from: part.from,
        fresh: part.fresh,
        form: wire::LogForm::from(part.form).into(),
        goes_on: part.goes_on,
    }
}

/// Reads a log, from the time on at which this returns.
///
/// # Errors
/// Nothing of it can be read, or enough others are.
pub(super) async fn begin(
    agent: &Agent,
    readers: &Readers,
    request: wire::ReadLogRequest,
) -> Result<Pieces, Status> {
    let order = Order::try_from(request).map_err(|error| invalid(&error))?;
    let permit = Arc::clone(&readers.0).try_acquire_owned();
    let permit = Arc::new(permit.map_err(|_| busy("logs are read", AT_ONCE))?);
    let reader = Reader { agent: agent.clone(), permit };
    let selector = order.place.selector.clone();
    let reading = reader.open(order).await?;
    let (pieces, told) = mpsc::channel(BACKLOG + 1);
    let last = reserved(&pieces).await?;
    tokio::spawn(conclude(async move { reader.tell(reading, selector, &pieces).await }, last));
    Ok(Box::pin(ReceiverStream::new(told)))
}

/// Room for what is said last, however many pieces wait.
async fn reserved(pieces: &mpsc::Sender<Piece>) -> Result<mpsc::OwnedPermit<Piece>, Status> {
    let nobody = |_| Status::internal("nobody takes the pieces of a log");
    pieces.clone().reserve_owned().await.map_err(nobody)
}

/// Tells within a time, and why it is not all, also to somebody who has taken nothing yet.
async fn conclude(
    telling: impl Future<Output = Result<(), Status>>,
    last: mpsc::OwnedPermit<Piece>,
) {
    let failed = match tokio::time::timeout(LONGEST, telling).await {
        Ok(Ok(())) => return,
        Ok(Err(status)) => status,
        Err(_) => Status::deadline_exceeded("its log is not read to its end within a minute"),
    };
    last.send(Err(failed));
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_taken_nothing_hears_why_it_ends_all_the_same() {
        let (pieces, told) = mpsc::channel(BACKLOG + 1);
        let last = reserved(&pieces).await.unwrap();
        let telling = async move {
            while pieces.send(Ok(wire::LogPiece::default())).await.is_ok() {}
            Ok(())
        };
        conclude(telling, last).await;
        let told: Vec<Piece> = ReceiverStream::new(told).collect().await;
        let codes: Vec<Option<Code>> =
            told.iter().map(|piece| piece.as_ref().err().map(Status::code)).collect();
        assert_eq!(codes.len(), BACKLOG + 1);
        assert_eq!(codes.iter().flatten().collect::<Vec<_>>(), [&Code::DeadlineExceeded]);
        assert_eq!(codes.last(), Some(&Some(Code::DeadlineExceeded)));
    }
}

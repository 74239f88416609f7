//! Packets that are handed over as they pass: a few captures at a time, each within a time, and never more of it in
//! memory than waits to be taken.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fault::{Capture, Packet};
use proto::Invalid;
use proto::agent as wire;
use proto::agent::capture_piece::Kind;
use proto::required;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::place;
use super::refusal::{busy, invalid, refuse_kernel, uncaptured};
use crate::hands::Hands;
use crate::kernel::{Kernel, KernelError, Listening, Place, Sight};
use crate::worker::{Agent, Transition};

/// How many there are at once.
const AT_ONCE: usize = 2;
/// Batches that may wait to be taken, and how much one has at most (bytes), but for its last packet.
const BACKLOG: usize = 4;
const BATCH: u64 = 64 << 10;
/// How often it is looked whether the target is there (1 s): its end is no event.
const LOOK: Duration = Duration::from_secs(1);

type Piece = Result<wire::CapturePiece, Status>;
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Piece> + Send>>;

/// Whether an agent hands packets over at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Captures {
    /// It does not: what is in them is private.
    #[default]
    Refused,
    /// It does, for whoever may ask it.
    Allowed,
}

/// Who captures now.
#[derive(Clone, Debug)]
pub(super) struct Capturers {
    captures: Captures,
    places: Arc<Semaphore>,
}

impl Capturers {
    pub(super) fn new(captures: Captures) -> Self {
        Self { captures, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// One more.
    fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        match self.captures {
            Captures::Refused => Err(uncaptured()),
            Captures::Allowed => {
                let place = Arc::clone(&self.places).try_acquire_owned();
                place.map_err(|_| busy("captures go on", AT_ONCE))
            }
        }
    }
}

/// What is asked for.
struct Order {
    place: Place,
    capture: Capture,
}

impl TryFrom<wire::CaptureRequest> for Order {
    type Error = Invalid;

    fn try_from(request: wire::CaptureRequest) -> Result<Self, Invalid> {
        let capture = Capture::try_from(required(request.capture, "capture")?);
        Ok(Self {
            place: place(request.selector, request.identity)?,
            capture: capture.map_err(|error| error.within("capture"))?,
        })
    }
}

/// One capture. Its socket is gone with it, and its place free.
struct Capturing {
    listening: Listening,
    /// Devices of which something was told.
    known: BTreeSet<u32>,
    told: u64,
    /// How much is still to be told (bytes).
    left: u64,
    _place: OwnedSemaphorePermit,
}

/// Why one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Time,
    Full,
    Draining,
    Gone,
    Nobody,
}

impl Capturing {
    /// Hands over what passes until there is enough of it, or nobody listens; to be dropped at any other end.
    ///
    /// What waits for somebody who is slow waits in the socket: its room is bounded, and what finds none is counted.
    async fn go_on(&mut self, pieces: &mpsc::Sender<Piece>) -> io::Result<Ended> {
        while self.left > 0 {
            let Ok(room) = pieces.reserve().await else { return Ok(Ended::Nobody) };
            // Nothing of it is lost by whoever drops this: what was taken is handed over without a wait.
            let mut batch = self.listening.batch(self.left.min(BATCH)).await?;
            let mut cost: u64 = batch.iter().map(Packet::cost).sum();
            // The last of them may be too much. It has passed, and is not told.
            let is_full = cost > self.left;
            if is_full {
                cost -= batch.pop().map_or(0, |last| last.cost());
            }
            self.left = if is_full { 0 } else { self.left - cost };
            if batch.is_empty() {
                continue;
            }
            self.told += batch.len() as u64;
            let devices = self.strange(&batch);
            let packets = batch.into_iter().map(Into::into).collect();
            let kind = Some(Kind::Packets(wire::CapturedPackets { devices, packets }));
            room.send(Ok(wire::CapturePiece { kind }));
        }
        Ok(Ended::Full)
    }

    /// The devices of which nothing was told before.
    fn strange(&mut self, batch: &[Packet]) -> Vec<wire::CaptureDevice> {
        let tap = self.listening.tap();
        let indices = batch.iter().map(|packet| packet.interface);
        let strange = indices.filter(|index| self.known.insert(*index));
        strange.map(|index| wire::CaptureDevice { index, name: tap.device(index) }).collect()
    }

    fn end(&mut self, ended: Ended) -> io::Result<wire::CaptureEnd> {
        let why = match ended {
            Ended::Time | Ended::Gone => wire::CaptureEnding::Time,
            Ended::Full => wire::CaptureEnding::Full,
            Ended::Draining => wire::CaptureEnding::Draining,
            Ended::Nobody => wire::CaptureEnding::Unspecified,
        };
        let passed = self.listening.tap().passed()?;
        let missed = passed.saturating_sub(self.told);
        let gone = ended == Ended::Gone;
        Ok(wire::CaptureEnd { told: self.told, missed, why: why.into(), gone })
    }
}

/// Whose packets they are.
struct Whose {
    kernel: Arc<dyn Kernel>,
    hands: Hands,
    place: Place,
}

impl Whose {
    /// Returns once the target is gone. Its namespace stays, since the socket is in it.
    async fn left(&self) {
        loop {
            sleep(LOOK).await;
            let (kernel, place) = (Arc::clone(&self.kernel), self.place.clone());
            if self.hands.work(move || is_gone(kernel.as_ref(), &place)).await == Some(true) {
                return;
            }
        }
    }
}

/// Whether a target is gone: one that cannot be read now may be there.
fn is_gone(kernel: &dyn Kernel, place: &Place) -> bool {
    matches!(kernel.inspect(place), Ok(Sight::Gone(_)))
}

/// Captures, from the time on at which this returns.
///
/// # Errors
/// This agent does not, or not for this target, or enough others do.
pub(super) async fn begin(
    agent: &Agent,
    capturers: &Capturers,
    request: wire::CaptureRequest,
) -> Result<Pieces, Status> {
    let ticket = capturers.enter()?;
    let Order { place, capture } = Order::try_from(request).map_err(|error| invalid(&error))?;
    let (selector, total, left) = (place.selector.clone(), capture.total, capture.most);
    // From before it is open, or an end in between would be missed.
    let transitions = agent.transitions();
    let (kernel, hands) = (agent.kernel().clone(), agent.hands().clone());
    let whose = Whose { kernel: Arc::clone(&kernel), hands, place: place.clone() };
    let tap = agent.hands().work(move || {
        kernel.capture(&place, &capture).map_err(|error| refuse_kernel(error, &place.selector))
    });
    let broken_off = || Err(Status::internal("the work for this request was broken off"));
    let tap = tap.await.unwrap_or_else(broken_off)?;
    let listening = Listening::to(tap)
        .map_err(|error| refuse_kernel(KernelError::call("epoll_ctl")(error), &selector))?;
    let capturing = Capturing { listening, known: BTreeSet::new(), told: 0, left, _place: ticket };
    let (pieces, told) = mpsc::channel(BACKLOG + 1);
    // Room for what is said last, however many pieces wait.
    let last = pieces.clone().reserve_owned().await;
    let last = last.map_err(|_| Status::internal("nobody takes the packets"))?;
    let deadline = Instant::now() + total;
    tracing::info!(%selector, seconds = total.as_secs_f64(), "a capture begins");
    tokio::spawn(async move {
        let end = conclude(capturing, whose, &pieces, deadline, transitions).await;
        match &end {
            Ok(wire::CaptureEnd { told, missed, .. }) => {
                tracing::info!(%selector, told, missed, "a capture has ended");
            }
            Err(error) => tracing::warn!(%selector, %error, "a capture has failed"),
        }
        last.send(end.map(|end| wire::CapturePiece { kind: Some(Kind::End(end)) }).map_err(
            |error| refuse_kernel(KernelError::call("recvmsg(AF_PACKET)")(error), &selector),
        ));
    });
    Ok(Box::pin(ReceiverStream::new(told)))
}

/// Captures until any end; nothing is left open then.
async fn conclude(
    mut capturing: Capturing,
    whose: Whose,
    pieces: &mpsc::Sender<Piece>,
    deadline: Instant,
    transitions: Receiver<Transition>,
) -> io::Result<wire::CaptureEnd> {
    let ended = tokio::select! {
        biased;
        () = sleep_until(deadline) => Ok(Ended::Time),
        () = pieces.closed() => Ok(Ended::Nobody),
        () = drained(transitions) => Ok(Ended::Draining),
        () = whose.left() => Ok(Ended::Gone),
        ended = capturing.go_on(pieces) => ended,
    };
    // Before it is closed: what passes until then would count as missed.
    let end = ended.and_then(|ended| capturing.end(ended));
    let Whose { kernel, hands, place } = whose;
    let closed = hands.work(move || {
        // A packet socket is closed once no processor uses it any more (synchronize_net): some milliseconds.
        drop(capturing);
        let mut end = end?;
        // It may have gone since the last look.
        let is_over = end.why() == wire::CaptureEnding::Time;
        end.gone |= is_over && is_gone(kernel.as_ref(), &place);
        Ok(end)
    });
    closed.await.unwrap_or_else(|| Err(io::Error::other("the agent ends")))
}

/// Waits for the agent's end.
async fn drained(mut transitions: Receiver<Transition>) {
    loop {
        match transitions.recv().await {
            Ok(Transition::Draining) | Err(RecvError::Closed) => return,
            Ok(Transition::Changed(_) | Transition::Braked) | Err(RecvError::Lagged(_)) => {}
        }
    }
}

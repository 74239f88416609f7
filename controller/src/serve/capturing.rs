//! Packets of targets, handed on from agents to whoever may capture, with a line in the audit log at both ends.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent::server::Captures;
use fault::{Capture, Selector};
use futures_util::Stream;
use proto::agent as agent_wire;
use proto::agent::capture_piece::Kind as Piece;
use proto::control as wire;
use proto::control::capture_piece::Kind;
use proto::control::error_detail::Kind as Detail;
use proto::control::guarded::Guard;
use proto::{Invalid, required};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::caller::Caller;
use super::refusal::{self, refuse_resolve};
use super::service::{Service, entry};
use crate::archive::{Archive, Audit, Deed, Node, Verdict};
use crate::capture::recording::GRACE;
use crate::control::unread;
use crate::output::quantity::{bytes, count, time};

/// How many there are at once, of all callers. An agent makes two.
const AT_ONCE: usize = 8;
/// Pieces that may wait to be taken: a caller who is slow lets the agent wait, which counts what it loses by that.
const BACKLOG: usize = 4;

/// Why nobody captures where that is off, and what changes it.
pub(crate) const PRIVATE: &str =
    "this controller hands over no packets: what is in them is private";
pub(crate) const ALLOWING: &str =
    "whoever runs it has to say `allowed = true` under [capture] in its schism.toml";

type Told = Result<wire::CapturePiece, Status>;
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Told> + Send>>;

/// A capture that has begun.
pub(super) struct Begun {
    /// What is handed over.
    pub(super) pieces: Pieces,
    /// What that has come to, once it is over.
    pub(super) over: oneshot::Receiver<Tally>,
}

/// What was handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) packets: u64,
    /// What was kept of them (bytes).
    pub(super) size: u64,
    /// How many more have passed; `None` where the end was not told.
    pub(super) missed: Option<u64>,
}

impl Tally {
    fn add(&mut self, piece: &agent_wire::CapturePiece) {
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

/// Who captures now, if anybody may.
#[derive(Clone, Debug)]
pub(super) struct Capturers {
    captures: Captures,
    places: Arc<Semaphore>,
}

impl Capturers {
    pub(super) fn new(captures: Captures) -> Self {
        Self { captures, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// One more, until the end is told.
    fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        match self.captures {
            Captures::Refused => {
                let guard = Guard::Protected.into();
                let kind = Detail::Guarded(wire::Guarded { guard, replaceable: 0 });
                let (reason, hint) = (PRIVATE.to_owned(), ALLOWING.to_owned());
                Err(refusal::status(Code::FailedPrecondition, reason, kind, hint))
            }
            Captures::Allowed => {
                let place = Arc::clone(&self.places).try_acquire_owned();
                place.map_err(|_| {
                    let at_once = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
                    let reason = format!("{AT_ONCE} others capture, and no more may at once");
                    let kind = Detail::Busy(wire::Busy { at_once });
                    let hint = "try again when one of them is done".to_owned();
                    refusal::status(Code::ResourceExhausted, reason, kind, hint)
                })
            }
        }
    }
}

/// What is asked for.
struct Order {
    target: Selector,
    peers: Vec<Selector>,
    capture: Capture,
    seed: u64,
}

impl TryFrom<wire::CaptureRequest> for Order {
    type Error = Invalid;

    fn try_from(request: wire::CaptureRequest) -> Result<Self, Invalid> {
        let target = Selector::try_from(required(request.target, "target")?);
        let capture = Capture::try_from(required(request.capture, "capture")?);
        let peers = request.peers.into_iter().map(Selector::try_from);
        Ok(Self {
            target: target.map_err(|error| error.within("target"))?,
            peers: peers.collect::<Result<_, _>>().map_err(|error| error.within("peers"))?,
            capture: capture.map_err(|error| error.within("capture"))?,
            seed: request.seed,
        })
    }
}

/// What is asked for, as it could be typed.
pub(super) fn typed(request: &wire::CaptureRequest) -> String {
    let named = |one: &wire::Selector| {
        Selector::try_from(one.clone()).map_or_else(|_| "?".to_owned(), |one| one.to_string())
    };
    let mut words = vec!["capture".to_owned()];
    words.extend(request.target.iter().map(named));
    for peer in &request.peers {
        words.push(format!("--peer {}", named(peer)));
    }
    if let Some(capture) = &request.capture {
        words.push(format!("--for {}", time(Duration::from_nanos(capture.total_ns))));
        if capture.port != 0 {
            words.push(format!("--port {}", capture.port));
        }
        if capture.kept != 0 {
            words.push(format!("--snaplen {}", capture.kept));
        }
        if capture.node {
            words.push("--whole-node".to_owned());
        }
    }
    words.join(" ")
}

/// Captures for somebody who may.
///
/// # Errors
/// This controller does not, or the agent does not, or what is meant is not there.
pub(super) async fn begin(
    service: &Service,
    caller: &Caller,
    what: String,
    request: wire::CaptureRequest,
) -> Result<Begun, Status> {
    let place = match service.capturers.enter() {
        Ok(place) => place,
        Err(status) => return refused(service, caller, &what, status).await,
    };
    let Order { target, peers, capture, seed } = match Order::try_from(request) {
        Ok(order) => order,
        Err(error) => return refused(service, caller, &what, refusal::invalid(&error)).await,
    };
    let mut captured = match service.control.captured(&target, &peers, seed).await {
        Ok(captured) => captured,
        Err(error) => return refused(service, caller, &what, refuse_resolve(&error)).await,
    };
    let admitted = Audit {
        nodes: vec![Node(captured.node.clone())],
        until: Some(SystemTime::now() + capture.total),
        ..entry(caller, Deed::Capture, what.clone(), Verdict::Admitted)
    };
    service.audit(admitted.clone()).await?;
    let peers = captured.peers;
    let attempted = format!("cannot capture the packets of {target}");
    let capture = Capture { peers, ..capture };
    let pieces = match captured.link.capture(&attempted, &captured.target, &capture).await {
        Ok(pieces) => pieces,
        Err(failure) => {
            let status = refuse_resolve(&unread(captured.node, failure));
            return refused(service, caller, &what, status).await;
        }
    };
    let (told, waiting) = mpsc::channel(BACKLOG);
    let (tell, over) = oneshot::channel();
    let passing = Passing {
        pieces,
        told,
        tally: Tally::default(),
        began: Instant::now(),
        until: Instant::now() + capture.total + GRACE,
        stopped: service.stopped.clone(),
        _place: place,
    };
    let first = wire::CapturePiece { kind: Some(Kind::Target((&captured.end).into())) };
    let (archive, until) = (service.archive.clone(), None);
    tokio::spawn(passing.run(first, archive, Audit { until, ..admitted }, tell));
    Ok(Begun { pieces: Box::pin(ReceiverStream::new(waiting)), over })
}

/// Who is refused is written down as well.
async fn refused(
    service: &Service,
    caller: &Caller,
    what: &str,
    refused: Status,
) -> Result<Begun, Status> {
    let verdict = Verdict::Refused(refused.message().to_owned());
    service.audit(entry(caller, Deed::Capture, what.to_owned(), verdict)).await?;
    Err(refused)
}

/// A capture that goes on. Whoever loses interest in it ends it at its agent, too.
struct Passing {
    pieces: Streaming<agent_wire::CapturePiece>,
    told: mpsc::Sender<Told>,
    tally: Tally,
    began: Instant,
    until: Instant,
    stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Passing {
    async fn run(
        mut self,
        first: wire::CapturePiece,
        archive: Archive,
        admitted: Audit,
        over: oneshot::Sender<Tally>,
    ) {
        let (told, until, mut stopped) = (self.told.clone(), self.until, self.stopped.clone());
        let failed = tokio::select! {
            biased;
            () = told.closed() => None,
            // An end that waits for nobody.
            _ = stopped.wait_for(|stop| *stop) => Some(Status::unavailable("the controller ends")),
            () = sleep_until(until) => {
                Some(Status::deadline_exceeded("the agent has not ended it in time"))
            }
            failed = self.go_on(first) => failed.err(),
        };
        let (ended, tally) = (self.ended(admitted, failed.as_ref()), self.tally);
        // Its socket is gone with the stream from its agent, before that is written down.
        drop(self);
        if let Err(error) = archive.audit.append(&ended).await {
            tracing::error!(%error, "what a capture has come to is not written down");
        }
        if let Some(status) = failed {
            // Who does not listen any more need not know.
            let _ = told.try_send(Err(status));
        }
        // Nor who asked for nothing but packets.
        let _ = over.send(tally);
    }

    async fn go_on(&mut self, first: wire::CapturePiece) -> Result<(), Status> {
        if self.told.send(Ok(first)).await.is_err() {
            return Ok(());
        }
        while let Some(piece) = self.pieces.message().await.map_err(crate::link::lost)? {
            self.tally.add(&piece);
            let is_last = self.tally.missed.is_some();
            let piece = wire::CapturePiece { kind: Some(Kind::Piece(piece)) };
            if self.told.send(Ok(piece)).await.is_err() || is_last {
                return Ok(());
            }
        }
        Err(Status::unavailable("the agent has not told its end"))
    }

    /// The line for its end: how many packets and bytes were handed over, in what time.
    fn ended(&self, admitted: Audit, failed: Option<&Status>) -> Audit {
        let came_to = format!(
            "{}: {}, {}, in {}",
            admitted.what,
            count(self.tally.packets, "packet"),
            bytes(self.tally.size),
            time(self.began.elapsed()),
        );
        let missed = match (self.tally.missed, failed) {
            (Some(0), _) => String::new(),
            (Some(missed), _) => format!(", {missed} missed"),
            (None, Some(status)) => format!(", ended before its time: {}", status.message()),
            (None, None) => ", ended by the caller".to_owned(),
        };
        Audit {
            at: SystemTime::now(),
            deed: Deed::Captured,
            what: format!("{came_to}{missed}"),
            ..admitted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_written_as_it_could_be_typed() {
        let selector = |text: &str| wire::Selector::from(&text.parse::<Selector>().unwrap());
        let request = wire::CaptureRequest {
            target: Some(selector("k8s:shop/pod/cart-0")),
            peers: vec![selector("addr:10.0.0.0/24")],
            capture: Some(agent_wire::Capture {
                port: 80,
                total_ns: 10_000_000_000,
                ..agent_wire::Capture::default()
            }),
            seed: 1,
        };
        let expected = "capture k8s:shop/pod/cart-0 --peer addr:10.0.0.0/24 --for 10s --port 80";
        assert_eq!(typed(&request), expected);
    }

    #[test]
    fn nobody_captures_where_that_is_not_allowed_and_no_more_than_may_elsewhere() {
        let refused = Capturers::new(Captures::Refused).enter().unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        let capturers = Capturers::new(Captures::Allowed);
        let mut places: Vec<_> = (0..AT_ONCE).map(|_| capturers.enter().unwrap()).collect();
        assert_eq!(capturers.enter().unwrap_err().code(), Code::ResourceExhausted);
        places.pop();
        drop(capturers.enter().unwrap());
    }
}

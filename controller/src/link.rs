//! One agent, spoken to in the words of [`fault`].

mod direct;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use fault::{
    Aspect, BootTime, Capture, Fault, FaultId, LogMark, Prefix, Protocol, Selector, Status, Target,
    TargetIdentity,
};
use futures_util::future::BoxFuture;
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use proto::{Invalid, required};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

pub(crate) use direct::Direct;

use crate::failure::Failure;
use crate::log::Wanted;
use crate::outcome::Outcome;

/// How long a question may take that needs nothing but a look.
const ANSWER: Duration = Duration::from_secs(5);
/// The largest answer (64 MiB): a hundred faults with 10,000 peers each.
const LARGEST_ANSWER: usize = 64 << 20;
/// How long putting in may take: programs are loaded and verified.
const WORK: Duration = Duration::from_secs(30);

/// A connection to one agent.
///
/// It is made once and never again: an agent that answers at the same place later is another one, and
/// holds nothing of what this one held.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    client: AgentClient<Direct>,
    /// On whose behalf; a command line has no such name.
    holder: Option<wire::Holder>,
}

/// Whether a preparation is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rehearsal {
    /// Put it in place.
    No,
    /// Only say what would be put in place.
    Yes,
}

/// Which faults to end.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    /// These.
    Faults(Vec<FaultId>),
    /// Whatever the agent holds.
    All,
}

/// A fault that is in place, or would be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Prepared {
    /// Which.
    pub(crate) id: FaultId,
    /// How it is put in, in order.
    pub(crate) steps: Vec<String>,
    /// The target as it was found; agents look again only for a rehearsal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Target>,
    /// The peers' addresses.
    pub(crate) peers: Vec<Prefix>,
    /// What the cut does not do that one might expect.
    pub(crate) notes: Vec<String>,
}

/// What can be named on a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// What can.
    pub(crate) targets: Vec<Target>,
    /// How many more there are.
    pub(crate) left_off: u32,
    /// What could not be looked at and why, for people.
    pub(crate) unseen: Vec<String>,
}

/// One end of a probe.
#[derive(Clone, Debug)]
pub(crate) struct ProbeEnd {
    /// Its name.
    pub(crate) selector: Selector,
    /// Which target that is.
    pub(crate) identity: TargetIdentity,
}

/// Probes to be sent one way.
#[derive(Clone, Debug)]
pub(crate) struct ProbeOrder {
    /// Who sends, or opens.
    pub(crate) from: ProbeEnd,
    /// Who receives, or is called.
    pub(crate) to: ProbeEnd,
    /// By which protocol.
    pub(crate) protocol: Protocol,
    /// At which port of the receiver; `None` for one of the agent's own.
    pub(crate) port: Option<u16>,
    /// How many.
    pub(crate) count: u32,
    /// From one to the next.
    pub(crate) interval: Duration,
    /// How long to wait for each.
    pub(crate) timeout: Duration,
}

/// What became of probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ProbeCount {
    /// How many were sent.
    pub(crate) sent: u32,
    /// How many of them arrived.
    pub(crate) delivered: u32,
    /// Why they prove nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_proven: Option<String>,
}

impl Link {
    /// Connects to the agent at a socket.
    ///
    /// # Errors
    /// The kernel's, if nobody listens there or it is not allowed.
    pub(crate) async fn open(socket: &Path) -> io::Result<Self> {
        Self::over(UnixStream::connect(socket).await?, None).await
    }

    /// Takes a connection on whose other end an agent serves.
    ///
    /// # Errors
    /// HTTP/2 could not be begun on it.
    pub(crate) async fn over<S>(stream: S, holder: Option<wire::Holder>) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let direct = Direct::over(stream).await?;
        // A list of large faults, each with its peers, is larger than what a client takes by default.
        let client = AgentClient::with_origin(direct, Direct::origin());
        let client = client.max_decoding_message_size(LARGEST_ANSWER);
        Ok(Self { client, holder })
    }

    /// What the agent is.
    pub(crate) async fn describe(&mut self) -> Result<wire::Description, Failure> {
        let attempted = "cannot ask the agent what it is";
        let request = wire::DescribeRequest {};
        let answer = within(attempted, ANSWER, self.client.describe(request)).await?;
        Ok(answer)
    }

    /// What a selector names.
    pub(crate) async fn resolve(
        &mut self,
        selector: &Selector,
        aspect: Aspect,
    ) -> Result<Vec<Target>, Failure> {
        let attempted = format!("cannot resolve {selector}");
        let aspect = wire::Aspect::from(aspect).into();
        let request = wire::ResolveRequest { selector: Some(selector.into()), aspect };
        let call = self.client.resolve(request);
        let reply = within(&attempted, ANSWER, call).await?;
        each(&attempted, reply.targets)
    }

    /// Which targets of its node own any of these addresses.
    pub(crate) async fn owners(&mut self, addresses: &[IpAddr]) -> Result<Vec<Target>, Failure> {
        let attempted = "cannot ask the agent whose addresses these are";
        let addresses = addresses.iter().map(|one| proto::address_bytes(*one).into()).collect();
        let call = self.client.owners(wire::OwnersRequest { addresses });
        let reply = within(attempted, ANSWER, call).await?;
        each(attempted, reply.targets)
    }

    /// What can be named on its node.
    pub(crate) async fn targets(&mut self) -> Result<Listing, Failure> {
        let attempted = "cannot list the targets";
        let call = self.client.targets(wire::TargetsRequest {});
        let reply = within(attempted, WORK, call).await?;
        let targets = each(attempted, reply.targets)?;
        Ok(Listing { targets, left_off: reply.left_off, unseen: reply.unseen })
    }

    /// Puts faults in place.
    pub(crate) async fn prepare(
        &mut self,
        attempted: &str,
        faults: &[Fault],
        rehearsal: Rehearsal,
    ) -> Result<Vec<Prepared>, Failure> {
        let request = wire::PrepareRequest {
            faults: faults.iter().map(Into::into).collect(),
            dry_run: rehearsal == Rehearsal::Yes,
            holder: self.holder.clone(),
        };
        let call = self.client.prepare(request);
        let reply = within(attempted, WORK, call).await?;
        each(attempted, reply.faults)
    }

    /// Lets prepared faults act, and returns what was read once they do.
    pub(crate) async fn commit(
        &mut self,
        attempted: &str,
        ids: &[FaultId],
        start: Option<BootTime>,
    ) -> Result<Vec<Status>, Failure> {
        let start = start.map_or(0, BootTime::nanos);
        let request = wire::CommitRequest { ids: wired(ids), start, holder: self.holder.clone() };
        let until = Instant::now() + WORK;
        loop {
            let call = self.client.commit(request.clone());
            let reply = within(attempted, WORK, call).await?;
            let committed: Vec<Status> = each(attempted, reply.faults)?;
            match committed.iter().filter_map(Status::until_start).max() {
                None => return Ok(committed),
                // An older agent does not wait for the start. The same commit again changes nothing.
                Some(ahead) if Instant::now() + ahead < until => tokio::time::sleep(ahead).await,
                Some(_) => {
                    let reason = format!("it does not act within {} s", WORK.as_secs());
                    return Err(Failure::new(Outcome::Unconfirmed, attempted, reason));
                }
            }
        }
    }

    /// Ends faults and learns what they did.
    pub(crate) async fn heal(&mut self, scope: &Scope) -> Result<Vec<Status>, Failure> {
        let (attempted, request) = match scope {
            Scope::Faults(ids) => {
                let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
                let request = wire::HealRequest { ids: wired(ids), all: false };
                (format!("cannot confirm the heal of {}", names.join(", ")), request)
            }
            Scope::All => {
                let request = wire::HealRequest { ids: Vec::new(), all: true };
                ("cannot confirm the heal of all faults".to_owned(), request)
            }
        };
        let call = self.client.heal(request);
        let reply = within(&attempted, ANSWER, call).await?;
        each(&attempted, reply.faults)
    }

    /// Puts the node's brake on, which heals everything.
    pub(crate) async fn halt(&mut self, reason: &str) -> Result<(), Failure> {
        let request = wire::HaltRequest { reason: reason.to_owned() };
        let call = self.client.halt(request);
        within("cannot halt the node", ANSWER, call).await.map(drop)
    }

    /// Takes the node's brake off.
    pub(crate) async fn resume(&mut self) -> Result<(), Failure> {
        let call = self.client.resume(wire::ResumeRequest {});
        within("cannot take the node's brake off", ANSWER, call).await.map(drop)
    }

    /// All faults of the agent, and those that ended lately.
    pub(crate) async fn list(&mut self) -> Result<Vec<Status>, Failure> {
        let attempted = "cannot list the faults";
        let call = self.client.list(wire::ListRequest {});
        let reply = within(attempted, ANSWER, call).await?;
        each(attempted, reply.faults)
    }

    /// Opens the stream that renews leases one way and reports the other.
    pub(crate) async fn session(
        &mut self,
        beats: mpsc::Receiver<wire::Heartbeat>,
    ) -> Result<Streaming<wire::Event>, Failure> {
        // No deadline on the request: the stream lasts as long as the cut.
        let call = self.client.session(Request::new(ReceiverStream::new(beats)));
        within("cannot keep the cut's lease", ANSWER, call).await
    }

    /// What a target writes, from marks on, or where that ends.
    pub(crate) async fn read_log(
        &mut self,
        attempted: &str,
        target: &Target,
        since: &[LogMark],
        wanted: Wanted,
    ) -> Result<Streaming<wire::LogPiece>, Failure> {
        let request = wire::ReadLogRequest {
            selector: Some((&target.selector).into()),
            identity: Some(target.identity.into()),
            since: since.iter().copied().map(Into::into).collect(),
            ends_only: wanted == Wanted::Ends,
        };
        within(attempted, WORK, self.client.read_log(request)).await
    }

    /// Packets of a target as they pass.
    pub(crate) async fn capture(
        &mut self,
        attempted: &str,
        target: &Target,
        capture: &Capture,
    ) -> Result<Streaming<wire::CapturePiece>, Failure> {
        let request = wire::CaptureRequest {
            selector: Some((&target.selector).into()),
            identity: Some(target.identity.into()),
            capture: Some(capture.into()),
        };
        // No deadline on the request: the stream lasts as long as the capture.
        within(attempted, ANSWER, self.client.capture(request)).await
    }

    /// Sends probes one way and counts what arrives.
    pub(crate) async fn probe(&mut self, order: &ProbeOrder) -> Result<ProbeCount, Failure> {
        let (from, to) = (&order.from, &order.to);
        let attempted = format!("cannot probe {} → {}", from.selector, to.selector);
        let request = wire::ProbeRequest {
            from: Some(from.identity.into()),
            from_selector: Some((&from.selector).into()),
            to: Some(to.identity.into()),
            to_selector: Some((&to.selector).into()),
            protocol: wire::Protocol::from(Some(order.protocol)).into(),
            port: order.port.unwrap_or(0).into(),
            count: order.count,
            interval_ns: nanos(order.interval),
            timeout_ns: nanos(order.timeout),
        };
        let call = self.client.probe(request);
        let reply = within(&attempted, WORK, call).await?;
        let not_proven = Some(reply.not_proven).filter(|reason| !reason.is_empty());
        Ok(ProbeCount { sent: reply.sent, delivered: reply.delivered, not_proven })
    }
}

/// Faults by name, as a heartbeat or a heal has them.
pub(crate) fn wired(ids: &[FaultId]) -> Vec<wire::FaultId> {
    ids.iter().copied().map(Into::into).collect()
}

/// A length of time on the wire.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Waits for an answer, but not for ever: a stopped agent keeps its connection and never answers. A call
/// that is given up is reset, which tells the agent.
///
/// Boxed: what waits for an answer once should not be as large as that all its life.
fn within<'a, T: 'a>(
    attempted: &'a str,
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>> + Send + 'a,
) -> BoxFuture<'a, Result<T, Failure>> {
    Box::pin(async move {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Failure::answered(attempted, &lost(status))),
            Err(_) => {
                let reason = format!("the agent did not answer within {} s", limit.as_secs());
                Err(Failure::new(Outcome::Unconfirmed, attempted, reason))
            }
        }
    })
}

/// A broken connection in the words of its library says nothing to people.
pub(crate) fn lost(status: tonic::Status) -> tonic::Status {
    if std::error::Error::source(&status).is_some() {
        tonic::Status::unavailable("the connection to the agent is lost")
    } else {
        status
    }
}

fn each<W, T>(attempted: &str, messages: Vec<W>) -> Result<Vec<T>, Failure>
where
    T: TryFrom<W, Error = Invalid>,
{
    let read: Result<Vec<T>, Invalid> = messages.into_iter().map(TryInto::try_into).collect();
    read.map_err(|invalid| misread(attempted, &invalid))
}

fn misread(attempted: &str, invalid: &Invalid) -> Failure {
    let reason = format!("the agent's answer makes no sense: {invalid}");
    Failure::new(Outcome::Unconfirmed, attempted, reason)
        .hint("the agent may be of another version than this command")
}

impl TryFrom<wire::PreparedFault> for Prepared {
    type Error = Invalid;

    fn try_from(message: wire::PreparedFault) -> Result<Self, Invalid> {
        Ok(Self {
            id: required(message.id, "id")?.try_into()?,
            steps: message.steps,
            target: message.target.map(TryInto::try_into).transpose()?,
            peers: message.peers.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            notes: message.notes,
        })
    }
}

impl From<Prepared> for wire::PreparedFault {
    fn from(prepared: Prepared) -> Self {
        Self {
            id: Some(prepared.id.into()),
            steps: prepared.steps,
            target: prepared.target.map(Into::into),
            peers: prepared.peers.iter().map(Into::into).collect(),
            notes: prepared.notes,
        }
    }
}

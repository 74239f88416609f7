//! A controller, spoken to from a command line.

use std::time::Duration;

use fault::{Aspect, IntentId, Selector};
use link::Material;
use prost::Message as _;
use proto::control as wire;
use proto::control::control_client::ControlClient;
use proto::control::error_detail::Kind;
use tokio::net::{TcpStream, UnixStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::failure::{Cause, Failure};
use crate::link::{Direct, Rehearsal};
use crate::log::Wanted;
use crate::settings::Controller;

/// How long a question may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long putting in or taking out may take over all nodes.
const WORK: Duration = Duration::from_secs(90);
/// The largest answer (64 MiB).
const LARGEST_ANSWER: usize = 64 << 20;

/// What is attempted where a log is read.
pub(crate) const LOG: &str = "cannot read the log";

/// A connection to a controller.
#[derive(Clone)]
pub(crate) struct Client(ControlClient<Direct>);

impl Client {
    /// Connects.
    pub(crate) async fn open(place: &Controller) -> Result<Self, Failure> {
        let attempted = format!("cannot reach the controller at {}", name(place));
        let unreachable =
            |reason: String| Failure::caused(Cause::Unreachable, attempted.clone(), reason);
        let channel = match place {
            Controller::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| {
                    unreachable(error.to_string()).hint(
                        "--controller says where one listens, and `schism serve` starts one; of several in a \
                         cluster the one that leads has a socket, and the Lease schism-controller says which \
                         that is",
                    )
                })?;
                Direct::over(stream).await
            }
            Controller::Tcp { address, name, files } => {
                let usage =
                    |reason: String| Failure::caused(Cause::WrongUsage, attempted.clone(), reason);
                let connector = Material::load(files)
                    .and_then(|material| material.connector())
                    .map_err(|error| usage(error.to_string()))?;
                let stream = connector.dial(address, name).await;
                Direct::across(stream.map_err(|error| unreachable(error.to_string()))?).await
            }
        };
        let channel = channel.map_err(|error| unreachable(error.to_string()))?;
        let client = ControlClient::with_origin(channel, Direct::origin());
        Ok(Self(client.max_decoding_message_size(LARGEST_ANSWER)))
    }

    pub(crate) async fn describe(&mut self) -> Result<wire::Description, Failure> {
        let call = self.0.describe(wire::DescribeRequest {});
        within("cannot ask the controller what it is", ANSWER, call).await
    }

    pub(crate) async fn agents(&mut self) -> Result<wire::AgentsReply, Failure> {
        let call = self.0.agents(wire::AgentsRequest {});
        within("cannot list the agents", ANSWER, call).await
    }

    pub(crate) async fn resolve(
        &mut self,
        selector: &Selector,
        aspect: Aspect,
        seed: u64,
    ) -> Result<Vec<wire::End>, Failure> {
        let attempted = format!("cannot resolve {selector}");
        let aspect = proto::agent::Aspect::from(aspect).into();
        let selector = Some(selector.into());
        let call = self.0.resolve(wire::ResolveRequest { selector, seed, aspect });
        Ok(within(&attempted, ANSWER, call).await?.ends)
    }

    pub(crate) async fn targets(&mut self) -> Result<Vec<wire::NodeTargets>, Failure> {
        let call = self.0.targets(wire::TargetsRequest {});
        Ok(within("cannot list the targets", ANSWER, call).await?.nodes)
    }

    /// What would become of a request; with a rehearsal by the word of every agent that has a part in it.
    pub(crate) async fn plan(
        &mut self,
        attempted: &str,
        id: u64,
        spec: wire::Spec,
        rehearsal: Rehearsal,
    ) -> Result<wire::PlanReply, Failure> {
        let rehearse = rehearsal == Rehearsal::Yes;
        let call = self.0.plan(wire::ApplyRequest { id, spec: Some(spec), rehearse });
        within(attempted, WORK, call).await
    }

    pub(crate) async fn apply(
        &mut self,
        attempted: &str,
        id: u64,
        spec: wire::Spec,
    ) -> Result<wire::Intent, Failure> {
        let call = self.0.apply(wire::ApplyRequest { id, spec: Some(spec), rehearse: false });
        let reply = within(attempted, WORK, call).await?;
        reply.intent.ok_or_else(|| Failure::caused(Cause::Other, attempted, "an empty answer"))
    }

    pub(crate) async fn heal(
        &mut self,
        ids: Vec<u64>,
        all: bool,
    ) -> Result<Vec<wire::Intent>, Failure> {
        Ok(self.end(ids, all).await?.intents)
    }

    /// The same, with what the API server of a cluster was asked for.
    pub(crate) async fn end(
        &mut self,
        ids: Vec<u64>,
        all: bool,
    ) -> Result<wire::HealReply, Failure> {
        let call = self.0.heal(wire::HealRequest { ids, all });
        within("cannot confirm the heal", WORK, call).await
    }

    /// Has the API server of a cluster do something, or says what would be done.
    pub(crate) async fn disrupt(
        &mut self,
        attempted: &str,
        id: u64,
        spec: wire::DisruptionSpec,
        rehearsal: Rehearsal,
    ) -> Result<Streaming<wire::Disruption>, Failure> {
        let rehearse = rehearsal == Rehearsal::Yes;
        let call = self.0.disrupt(wire::DisruptRequest { id, spec: Some(spec), rehearse });
        within(attempted, WORK, call).await
    }

    pub(crate) async fn list(&mut self) -> Result<Vec<wire::Intent>, Failure> {
        Ok(self.all().await?.intents)
    }

    /// Intents and runs.
    pub(crate) async fn all(&mut self) -> Result<wire::ListReply, Failure> {
        let call = self.0.list(wire::ListRequest {});
        within("cannot list the faults", ANSWER, call).await
    }

    pub(crate) async fn run(
        &mut self,
        requests: ReceiverStream<wire::RunRequest>,
    ) -> Result<Streaming<wire::RunReply>, Failure> {
        let call = self.0.run(requests);
        within("cannot have the experiment run", ANSWER, call).await
    }

    pub(crate) async fn describe_run(&mut self, id: u64) -> Result<wire::RunDescription, Failure> {
        let call = self.0.describe_run(wire::DescribeRunRequest { id });
        within("cannot look at the run", ANSWER, call).await
    }

    pub(crate) async fn end_runs(
        &mut self,
        ids: Vec<u64>,
        all: bool,
    ) -> Result<Vec<wire::Run>, Failure> {
        let call = self.0.end_runs(wire::EndRunsRequest { ids, all });
        Ok(within("cannot end the runs", ANSWER, call).await?.runs)
    }

    pub(crate) async fn watch(&mut self) -> Result<Streaming<wire::Event>, Failure> {
        let call = self.0.watch(wire::WatchRequest { since: 0 });
        within("cannot watch the faults", ANSWER, call).await
    }

    /// What targets write, since what was known of them, or where that ends.
    pub(crate) async fn read_log(
        &mut self,
        selectors: &[Selector],
        since: Vec<wire::TargetLog>,
        (wanted, seed): (Wanted, u64),
    ) -> Result<Streaming<wire::LogPiece>, Failure> {
        let selectors = selectors.iter().map(Into::into).collect();
        let ends_only = wanted == Wanted::Ends;
        let call = self.0.read_log(wire::ReadLogRequest { selectors, since, ends_only, seed });
        within(LOG, WORK, call).await
    }

    /// Packets of a target as they pass.
    pub(crate) async fn capture(
        &mut self,
        attempted: &str,
        request: wire::CaptureRequest,
    ) -> Result<Streaming<wire::CapturePiece>, Failure> {
        within(attempted, WORK, self.0.capture(request)).await
    }

    /// The same for a secret, over a stream that somebody else has made.
    pub(crate) async fn redeem(
        stream: TcpStream,
        attempted: &str,
        secret: Vec<u8>,
    ) -> Result<Streaming<wire::CapturePiece>, Failure> {
        let lost = |error: std::io::Error| Failure::caused(Cause::Unreachable, attempted, error);
        let channel = Direct::over(stream).await.map_err(lost)?;
        let client = ControlClient::with_origin(channel, Direct::origin());
        let mut client = client.max_decoding_message_size(LARGEST_ANSWER);
        let request = wire::RedeemRequest { secret: secret.into() };
        within(attempted, WORK, client.redeem(request)).await
    }

    pub(crate) async fn halt(&mut self, reason: &str) -> Result<wire::HaltReply, Failure> {
        let call = self.0.halt(wire::HaltRequest { reason: reason.to_owned() });
        within("cannot put the brake on", WORK, call).await
    }

    pub(crate) async fn resume(&mut self) -> Result<wire::ResumeReply, Failure> {
        let call = self.0.resume(wire::ResumeRequest {});
        within("cannot take the brake off", ANSWER, call).await
    }
}

/// A controller as people name it.
pub(crate) fn name(place: &Controller) -> String {
    match place {
        Controller::Unix(path) => format!("unix:{}", path.display()),
        Controller::Tcp { address, .. } => format!("tcp:{address}"),
    }
}

async fn within<T>(
    attempted: &str,
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failure(attempted, &status)),
        Err(_) => {
            let reason = format!("the controller did not answer within {} s", limit.as_secs());
            Err(Failure::caused(Cause::Unreachable, attempted, reason))
        }
    }
}

/// Why a call ended, for people.
pub(crate) fn reason(status: &Status) -> String {
    match is_lost(status) {
        true => "the connection to the controller is lost".to_owned(),
        false => status.message().to_owned(),
    }
}

/// Whether the connection says this, and not the controller.
fn is_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// What a controller answered instead of doing something.
pub(crate) fn failure(attempted: &str, status: &Status) -> Failure {
    let detail = wire::ErrorDetail::decode(status.details()).unwrap_or_default();
    let cause = match &detail.kind {
        // A run that owes nothing, or goes on, as of a journal that says so.
        Some(Kind::InvalidField(_) | Kind::Ambiguous(_) | Kind::Gap(_) | Kind::NotOwed(_)) => {
            Cause::WrongUsage
        }
        Some(
            Kind::Guarded(_)
            | Kind::Halted(_)
            | Kind::AgentRefused(_)
            | Kind::Forbidden(_)
            | Kind::Busy(_)
            | Kind::PodUnusable(_),
        ) => Cause::Refused,
        Some(Kind::Nothing(_) | Kind::Unknown(_)) => Cause::NotFound,
        Some(Kind::Unreachable(_) | Kind::StoreFailed(_) | Kind::Unclear(_)) => Cause::Unreachable,
        None if status.code() == Code::Unavailable || is_lost(status) => Cause::Unreachable,
        None if status.code() == Code::Unimplemented => Cause::Unsupported,
        None => Cause::Other,
    };
    let reason = reason(status);
    let mut failure = Failure::caused(cause, attempted, reason);
    if let Some(Kind::Guarded(guarded)) = &detail.kind {
        failure.replaceable =
            Some(guarded.replaceable).filter(|id| *id != 0).map(IntentId::from_random);
    }
    if detail.hint.is_empty() { failure } else { failure.hint(detail.hint) }
}

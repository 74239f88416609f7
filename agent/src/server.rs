//! gRPC to the domain and back; no decisions.

mod about;
mod capturing;
mod reading;
mod refusal;
mod session;

use std::pin::Pin;

use fault::{Aspect, Fault, FaultId, Holder, Scheme, Selector, TargetIdentity};
use proto::agent as wire;
use proto::{Invalid, address, required};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::brake::LONGEST_REASON;
use crate::doctor;
use crate::kernel::{Listing, Place, ProbeOrder};
use crate::residue::{self, Removal};
use crate::worker::{Agent, Earnest};
pub use about::{About, Instance};
pub use capturing::Captures;
use refusal::{invalid, refuse, refuse_kernel, refuse_look};

/// `schism.agent.v1` over one worker.
pub struct Service {
    agent: Agent,
    about: About,
    way: Way,
    readers: reading::Readers,
    capturers: capturing::Capturers,
}

/// How a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Over the node's own socket: from whoever has the right to open it.
    Socket,
    /// Over the network: from a controller, which says which one it is with whatever it puts in or renews.
    Uplink,
}

/// The most faults in one request.
const MOST_FAULTS: usize = 1_024;
/// The most addresses in one question: a hundred groups of ten members.
const MOST_ADDRESSES: usize = 1_024;
/// The most probes in one request.
const MOST_PROBES: u32 = 1_000;
/// The longest probing of one request (ns): 60 s.
const LONGEST_PROBING: u64 = 60_000_000_000;

impl Service {
    /// Serves a worker on the node's own socket.
    #[must_use]
    pub fn new(agent: Agent, about: About) -> Self {
        Self::by(Way::Socket, agent, about)
    }

    /// Serves a worker to controllers: nothing is put in or renewed there without a holder.
    #[must_use]
    pub fn for_controllers(agent: Agent, about: About) -> Self {
        Self::by(Way::Uplink, agent, about)
    }

    fn by(way: Way, agent: Agent, about: About) -> Self {
        let capturers = capturing::Capturers::new(Captures::Refused);
        Self { agent, about, way, readers: reading::Readers::default(), capturers }
    }

    /// The same, which hands packets over or does not.
    #[must_use]
    pub fn with_captures(self, captures: Captures) -> Self {
        Self { capturers: capturing::Capturers::new(captures), ..self }
    }

    /// Runs what waits for the kernel where waiting is allowed.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let broken_off = || Err(Status::internal("the work for this request was broken off"));
        self.agent.hands().work(work).await.unwrap_or_else(broken_off)
    }

    /// Who else would be touched by faults on these targets.
    async fn touched(
        &self,
        selectors: Vec<(Selector, Aspect)>,
    ) -> Result<Vec<Option<wire::Target>>, Status> {
        let kernel = self.agent.kernel().clone();
        self.work(move || {
            let touched = |(selector, aspect): (Selector, Aspect)| {
                let found = kernel.resolve(&selector, aspect);
                let found = found.map_err(|e| refuse_kernel(e, &selector))?;
                Ok(found.into_iter().next().map(Into::into))
            };
            selectors.into_iter().map(touched).collect()
        })
        .await
    }
}

fn ids(ids: Vec<wire::FaultId>) -> Result<Vec<FaultId>, Status> {
    if ids.len() > MOST_FAULTS {
        return Err(invalid(&Invalid::new("ids", format!("has more than {MOST_FAULTS} faults"))));
    }
    ids.into_iter().map(TryInto::try_into).collect::<Result<_, Invalid>>().map_err(|e| invalid(&e))
}

fn asker(holder: Option<wire::Holder>) -> Result<Option<Holder>, Status> {
    let holder = holder.map(TryInto::try_into).transpose();
    holder.map_err(|error: Invalid| invalid(&error.within("holder")))
}

/// Who wants something of faults to change.
fn claimant(way: Way, holder: Option<wire::Holder>) -> Result<Option<Holder>, Status> {
    match (way, asker(holder)?) {
        (Way::Uplink, None) => Err(invalid(&Invalid::new("holder", "is missing"))),
        (Way::Uplink | Way::Socket, asker) => Ok(asker),
    }
}

fn place(
    selector: Option<wire::Selector>,
    identity: Option<wire::TargetIdentity>,
) -> Result<Place, Invalid> {
    let selector: Selector = required(selector, "selector")?.try_into()?;
    let identity: TargetIdentity = required(identity, "identity")?.try_into()?;
    if matches!(selector.scheme, Scheme::Etcd(_) | Scheme::Zeebe(_) | Scheme::Kubernetes(_)) {
        return Err(Invalid::new("selector", "names a role, which a controller resolves"));
    }
    Ok(Place { selector, identity })
}

/// Refuses what is well said but cannot be meant.
fn acceptable(fault: Fault) -> Result<Fault, Invalid> {
    let followed = fault.peers.followed.as_ref();
    let sides = [
        ("selector", "target.process", Some((&fault.selector, &fault.target))),
        (
            "peer_target.selector",
            "peer_target.identity.process",
            followed.map(|peer| (&peer.selector, &peer.identity)),
        ),
    ];
    for (selector, process, side) in sides {
        match side.map(|(selector, identity)| (&selector.scheme, identity.process)) {
            Some((Scheme::Addr(_), _)) => {
                return Err(Invalid::new(selector, "names addresses, which are no target"));
            }
            Some((Scheme::Etcd(_) | Scheme::Zeebe(_) | Scheme::Kubernetes(_), _)) => {
                return Err(Invalid::new(selector, "names a role, which a controller resolves"));
            }
            Some((Scheme::Host(_), _)) if fault.kind.aspect() == Aspect::Processes => {
                return Err(Invalid::new(selector, "names the node, whose clock is never moved"));
            }
            // Without it a re-used pid would be hit.
            Some((Scheme::Pid(pid), found)) if found.is_none_or(|found| found.pid != *pid) => {
                return Err(Invalid::new(process, "is not the process that the selector names"));
            }
            Some(_) | None => {}
        }
    }
    Ok(fault)
}

fn statuses(found: Vec<fault::Status>) -> Vec<wire::Status> {
    found.into_iter().map(Into::into).collect()
}

#[tonic::async_trait]
impl wire::agent_server::Agent for Service {
    async fn describe(
        &self,
        _: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::Description>, Status> {
        let kernel = self.agent.kernel().clone();
        let capabilities = self.work(move || Ok(kernel.capabilities())).await?;
        let brake = self.agent.standing().await.map_err(|e| refuse(&e))?;
        Ok(Response::new(wire::Description {
            node: self.about.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.about.boot.get().to_be_bytes().to_vec().into(),
            kernel: doctor::kernel_release(),
            now: self.agent.kernel().now().nanos(),
            pid: std::process::id(),
            embedded: self.about.embedded,
            capabilities: capabilities.into_iter().map(Into::into).collect(),
            halted: brake.reason(),
            instance: self.about.instance.get(),
            found_at_start: self.about.found_at_start.iter().cloned().map(Into::into).collect(),
        }))
    }

    async fn resolve(
        &self,
        request: Request<wire::ResolveRequest>,
    ) -> Result<Response<wire::ResolveReply>, Status> {
        let request = request.into_inner();
        let aspect = wire::Aspect::try_from(request.aspect)
            .map_err(|_| invalid(&Invalid::new("aspect", "is unknown")))?;
        let selector: Selector = required(request.selector, "selector")
            .and_then(TryInto::try_into)
            .map_err(|error| invalid(&error))?;
        let kernel = self.agent.kernel().clone();
        let found = self.work(move || {
            let found = kernel.resolve(&selector, aspect.into());
            found.map_err(|error| refuse_kernel(error, &selector))
        });
        let targets = found.await?.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ResolveReply { targets }))
    }

    async fn owners(
        &self,
        request: Request<wire::OwnersRequest>,
    ) -> Result<Response<wire::OwnersReply>, Status> {
        let addresses = request.into_inner().addresses;
        if addresses.is_empty() || addresses.len() > MOST_ADDRESSES {
            let reason = format!("has not from 1 to {MOST_ADDRESSES} addresses");
            return Err(invalid(&Invalid::new("addresses", reason)));
        }
        let addresses = addresses.iter().map(|bytes| address(bytes, "addresses"));
        let addresses = addresses.collect::<Result<Vec<_>, _>>().map_err(|e| invalid(&e))?;
        let kernel = self.agent.kernel().clone();
        let owners = move || kernel.owners(&addresses).map_err(|e| refuse_look(&e));
        let targets = self.work(owners).await?.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::OwnersReply { targets }))
    }

    async fn targets(
        &self,
        _: Request<wire::TargetsRequest>,
    ) -> Result<Response<wire::TargetsReply>, Status> {
        let kernel = self.agent.kernel().clone();
        let Listing { targets, left_off, unseen } = self.work(move || Ok(kernel.listing())).await?;
        Ok(Response::new(wire::TargetsReply {
            targets: targets.into_iter().map(Into::into).collect(),
            left_off: u32::try_from(left_off).unwrap_or(u32::MAX),
            unseen,
        }))
    }

    async fn prepare(
        &self,
        request: Request<wire::PrepareRequest>,
    ) -> Result<Response<wire::Prepared>, Status> {
        let request = request.into_inner();
        if request.faults.is_empty() || request.faults.len() > MOST_FAULTS {
            let reason = format!("has not from 1 to {MOST_FAULTS} faults");
            return Err(invalid(&Invalid::new("faults", reason)));
        }
        let mut faults = Vec::with_capacity(request.faults.len());
        for (index, fault) in request.faults.into_iter().enumerate() {
            let fault = Fault::try_from(fault)
                .and_then(acceptable)
                .map_err(|error| invalid(&error.within(&format!("faults[{index}]"))))?;
            faults.push(fault);
        }
        let earnest = if request.dry_run { Earnest::DryRun } else { Earnest::Real };
        let asker = match earnest {
            Earnest::Real => claimant(self.way, request.holder)?,
            Earnest::DryRun => asker(request.holder)?,
        };
        let named = |fault: &Fault| (fault.selector.clone(), fault.kind.aspect());
        let selectors: Vec<(Selector, Aspect)> = match earnest {
            Earnest::Real => Vec::new(),
            Earnest::DryRun => faults.iter().map(named).collect(),
        };
        let prepared = self.agent.prepare(faults, earnest, asker).await;
        let prepared = prepared.map_err(|e| refuse(&e))?;
        let mut touched = self.touched(selectors).await?.into_iter();
        let faults = prepared.into_iter().map(|prepared| wire::PreparedFault {
            id: Some(prepared.id.into()),
            steps: prepared.steps,
            target: touched.next().flatten(),
            peers: prepared.peers.iter().map(Into::into).collect(),
            notes: prepared.notes,
        });
        Ok(Response::new(wire::Prepared { faults: faults.collect() }))
    }

    async fn commit(
        &self,
        request: Request<wire::CommitRequest>,
    ) -> Result<Response<wire::CommitReply>, Status> {
        let request = request.into_inner();
        let ids = ids(request.ids)?;
        let start = (request.start != 0).then(|| fault::BootTime::from_nanos(request.start));
        let asker = claimant(self.way, request.holder)?;
        let faults = self.agent.commit(ids, start, asker).await.map_err(|e| refuse(&e))?;
        Ok(Response::new(wire::CommitReply { faults: statuses(faults) }))
    }

    async fn heal(
        &self,
        request: Request<wire::HealRequest>,
    ) -> Result<Response<wire::HealReply>, Status> {
        let request = request.into_inner();
        let mut ids = ids(request.ids)?;
        if request.all {
            let living = self.agent.list().await.map_err(|e| refuse(&e))?;
            let living = living.into_iter().filter(|status| !status.state.is_final());
            ids = living.map(|status| status.fault.id).collect();
        } else if ids.is_empty() {
            return Err(invalid(&Invalid::new("ids", "is missing")));
        }
        let faults = self.agent.heal(ids).await.map_err(|e| refuse(&e))?;
        Ok(Response::new(wire::HealReply { faults: statuses(faults) }))
    }

    async fn list(
        &self,
        _: Request<wire::ListRequest>,
    ) -> Result<Response<wire::ListReply>, Status> {
        let faults = self.agent.list().await.map_err(|e| refuse(&e))?;
        let now = self.agent.kernel().now().nanos();
        Ok(Response::new(wire::ListReply { faults: statuses(faults), now }))
    }

    type SessionStream = Pin<Box<dyn Stream<Item = Result<wire::Event, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::Heartbeat>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Ok(Response::new(session::open(self.agent.clone(), self.way, request.into_inner())))
    }

    async fn probe(
        &self,
        request: Request<wire::ProbeRequest>,
    ) -> Result<Response<wire::ProbeReply>, Status> {
        let request = request.into_inner();
        let order = order(request).map_err(|error| invalid(&error))?;
        let kernel = self.agent.kernel().clone();
        let result = self.work(move || {
            kernel.probe(&order).map_err(|error| refuse_kernel(error, &order.to.selector))
        });
        let (sent, delivered, not_proven) = match result.await {
            Ok(result) => (result.sent, result.delivered, String::new()),
            Err(status) => (0, 0, status.message().to_owned()),
        };
        Ok(Response::new(wire::ProbeReply { sent, delivered, not_proven }))
    }

    type ReadLogStream = reading::Pieces;

    async fn read_log(
        &self,
        request: Request<wire::ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        reading::begin(&self.agent, &self.readers, request.into_inner()).await.map(Response::new)
    }

    type CaptureStream = capturing::Pieces;

    async fn capture(
        &self,
        request: Request<wire::CaptureRequest>,
    ) -> Result<Response<Self::CaptureStream>, Status> {
        capturing::begin(&self.agent, &self.capturers, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn halt(
        &self,
        request: Request<wire::HaltRequest>,
    ) -> Result<Response<wire::HaltReply>, Status> {
        let reason = request.into_inner().reason;
        if reason.len() > LONGEST_REASON {
            let too_long = format!("has more than {LONGEST_REASON} bytes");
            return Err(invalid(&Invalid::new("reason", too_long)));
        }
        let healed = self.agent.halt(reason).await.map_err(|e| refuse(&e))?;
        Ok(Response::new(wire::HaltReply { faults: statuses(healed) }))
    }

    async fn resume(
        &self,
        _: Request<wire::ResumeRequest>,
    ) -> Result<Response<wire::ResumeReply>, Status> {
        self.agent.resume().await.map_err(|e| refuse(&e))?;
        Ok(Response::new(wire::ResumeReply {}))
    }

    async fn residue(
        &self,
        request: Request<wire::ResidueRequest>,
    ) -> Result<Response<wire::ResidueReply>, Status> {
        let removal = if request.into_inner().remove { Removal::Remove } else { Removal::Keep };
        let socket = self.about.socket.clone();
        let found = self.work(move || {
            residue::search(removal, &socket)
                .map_err(|error| Status::failed_precondition(error.to_string()))
        });
        let remnants = found.await?.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ResidueReply { remnants }))
    }
}

fn order(request: wire::ProbeRequest) -> Result<ProbeOrder, Invalid> {
    let protocol = wire::Protocol::try_from(request.protocol)
        .map_err(|_| Invalid::new("protocol", "is unknown"))?;
    let protocol: Option<fault::Protocol> = protocol.into();
    let each = request.interval_ns.max(request.timeout_ns);
    let fits = request.count <= MOST_PROBES
        && each.saturating_mul(request.count.into()) <= LONGEST_PROBING;
    if request.count == 0 || !fits {
        let reason = format!("is not from 1 to {MOST_PROBES}, or takes more than 60 s");
        return Err(Invalid::new("count", reason));
    }
    let port = u16::try_from(request.port).map_err(|_| Invalid::new("port", "is above 65535"))?;
    Ok(ProbeOrder {
        from: place(request.from_selector, request.from).map_err(|e| e.within("from"))?,
        to: place(request.to_selector, request.to).map_err(|e| e.within("to"))?,
        protocol: required(protocol, "protocol")?,
        port: (port != 0).then_some(port),
        count: request.count,
        interval: std::time::Duration::from_nanos(request.interval_ns),
        timeout: std::time::Duration::from_nanos(request.timeout_ns),
    })
}

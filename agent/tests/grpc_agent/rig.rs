//! A served agent with a fake kernel, and a client of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use agent::brake::Brake;
use agent::fake::{FakeKernel, Loaded};
use agent::kernel::{Kernel, Slot};
use agent::server::{About, Captures, Instance, Service};
use agent::worker::{Agent, Transition};
use fault::{
    Aspect, BootTime, Chance, Cut, Fault, FaultId, FlowAge, IntentId, Kind, LeaseTerms, Mode,
    NamespaceCookie, NodeName, PeerTarget, Peers, Selector, Side, State, Status, Target, Verdict,
};
use hyper_util::rt::TokioIo;
use prost::Message;
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use proto::agent::agent_server::AgentServer;
use proto::agent::error_detail::Kind as Detail;
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tonic::transport::{Channel, Endpoint, Server};

/// Nothing here takes long; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(20);
/// What a daemon takes in one message.
const LARGEST_REQUEST: usize = 1 << 20;

pub(crate) struct Rig {
    pub(crate) kernel: FakeKernel,
    pub(crate) agent: Agent,
    pub(crate) client: AgentClient<Channel>,
    pub(crate) channel: Channel,
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}

pub(crate) fn detail(status: &tonic::Status) -> Detail {
    wire::ErrorDetail::decode(status.details()).unwrap().kind.unwrap()
}

pub(crate) fn id(part: u16) -> FaultId {
    FaultId { intent: IntentId::from_random(0x5eed), part }
}

pub(crate) fn ids(parts: &[u16]) -> Vec<wire::FaultId> {
    parts.iter().map(|part| id(*part).into()).collect()
}

pub(crate) fn packet_cut() -> Cut {
    Cut {
        mode: Mode::Packet,
        protocol: None,
        port: None,
        flows: FlowAge::All,
        loss: Chance::CERTAIN,
        seed: 7,
        verdict: Verdict::Drop,
        side: Side::Ingress,
    }
}

/// What the agent of these tests says of itself.
pub(crate) fn about() -> About {
    FakeKernel::about(NodeName::new("fake").unwrap(), Instance::new(7))
}

impl Rig {
    /// Namespaces a, b and c of a node whose time stands still.
    pub(crate) async fn frozen() -> Self {
        Self::braked(FakeKernel::frozen(NodeName::new("fake").unwrap()), Brake::in_memory()).await
    }

    /// The same, with this machine's time.
    pub(crate) async fn running() -> Self {
        Self::braked(FakeKernel::running(NodeName::new("fake").unwrap()), Brake::in_memory()).await
    }

    /// The same, which hands packets over.
    pub(crate) async fn capturing() -> Self {
        let kernel = FakeKernel::running(NodeName::new("fake").unwrap());
        Self::serving(kernel, Brake::in_memory(), Captures::Allowed).await
    }

    /// The same over a kernel and a brake that may outlive it.
    pub(crate) async fn braked(kernel: FakeKernel, brake: Brake) -> Self {
        Self::serving(kernel, brake, Captures::Refused).await
    }

    async fn serving(kernel: FakeKernel, brake: Brake, captures: Captures) -> Self {
        kernel.node(|node| {
            for (name, last) in [("a", 1), ("b", 2), ("c", 3)] {
                let own = [format!("10.0.0.{last}"), format!("fd00::{last}")];
                node.add_namespace(name, &own.map(|own| address(&own)));
            }
        });
        let agent = Agent::start(Arc::new(kernel.clone()), brake);
        let service = Service::new(agent.clone(), about()).with_captures(captures);
        let service = AgentServer::new(service).max_decoding_message_size(LARGEST_REQUEST);
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let incoming = tokio_stream::once(Ok::<_, std::io::Error>(theirs));
        let incoming = incoming.chain(tokio_stream::pending());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        let mut ours = Some(ours);
        let connector = tower::service_fn(move |_| {
            let ours = ours.take().ok_or_else(|| std::io::Error::other("one connection only"));
            async move { ours.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://agent");
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        let client = AgentClient::new(channel.clone());
        Self { kernel, agent, client, channel }
    }

    pub(crate) fn target(&self, selector: &str) -> Target {
        let selector: Selector = selector.parse().unwrap();
        self.kernel.resolve(&selector, Aspect::Network).unwrap().pop().unwrap()
    }

    pub(crate) fn cookie(&self, name: &str) -> NamespaceCookie {
        self.kernel.node(|node| node.named(name)).unwrap()
    }

    /// What `from` sends to `to` is lost at `to`.
    pub(crate) fn cut(&self, part: u16, from: &str, to: &str) -> Fault {
        let (from, to) = (self.target(from), self.target(to));
        let (lease, total) = (Duration::from_secs(15), Duration::from_secs(60));
        Fault {
            id: id(part),
            selector: to.selector,
            target: to.identity,
            kind: Kind::Cut(packet_cut()),
            peers: Peers {
                fixed: Vec::new(),
                followed: Some(PeerTarget { selector: from.selector, identity: from.identity }),
            },
            terms: LeaseTerms::new(lease, total).unwrap(),
            control_path: Vec::new(),
        }
    }

    pub(crate) async fn prepare(&self, faults: &[Fault]) -> Result<wire::Prepared, tonic::Status> {
        let faults = faults.iter().map(Into::into).collect();
        let request = wire::PrepareRequest { faults, dry_run: false, holder: None };
        Ok(soon(self.client.clone().prepare(request)).await?.into_inner())
    }

    pub(crate) async fn commit(&self, parts: &[u16]) -> Result<Vec<Status>, tonic::Status> {
        let request = wire::CommitRequest { ids: ids(parts), start: 0, holder: None };
        let reply = soon(self.client.clone().commit(request)).await?.into_inner();
        Ok(statuses(reply.faults))
    }

    pub(crate) async fn heal(&self, parts: &[u16]) -> Result<Vec<Status>, tonic::Status> {
        let request = wire::HealRequest { ids: ids(parts), all: false };
        let reply = soon(self.client.clone().heal(request)).await?.into_inner();
        Ok(statuses(reply.faults))
    }

    pub(crate) async fn list(&self) -> Vec<Status> {
        let reply = soon(self.client.clone().list(wire::ListRequest {})).await.unwrap();
        statuses(reply.into_inner().faults)
    }

    pub(crate) async fn state(&self, part: u16) -> Option<State> {
        self.list().await.into_iter().find(|s| s.fault.id == id(part)).map(|s| s.state)
    }

    /// Prepares and commits.
    pub(crate) async fn begin(&self, fault: &Fault) -> Status {
        self.prepare(std::slice::from_ref(fault)).await.unwrap();
        self.commit(&[fault.id.part]).await.unwrap().pop().unwrap()
    }

    pub(crate) fn loaded(&self, name: &str) -> Option<Loaded> {
        self.kernel.loaded(self.cookie(name))
    }

    pub(crate) fn lease(&self, name: &str, slot: usize) -> Option<(BootTime, BootTime)> {
        self.kernel.lease(self.cookie(name), self::slot(slot))
    }

    /// Whether nothing of ours is in the kernel.
    pub(crate) fn is_clean(&self) -> bool {
        self.kernel.snapshot().is_empty()
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch(self.agent.transitions())
    }

    /// Starts a request that may take long.
    pub(crate) fn preparing(
        &self,
        fault: &Fault,
    ) -> tokio::task::JoinHandle<Result<wire::Prepared, tonic::Status>> {
        let mut client = self.client.clone();
        let request =
            wire::PrepareRequest { faults: vec![fault.into()], dry_run: false, holder: None };
        tokio::spawn(async move { Ok(soon(client.prepare(request)).await?.into_inner()) })
    }

    /// Starts to heal; the answer may take long.
    pub(crate) fn healing(
        &self,
        part: u16,
    ) -> tokio::task::JoinHandle<Result<Vec<Status>, tonic::Status>> {
        let mut client = self.client.clone();
        let request = wire::HealRequest { ids: ids(&[part]), all: false };
        tokio::spawn(
            async move { Ok(statuses(soon(client.heal(request)).await?.into_inner().faults)) },
        )
    }
}

pub(crate) fn slot(number: usize) -> Slot {
    Slot::all().nth(number).unwrap()
}

pub(crate) fn statuses(found: Vec<wire::Status>) -> Vec<Status> {
    found.into_iter().map(|status| status.try_into().unwrap()).collect()
}

/// What changes from when it was made.
pub(crate) struct Watch(broadcast::Receiver<Transition>);

impl Watch {
    pub(crate) async fn until(&mut self, part: u16, fits: impl Fn(&Status) -> bool) -> Status {
        soon(async {
            loop {
                if let Transition::Changed(status) = self.0.recv().await.unwrap()
                    && status.fault.id == id(part)
                    && fits(&status)
                {
                    return *status;
                }
            }
        })
        .await
    }

    pub(crate) async fn state(&mut self, part: u16, state: State) -> Status {
        self.until(part, |status| status.state == state).await
    }
}

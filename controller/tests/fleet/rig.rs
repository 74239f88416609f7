//! Agents with fake kernels that dial a controller, and what is asked of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::brake::Brake;
use agent::fake::FakeKernel;
use agent::server::{Instance, Service};
use agent::worker::Agent;
use controller::agents::{Agents, Way};
use controller::archive::{self, Archive};
use controller::control::{AskError, Clusters, Control, Means, Wall};
use controller::store::{Memory, Store, incarnate};
use fault::{IntentId, Limits, NodeName};
use proto::agent as agent_wire;
use proto::agent::agent_server::AgentServer;
use proto::control as wire;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::transport::Server;

/// Nothing here takes long; a test that waits this long has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A node: its kernel, and its agent.
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) kernel: FakeKernel,
    pub(crate) agent: Agent,
}

/// A controller with its store, and nodes that have dialled it.
pub(crate) struct Fleet {
    pub(crate) store: Arc<dyn Store>,
    clusters: Clusters,
    pub(crate) archive: Archive,
    pub(crate) control: Control,
    pub(crate) nodes: BTreeMap<&'static str, Node>,
    connections: BTreeMap<&'static str, JoinHandle<()>>,
    directory: TempDir,
}

impl Node {
    /// A node with one namespace that is called as the node, with one address.
    fn new(name: &'static str, last: u8) -> Self {
        let name = NodeName::new(name).unwrap();
        let kernel = FakeKernel::running(name.clone());
        let own: IpAddr = [10, 0, 0, last].into();
        kernel.node(|node| node.add_namespace(name.as_str(), &[own]));
        let agent = Agent::start(Arc::new(kernel.clone()), Brake::in_memory());
        Self { name, kernel, agent }
    }

    /// Forgets everything, as an agent that was killed and started again.
    pub(crate) fn restart(&mut self) {
        self.agent = Agent::start(Arc::new(self.kernel.clone()), Brake::in_memory());
    }

    /// How many faults act on it.
    pub(crate) async fn acting(&self) -> usize {
        let all = self.agent.list().await.unwrap();
        all.iter().filter(|status| status.state == fault::State::Active).count()
    }

    /// How many faults of any kind have not ended on it.
    pub(crate) async fn living(&self) -> usize {
        let all = self.agent.list().await.unwrap();
        all.iter().filter(|status| !status.state.is_final()).count()
    }
}

impl Fleet {
    /// Waits until every node has been found.
    pub(crate) async fn of(names: &[&'static str]) -> Self {
        Self::over(Arc::new(Memory::new()), names).await
    }

    /// With a store that may fail.
    pub(crate) async fn over(store: Arc<dyn Store>, names: &[&'static str]) -> Self {
        Self::on(store, Clusters::default(), names).await
    }

    /// With clusters that can be asked.
    pub(crate) async fn with(clusters: Clusters, names: &[&'static str]) -> Self {
        Self::on(Arc::new(Memory::new()), clusters, names).await
    }

    async fn on(store: Arc<dyn Store>, clusters: Clusters, names: &[&'static str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::open(directory.path(), archive::Limits::default()).await.unwrap();
        let control = control(&store, &clusters, &archive).await;
        let numbered = names.iter().zip(1..);
        let nodes = numbered.map(|(name, last)| (*name, Node::new(name, last))).collect();
        let mut fleet = Self {
            store,
            clusters,
            archive,
            control,
            nodes,
            connections: BTreeMap::new(),
            directory,
        };
        for name in names {
            fleet.connect(name).await;
        }
        fleet
    }

    /// Has a node dial, and waits until its clock is known.
    pub(crate) async fn connect(&mut self, name: &'static str) {
        let node = &self.nodes[name];
        let (ours, mut near) = tokio::io::duplex(1 << 16);
        let (mut far, theirs) = tokio::io::duplex(1 << 16);
        // The network between them, which can be taken away.
        let network =
            tokio::spawn(
                async move { drop(tokio::io::copy_bidirectional(&mut near, &mut far).await) },
            );
        tokio::spawn(serve(node.name.clone(), node.agent.clone(), theirs));
        let (agents, certified) = (self.control.agents().clone(), node.name.clone());
        tokio::spawn(async move {
            // It ends with the connection.
            let _ = agents.admit(ours, certified, Way::default()).await;
        });
        self.connections.insert(name, network);
        let agents = self.control.agents().clone();
        let known = self.nodes[name].name.clone();
        until(async move || agents.offset(&known).is_some()).await;
    }

    /// Asks for a cut in a task of its own: who asks can be taken away.
    pub(crate) fn asking(&self, id: u64, spec: wire::Spec) -> JoinHandle<()> {
        let control = self.control.clone();
        tokio::spawn(async move {
            let id = IntentId::from_random(id);
            // What becomes of it is looked at elsewhere.
            let _ = control.request(id, spec, "a test", &Limits::default()).await;
        })
    }

    /// Cuts a node's connection, without a word.
    pub(crate) async fn disconnect(&mut self, name: &'static str) {
        self.connections.remove(name).unwrap().abort();
        let agents = self.control.agents().clone();
        let node = self.nodes[name].name.clone();
        until(async move || agents.seen().iter().any(|seen| seen.node == node && !seen.connected))
            .await;
    }

    /// The controller dies and is started again over the same store; nobody has dialled the new one.
    pub(crate) async fn restart(&mut self) {
        for task in std::mem::take(&mut self.connections).into_values() {
            task.abort();
        }
        self.control = control(&self.store, &self.clusters, &self.archive).await;
    }

    /// The same with all tasks of the new one in a runtime: with that it can be killed.
    pub(crate) async fn restart_in(&mut self, runtime: &Runtime) {
        for task in std::mem::take(&mut self.connections).into_values() {
            task.abort();
        }
        let (store, archive) = (Arc::clone(&self.store), self.archive.clone());
        let clusters = self.clusters.clone();
        let started = runtime.spawn(async move { control(&store, &clusters, &archive).await });
        self.control = started.await.unwrap();
    }

    /// Where the archive is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Asks for a cut, and waits for what becomes of it.
    pub(crate) async fn cut(
        &self,
        id: u64,
        from: &str,
        to: &str,
    ) -> Result<wire::Intent, AskError> {
        self.ask(id, spec(from, to)).await
    }

    pub(crate) async fn ask(&self, id: u64, spec: wire::Spec) -> Result<wire::Intent, AskError> {
        let id = IntentId::from_random(id);
        soon(self.control.request(id, spec, "a test", &Limits::default())).await
    }

    pub(crate) async fn heal(&self, id: u64) -> wire::Intent {
        soon(self.control.heal(IntentId::from_random(id), "a test")).await.unwrap()
    }

    pub(crate) async fn intent(&self, id: u64) -> wire::Intent {
        let (all, _) = self.control.list().await.unwrap();
        all.into_iter().find(|intent| intent.id == id).unwrap()
    }

    /// Waits until an intent has come to a stage.
    pub(crate) async fn comes_to(&self, id: u64, stage: wire::Stage) -> wire::Intent {
        until(async || self.intent(id).await.stage() == stage).await;
        self.intent(id).await
    }
}

async fn control(store: &Arc<dyn Store>, clusters: &Clusters, archive: &Archive) -> Control {
    let store = Arc::clone(store);
    let incarnation = incarnate(store.as_ref()).await.unwrap();
    let (agents, notices) = Agents::new(incarnation.into());
    let ended = Some(archive.ended.clone());
    let (clusters, limits) = (clusters.clone(), Limits::default());
    let means = Means { store, ended, clusters, limits, wall: Wall::System };
    Control::start(means, agents, notices).await.unwrap()
}

/// What an agent does with a connection that it has dialled.
async fn serve(name: NodeName, agent: Agent, mut stream: tokio::io::DuplexStream) {
    let hello = agent_wire::Hello { protocol: 1, node: name.to_string(), ..Default::default() };
    link::write(&mut stream, &hello).await.unwrap();
    let welcome: agent_wire::Welcome = link::read(&mut stream).await.unwrap();
    assert_eq!(welcome.refused, "");
    let about = FakeKernel::about(name, Instance::new(7));
    let incoming = tokio_stream::once(Ok::<_, std::io::Error>(stream));
    let service = AgentServer::new(Service::for_controllers(agent, about));
    let server = Server::builder().add_service(service);
    // It is aborted with the connection.
    let _ = server.serve_with_incoming(incoming.chain(tokio_stream::pending())).await;
}

/// A packet cut for a minute at the receiver alone, with a lease of 3 s.
pub(crate) fn spec(from: &str, to: &str) -> wire::Spec {
    let selector = |text: &str| vec![(&text.parse::<fault::Selector>().unwrap()).into()];
    let pair = wire::Pair {
        from: selector(from),
        to: selector(to),
        direction: wire::Direction::OneWay.into(),
    };
    wire::Spec {
        what: Some(wire::spec::What::Pair(pair)),
        cut: Some(agent_wire::Cut {
            mode: agent_wire::Mode::Packet.into(),
            flows: agent_wire::FlowAge::All.into(),
            loss: 1 << 32,
            verdict: agent_wire::Verdict::Drop.into(),
            side: agent_wire::Side::Ingress.into(),
            ..Default::default()
        }),
        enforcement: wire::Enforcement::Receiver.into(),
        seed: 7,
        lease_ns: 3_000_000_000,
        total_ns: 60_000_000_000,
        ..Default::default()
    }
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}

/// Waits until something is so. Looked at again and again: what it is made of makes no event here.
pub(crate) async fn until(mut is: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(waited).await;
}

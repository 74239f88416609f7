//! A controller on sockets of its own, with certificates as `schism certs` makes them, and nodes with fake
//! kernels that dial it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::brake::Brake;
use agent::fake::FakeKernel;
use agent::server::{Instance, Service};
use agent::uplink::{self, Stop, Uplink};
use agent::worker::Agent;
use controller::control::Clusters;
use controller::runs::Execution;
use controller::serve::{self, Captures, Controller, Options};
use fault::{Limits, NodeName};
use hyper_util::rt::TokioIo;
use link::{Connector, Files, Material};
use proto::agent as agent_wire;
use proto::agent::agent_server::AgentServer;
use proto::control as wire;
use proto::control::control_client::ControlClient;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

/// Nothing here takes long; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// A controller that serves.
pub(crate) struct Served {
    directory: TempDir,
    pub(crate) controller: Controller,
    /// What keeps agents dialling.
    running: Mutex<Vec<watch::Sender<bool>>>,
    kernels: Mutex<HashMap<String, FakeKernel>>,
    /// From where nodes have dialled last.
    remotes: Arc<Mutex<HashMap<String, SocketAddr>>>,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::that(Captures::Refused).await
    }

    /// One that hands packets over, or does not.
    pub(crate) async fn that(captures: Captures) -> Self {
        let directory = tempfile::tempdir().unwrap();
        certs(&directory, "init").await;
        certs(&directory, "issue controller c1 --host localhost").await;
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("state")).unwrap();
        let any = Some("127.0.0.1:0".parse().unwrap());
        let options = Options {
            state: path("state"),
            socket: path("control.sock"),
            listen_agents: any,
            listen_control: any,
            metrics: any,
            files: Some(Files::named(directory.path(), "c1")),
            by_token: None,
            store_in: None,
            issued: path("issued"),
            limits: Limits::default(),
            clusters: Clusters::default(),
            execution: Execution::Refused,
            jobs: None,
            captures,
        };
        let controller = serve::start(options).await.unwrap();
        Self {
            directory,
            controller,
            running: Mutex::default(),
            kernels: Mutex::default(),
            remotes: Arc::default(),
        }
    }

    /// Ends the controller; its directory stays.
    pub(crate) async fn stop(self) -> TempDir {
        let Self { controller, directory, .. } = self;
        soon(controller.stop()).await;
        directory
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `schism certs` in the directory of this test.
    pub(crate) async fn certs(&self, line: &str) {
        certs(&self.directory, line).await;
    }

    fn connector(&self, name: &str) -> Connector {
        let files = Files::named(self.directory.path(), name);
        Material::load(&files).unwrap().connector().unwrap()
    }

    /// Has a node dial, for ever; waits until it is connected.
    pub(crate) async fn dial(&self, name: &str) {
        let address = self.controller.agents.unwrap();
        self.dial_where(name, move || address).await;
        let mut client = self.local().await;
        until(async || self.connected(&mut client, name).await).await;
    }

    /// Has a node dial for ever, each time wherever that is by then.
    pub(crate) async fn dial_where(
        &self,
        name: &str,
        place: impl Fn() -> SocketAddr + Send + Sync + 'static,
    ) {
        if !self.path(&format!("{name}.pem")).exists() {
            self.certs(&format!("issue agent {name}")).await;
        }
        let node = NodeName::new(name).unwrap();
        let kernel = FakeKernel::running(node.clone());
        let own: IpAddr = [10, 0, 0, name.as_bytes()[0]].into();
        kernel.node(|node| node.add_namespace(name, &[own]));
        self.kernels.lock().unwrap().insert(name.to_owned(), kernel.clone());
        let agent = Agent::start(Arc::new(kernel), Brake::in_memory());
        let about = FakeKernel::about(node, Instance::new(7));
        let service = Service::for_controllers(agent.clone(), about.clone());
        let service = AgentServer::new(service.with_captures(Captures::Allowed));
        let uplink = Uplink { service, ..Uplink::new(agent, about) };
        let (running, stop) = Stop::new();
        self.running.lock().unwrap().push(running);
        let connector = self.connector(name);
        let (remotes, named) = (Arc::clone(&self.remotes), name.to_owned());
        let dial = move || {
            let (connector, remotes) = (connector.clone(), Arc::clone(&remotes));
            let (named, address) = (named.clone(), place());
            async move {
                let host = "localhost".try_into().unwrap();
                let stream = connector.dial(&address.to_string().parse().unwrap(), &host).await?;
                let local = stream.get_ref().0.local_addr().unwrap();
                remotes.lock().unwrap().insert(named, local);
                Ok::<_, link::DialError>(stream)
            }
        };
        tokio::spawn(uplink::run(uplink, dial, stop));
    }

    /// The kernel of a node.
    pub(crate) fn kernel(&self, name: &str) -> FakeKernel {
        self.kernels.lock().unwrap()[name].clone()
    }

    /// From where a node has dialled last.
    pub(crate) fn remote(&self, name: &str) -> String {
        self.remotes.lock().unwrap()[name].to_string()
    }

    /// Whether a node may come in.
    pub(crate) async fn knock(&self, name: &str) -> std::io::Result<()> {
        let address = self.controller.agents.unwrap().to_string().parse().unwrap();
        let host = "localhost".try_into().unwrap();
        let mut stream = soon(self.connector(name).dial(&address, &host)).await.unwrap();
        // The other end judges after the handshake (TLS 1.3).
        soon(stream.read(&mut [0])).await.map(drop)
    }

    pub(crate) async fn connected(&self, client: &mut ControlClient<Channel>, name: &str) -> bool {
        let agents = client.agents(wire::AgentsRequest {}).await.unwrap().into_inner().agents;
        agents.iter().any(|agent| agent.node == name && agent.connected)
    }

    /// A client on the controller's own socket.
    pub(crate) async fn local(&self) -> ControlClient<Channel> {
        self.local_at("control.sock").await
    }

    /// A client on another socket of this directory.
    pub(crate) async fn local_at(&self, socket: &str) -> ControlClient<Channel> {
        client(UnixStream::connect(self.path(socket)).await.unwrap()).await
    }

    /// A client with the certificate of a user.
    pub(crate) async fn user(&self, name: &str) -> ControlClient<Channel> {
        let address = self.controller.control.unwrap().to_string().parse().unwrap();
        let host = "localhost".try_into().unwrap();
        client(soon(self.connector(name).dial(&address, &host)).await.unwrap()).await
    }
}

async fn client<S>(stream: S) -> ControlClient<Channel>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| std::io::Error::other("one connection only"));
        async move { stream.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://controller");
    ControlClient::new(soon(endpoint.connect_with_connector(connector)).await.unwrap())
}

async fn certs(directory: &TempDir, line: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command.arg("certs").args(line.split_whitespace());
    command.env("SCHISM_CERTS_DIR", directory.path()).stdin(Stdio::null());
    let done = command.output().await.unwrap();
    assert!(done.status.success(), "{line}: {done:?}");
}

/// A packet cut for a minute, with a lease of 3 s.
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

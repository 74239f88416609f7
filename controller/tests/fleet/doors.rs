//! A controller as `schism serve` starts it, and agents that dial it over mutual TLS on loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use agent::brake::Brake;
use agent::fake::FakeKernel;
use agent::server::Instance;
use agent::uplink::{self, Stop, Uplink};
use agent::worker::Agent;
use controller::control::Clusters;
use controller::runs::Execution;
use controller::serve::{self, Captures, Options};
use fault::{Limits, NodeName};
use hyper_util::rt::TokioIo;
use link::{Files, Material, ServerName};
use proto::control as wire;
use proto::control::control_client::ControlClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use crate::authority::Authority;
use crate::rig::{soon, until};

/// How many dial at once.
const CROWD: usize = 200;

struct House {
    authority: Authority,
    controller: serve::Controller,
    client: ControlClient<Channel>,
}

fn options(authority: &Authority) -> Options {
    let directory = authority.directory.path();
    Options {
        state: directory.to_owned(),
        socket: directory.join("control.sock"),
        listen_agents: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        listen_control: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        files: Some(authority.controller()),
        by_token: None,
        store_in: None,
        issued: authority.issued(),
        limits: Limits::default(),
        metrics: None,
        clusters: Clusters::default(),
        execution: Execution::Refused,
        jobs: None,
        captures: Captures::Refused,
    }
}

impl House {
    async fn open() -> Self {
        let authority = Authority::new();
        let options = options(&authority);
        let socket = options.socket.clone();
        let controller = serve::start(options).await.unwrap();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://controller");
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        Self { authority, controller, client: ControlClient::new(channel) }
    }

    async fn agents(&self) -> Vec<wire::AgentStatus> {
        let mut client = self.client.clone();
        soon(client.agents(wire::AgentsRequest {})).await.unwrap().into_inner().agents
    }

    /// An agent with a fake kernel that dials; it asks to end when the sender is dropped.
    fn dial(&self, node: &str, files: &Files) -> watch::Sender<bool> {
        self.dial_as(7, node, files)
    }

    /// The same, as this process.
    fn dial_as(&self, instance: u64, node: &str, files: &Files) -> watch::Sender<bool> {
        let name = NodeName::new(node).unwrap();
        let kernel = Arc::new(FakeKernel::running(name.clone()));
        let agent = Agent::start(kernel, Brake::in_memory());
        let about = FakeKernel::about(name.clone(), Instance::new(instance));
        let address = self.controller.agents.unwrap().to_string().parse().unwrap();
        let host = Some("localhost".try_into().unwrap());
        let controller = uplink::Controller::new(address, host, files, &name).unwrap();
        let (stop, asked) = Stop::new();
        let uplink = Uplink::new(agent, about);
        tokio::spawn(uplink::keep(uplink, controller, asked));
        stop
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_dials_at_once_is_let_in() {
    let house = House::open().await;
    let certified: Vec<(String, Files)> = (0..CROWD)
        .map(|number| format!("n{number}"))
        .map(|node| (node.clone(), house.authority.agent(&node)))
        .collect();
    let crowd: Vec<_> = certified.iter().map(|(node, files)| house.dial(node, files)).collect();
    until(async || {
        let agents = house.agents().await;
        agents.iter().filter(|agent| agent.connected && agent.clock_error_ns > 0).count() == CROWD
    })
    .await;
    assert_eq!(house.agents().await.len(), crowd.len());
    house.controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_of_one_certificate_are_told() {
    let house = House::open().await;
    let files = house.authority.agent("n0");
    let contested = async || house.agents().await.iter().any(|agent| agent.contested);
    let one = house.dial_as(1, "n0", &files);
    until(async || house.agents().await.iter().any(|agent| agent.connected)).await;
    assert!(!contested().await);
    let two = house.dial_as(2, "n0", &files);
    until(contested).await;
    drop((one, two));
    house.controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_of_a_gigabyte_ends_that_connection_and_disturbs_nobody() {
    let house = House::open().await;
    let _quiet = house.dial("quiet", &house.authority.agent("quiet"));
    let address = house.controller.agents.unwrap().to_string().parse().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = Material::load(&house.authority.agent("loud")).unwrap().connector().unwrap();
    let mut stream = connector.dial(&address, &name).await.unwrap();
    stream.write_u32(1 << 30).await.unwrap();
    stream.flush().await.unwrap();
    // Nothing of it is waited for.
    let answer = soon(stream.read(&mut [0; 64])).await;
    assert!(matches!(answer, Ok(0) | Err(_)), "{answer:?}");
    until(async || house.agents().await.iter().any(|agent| agent.node == "quiet")).await;
    let agents = house.agents().await;
    assert_eq!(agents.len(), 1, "{agents:?}");
    house.controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_and_the_wrong_door_stay_outside() {
    let house = House::open().await;
    let name = ServerName::try_from("localhost").unwrap();
    let late = house.authority.expired_agent("late");
    let agent = house.authority.agent("a");
    let table = [(late, house.controller.agents), (agent, house.controller.control)];
    for (files, door) in table {
        let address = door.unwrap().to_string().parse().unwrap();
        let connector = Material::load(&files).unwrap().connector().unwrap();
        // With TLS 1.3 a client hears of it with the first bytes that it reads.
        let heard = match soon(connector.dial(&address, &name)).await {
            Ok(mut stream) => soon(stream.read(&mut [0; 64])).await.map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        assert!(matches!(heard, Ok(0) | Err(_)), "{files:?}: {heard:?}");
    }
    assert!(house.agents().await.is_empty());
    house.controller.stop().await;
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_with_a_sentence() {
    let authority = Authority::new();
    let options = options(&authority);
    serve::start(options.clone()).await.unwrap().stop().await;
    let store = options.state.join("store.sqlite");
    let connection = rusqlite::Connection::open(&store).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = serve::start(options).await.err().unwrap().to_string();
    assert!(refused.contains("was written by a newer version (schema 99"), "{refused}");
}

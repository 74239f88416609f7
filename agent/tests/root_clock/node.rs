//! An agent over this kernel, in this process or in one of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent::brake::Brake;
use agent::kernel::{Kernel, KernelError, Linux, node_name};
use agent::worker::Agent;
use fault::{
    Aspect, ClockEffect, Fault, FaultId, IntentId, Kind, LeaseTerms, Measured, Peers, Skew, Status,
    Target,
};
use hyper_util::rt::TokioIo;
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::driven::Driven;
use crate::rig::Rig;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// An agent in this process.
pub(crate) struct Node {
    pub(crate) rig: Rig,
    pub(crate) kernel: Arc<Linux>,
    pub(crate) agent: Agent,
    driven: Driven,
}

impl Node {
    pub(crate) fn start() -> Self {
        let rig = Rig::new();
        let linux = Linux::new(node_name()).unwrap().with_workshop(rig.workshop());
        let kernel = Arc::new(linux);
        let shared: Arc<dyn Kernel> = kernel.clone();
        let agent = Agent::start(shared, Brake::in_memory());
        Self { rig, kernel, driven: Driven(agent.clone()), agent }
    }

    pub(crate) fn resolve(&self, selector: &str) -> Result<Vec<Target>, KernelError> {
        self.kernel.resolve(&selector.parse().unwrap(), Aspect::Processes)
    }

    /// A fault for a minute, with a lease of 15 s.
    pub(crate) fn fault(&self, selector: &str, skew: Skew) -> Fault {
        let target = self.resolve(selector).unwrap().pop().expect("the selector names something");
        skewing(target, skew, Duration::from_secs(15), Duration::from_secs(60))
    }
}

impl std::ops::Deref for Node {
    type Target = Driven;

    fn deref(&self) -> &Driven {
        &self.driven
    }
}

pub(crate) fn skewing(target: Target, skew: Skew, lease: Duration, total: Duration) -> Fault {
    let number = NEXT.fetch_add(1, Ordering::Relaxed) | u64::from(std::process::id()) << 16;
    Fault {
        id: FaultId { intent: IntentId::from_random(number), part: 0 },
        selector: target.selector,
        target: target.identity,
        kind: Kind::Skew(skew),
        peers: Peers::default(),
        terms: LeaseTerms::new(lease, total).unwrap(),
        control_path: Vec::new(),
    }
}

pub(crate) fn effect(status: &Status) -> &ClockEffect {
    match &status.measured {
        Some(Measured::Clock(effect)) => effect,
        Some(Measured::Freeze(_) | Measured::Kill(_) | Measured::Stress(_)) | None => {
            panic!("nothing was measured: {status:?}")
        }
    }
}

/// An agent in a process of its own, whose records are those of a rig. Killed with its handle.
pub(crate) struct Daemon {
    process: Child,
    socket: PathBuf,
}

impl Daemon {
    pub(crate) fn start(rig: &Rig) -> Self {
        let socket = rig.directory.path().join("agent.sock");
        let program = env!("CARGO_BIN_EXE_schism-agent");
        let process = Command::new(program)
            .arg("--socket")
            .arg(&socket)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, socket }
    }

    /// Waits until it answers.
    pub(crate) async fn client(&self) -> AgentClient<Channel> {
        let socket = self.socket.clone();
        let connected = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let socket = socket.clone();
                let connector = tower::service_fn(move |_| {
                    let socket = socket.clone();
                    async move { UnixStream::connect(socket).await.map(TokioIo::new) }
                });
                let endpoint = Endpoint::from_static("http://agent");
                if let Ok(channel) = endpoint.connect_with_connector(connector).await {
                    let mut client = AgentClient::new(channel);
                    if client.describe(wire::DescribeRequest {}).await.is_ok() {
                        return client;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        connected.await.expect("the agent answers within 10 s")
    }

    /// It dies as it stands.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! An agent over this kernel, in this process or in one of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::brake::Brake;
use agent::kernel::engaged::Engagements;
use agent::kernel::{Kernel, KernelError, Linux, node_name};
use agent::worker::Agent;
use fault::{
    Aspect, Extent, Fault, FaultId, Freeze, FreezeEffect, IntentId, Kind, LeaseTerms, Measured,
    Peers, Selector, Status, Target,
};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::driven::Driven;

static NEXT: AtomicU64 = AtomicU64::new(1);
/// What counts in one test would be slowed down by another one: one at a time.
static ALONE: Mutex<()> = Mutex::new(());
const PROGRAM: &str = env!("CARGO_BIN_EXE_schism-agent");

fn alone() -> MutexGuard<'static, ()> {
    assert!(nix::unistd::geteuid().is_root(), "needs root");
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent in this process.
pub(crate) struct Node {
    _alone: MutexGuard<'static, ()>,
    pub(crate) kernel: Arc<Linux>,
    pub(crate) agent: Agent,
    driven: Driven,
}

impl Node {
    pub(crate) fn start() -> Self {
        let _alone = alone();
        let linux = Linux::new(node_name()).unwrap();
        let kernel = Arc::new(linux.with_engagements(Engagements::of(PathBuf::from(PROGRAM))));
        let shared: Arc<dyn Kernel> = kernel.clone();
        let agent = Agent::start(shared, Brake::in_memory());
        Self { _alone, kernel, driven: Driven(agent.clone()), agent }
    }

    pub(crate) fn resolve(&self, selector: &str) -> Result<Vec<Target>, KernelError> {
        self.kernel.resolve(&selector.parse().unwrap(), Aspect::Processes)
    }

    /// A freeze for a minute, with a lease of 15 s.
    pub(crate) fn freeze(&self, selector: &str, extent: Extent) -> Fault {
        let target = self.resolve(selector).unwrap().pop().expect("the selector names something");
        freezing(target, extent, Duration::from_secs(15))
    }

    /// Anything for a minute, with a lease of 15 s.
    pub(crate) fn fault(&self, selector: &str, kind: Kind) -> Fault {
        let target = self.resolve(selector).unwrap().pop().expect("the selector names something");
        doing(target, kind, Duration::from_secs(15))
    }
}

impl std::ops::Deref for Node {
    type Target = Driven;

    fn deref(&self) -> &Driven {
        &self.driven
    }
}

pub(crate) fn freezing(target: Target, extent: Extent, lease: Duration) -> Fault {
    doing(target, Kind::Freeze(Freeze { extent }), lease)
}

/// Anything for a minute.
pub(crate) fn doing(target: Target, kind: Kind, lease: Duration) -> Fault {
    let number = NEXT.fetch_add(1, Ordering::Relaxed) | u64::from(std::process::id()) << 16;
    Fault {
        id: FaultId { intent: IntentId::from_random(number), part: 0 },
        selector: target.selector,
        target: target.identity,
        kind,
        peers: Peers::default(),
        terms: LeaseTerms::new(lease, Duration::from_secs(60)).unwrap(),
        control_path: Vec::new(),
    }
}

pub(crate) fn effect(status: &Status) -> &FreezeEffect {
    match &status.measured {
        Some(Measured::Freeze(effect)) => effect,
        Some(_) | None => panic!("nothing was measured: {status:?}"),
    }
}

/// An agent in a process of its own. Killed with its handle.
pub(crate) struct Daemon {
    _alone: MutexGuard<'static, ()>,
    process: Child,
    directory: TempDir,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let (_alone, directory) = (alone(), TempDir::new().unwrap());
        let socket = directory.path().join("agent.sock");
        let mut command = Command::new(PROGRAM);
        let process = command.arg("--socket").arg(socket).stderr(Stdio::null()).spawn().unwrap();
        Self { _alone, process, directory }
    }

    /// Waits until it answers.
    async fn client(&self) -> AgentClient<Channel> {
        let socket = self.directory.path().join("agent.sock");
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

    /// Freezes a process with a lease of so long, and says how that stands.
    pub(crate) async fn freeze(&self, selector: &str, lease: Duration) -> Status {
        self.begin(selector, Kind::Freeze(Freeze::default()), lease).await
    }

    /// Does something to a process with a lease of so long, and says how that stands.
    pub(crate) async fn begin(&self, selector: &str, kind: Kind, lease: Duration) -> Status {
        let mut client = self.client().await;
        let selector: Selector = selector.parse().unwrap();
        let request = wire::ResolveRequest {
            selector: Some((&selector).into()),
            aspect: wire::Aspect::from(Aspect::Processes).into(),
        };
        let found = client.resolve(request).await.unwrap().into_inner().targets.remove(0);
        let fault = doing(found.try_into().unwrap(), kind, lease);
        let request = wire::PrepareRequest { faults: vec![(&fault).into()], ..Default::default() };
        client.prepare(request).await.unwrap();
        let request = wire::CommitRequest { ids: vec![fault.id.into()], ..Default::default() };
        let status = client.commit(request).await.unwrap().into_inner().faults.remove(0);
        status.try_into().unwrap()
    }

    /// It dies as it stands.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// It stands still itself.
    pub(crate) fn stop(&self) {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGSTOP).unwrap();
    }
}

impl Daemon {
    /// After it stood still.
    pub(crate) fn go_on(&self) {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGCONT).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

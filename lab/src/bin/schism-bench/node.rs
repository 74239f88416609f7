//! The agent as a process of its own, and faults for it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fault::{
    Chance, Cut, Fault, FaultId, FlowAge, IntentId, Kind, LeaseTerms, Mode, PeerTarget, Peers,
    Prefix, Selector, Side, Target, Verdict,
};
use hyper_util::rt::TokioIo;
use lab::process::Process;
use lab::topology::Node;
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use tonic::transport::{Channel, Endpoint};

/// An agent of the release build, beside this program.
pub(crate) struct Agent {
    pub(crate) process: Process,
    pub(crate) client: AgentClient<Channel>,
    directory: PathBuf,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

fn number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The path of a program that was built together with this one.
pub(crate) fn sibling(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("where is this program?")?;
    Ok(own.with_file_name(name))
}

impl Agent {
    /// Starts it and waits until it serves.
    pub(crate) async fn start() -> Result<Self> {
        let name = format!("schism-bench-{}-{}", std::process::id(), number());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).context("make a directory for the socket")?;
        let socket = directory.join("agent.sock");
        let mut command = Command::new(sibling("schism-agent")?);
        command.arg("--socket").arg(&socket).env("SCHISM_LOG", "error");
        let process = Process::start(&mut command)?;
        let path = socket.clone();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        });
        for _ in 0..1_000 {
            let endpoint = Endpoint::from_static("http://agent");
            if socket.exists()
                && let Ok(channel) = endpoint.connect_with_connector(connector.clone()).await
            {
                return Ok(Self { process, client: AgentClient::new(channel), directory });
            }
            // The socket's appearance is a file's, for which a look every 5 ms will do.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::bail!("the agent does not serve")
    }

    /// Resolves a node of the lab.
    pub(crate) async fn target(&mut self, node: &Node) -> Result<Target> {
        let selector: Selector = format!("netns:{}", node.namespace.name()).parse()?;
        let request = wire::ResolveRequest {
            selector: Some((&selector).into()),
            ..wire::ResolveRequest::default()
        };
        let found = self.client.resolve(request).await?.into_inner().targets;
        let target = found.into_iter().next().context("the node is not found")?;
        Ok(target.try_into()?)
    }

    /// A packet cut of one node from another, with a lease of 15 s.
    pub(crate) async fn fault(&mut self, from: &Node, to: &Node) -> Result<Fault> {
        let (peer, target) = (self.target(from).await?, self.target(to).await?);
        let followed = PeerTarget { selector: peer.selector.clone(), identity: peer.identity };
        let peers = Peers { fixed: Vec::new(), followed: Some(followed) };
        Ok(fault(&target, peers, Duration::from_secs(15))?)
    }

    /// A packet cut of an address from a node.
    pub(crate) async fn fault_of(&mut self, peers: Vec<Prefix>, to: &Node) -> Result<Fault> {
        let target = self.target(to).await?;
        Ok(fault(&target, Peers { fixed: peers, followed: None }, Duration::from_secs(600))?)
    }

    /// Puts everything in place.
    pub(crate) async fn prepare(&mut self, fault: &Fault) -> Result<()> {
        let request =
            wire::PrepareRequest { faults: vec![fault.into()], dry_run: false, holder: None };
        self.client.prepare(request).await?;
        Ok(())
    }

    /// Lets it act, verified.
    pub(crate) async fn commit(&mut self, id: FaultId) -> Result<wire::Status> {
        let request = wire::CommitRequest { ids: vec![id.into()], start: 0, holder: None };
        let committed = self.client.commit(request).await?.into_inner().faults;
        committed.into_iter().next().context("no status")
    }

    /// Waits until its spare programs are loaded, which takes a core for 0.1 s after its start and after
    /// each first fault of a target.
    pub(crate) async fn settle(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(10);
        // A thread has its parent's name until it gives itself its own: one look may come in between.
        let mut looks_at_rest = 0;
        loop {
            looks_at_rest = if self.loads()? { 0 } else { looks_at_rest + 1 };
            if looks_at_rest == 2 {
                return Ok(());
            }
            ensure!(Instant::now() < end, "the agent does not come to rest");
            // The end of another process's thread makes no event here.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn loads(&self) -> Result<bool> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id()))?.flatten();
        // A thread may end while it is looked at.
        let mut names =
            tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        Ok(names.any(|name| name.trim() == "schism-spare"))
    }

    /// Takes it out.
    pub(crate) async fn heal(&mut self, id: FaultId) -> Result<()> {
        self.client.heal(wire::HealRequest { ids: vec![id.into()], all: false }).await?;
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Only the socket of a killed agent can be in it.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn fault(target: &Target, peers: Peers, lease: Duration) -> Result<Fault, fault::TermsError> {
    let intent = IntentId::from_random(u64::from(std::process::id()) << 24 | number());
    Ok(Fault {
        id: FaultId { intent, part: 0 },
        selector: target.selector.clone(),
        target: target.identity,
        kind: Kind::Cut(Cut {
            mode: Mode::Packet,
            protocol: None,
            port: None,
            flows: FlowAge::All,
            loss: Chance::CERTAIN,
            seed: 1,
            verdict: Verdict::Drop,
            side: Side::Ingress,
        }),
        peers,
        terms: LeaseTerms::new(lease, Duration::from_secs(600))?,
        control_path: Vec::new(),
    })
}

//! A controller as a process, with certificates for everybody who may come.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyper_util::rt::TokioIo;
use lab::process::Process;
use proto::control as wire;
use proto::control::control_client::ControlClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::node::sibling;

/// A controller, and how to speak to it.
pub(crate) struct House {
    directory: PathBuf,
    /// `schism serve`.
    pub(crate) controller: Process,
    /// Where agents dial.
    pub(crate) agents: SocketAddr,
    client: ControlClient<Channel>,
    next: u64,
}

impl House {
    /// Issues certificates for so many agents, and starts the controller.
    pub(crate) async fn open(agents: usize) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("schism-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).context("make a directory")?;
        let certs = |words: &[&str]| {
            let mut command = Command::new(sibling("schism")?);
            command.args(["certs", "--dir"]).arg(&directory).args(words);
            let output = command.output().context("run schism certs")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "schism certs {words:?}: {said}");
            anyhow::Ok(())
        };
        certs(&["init"])?;
        certs(&["issue", "controller", "c1", "--host", "localhost"])?;
        for number in 0..agents {
            certs(&["issue", "agent", &format!("n{number}")])?;
        }
        let socket = directory.join("control.sock");
        let mut command = Command::new(sibling("schism")?);
        command.arg("serve").arg("--listen-agents").arg("127.0.0.1:0");
        command.arg("--state").arg(directory.join("state")).arg("--socket").arg(&socket);
        command.arg("--ca").arg(directory.join("ca.pem"));
        command.arg("--certificate").arg(directory.join("c1.pem"));
        command.arg("--key").arg(directory.join("c1.key"));
        command.arg("--issued").arg(directory.join("issued"));
        command.env("SCHISM_LOG", "error").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut controller = Process::start(&mut command)?;
        let said = controller.take_stderr().context("what the controller says")?;
        let mut agents = None;
        for line in BufReader::new(said).lines() {
            let line = line?;
            if let Some(address) = line.split("agents dial ").nth(1) {
                agents = Some(address.trim().parse()?);
                break;
            }
        }
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://controller");
        let channel = endpoint.connect_with_connector(connector).await?;
        let client = ControlClient::new(channel).max_decoding_message_size(64 << 20);
        let agents = agents.context("the controller does not say where agents dial")?;
        Ok(Self { directory, controller, agents, client, next: 1 })
    }

    /// Starts agents in a process of their own, and waits until all are known with their clocks.
    pub(crate) async fn invite(
        &mut self,
        numbers: Range<usize>,
        over: Option<SocketAddr>,
    ) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("crowd").arg(over.unwrap_or(self.agents).to_string()).arg(&self.directory);
        command.args([numbers.start.to_string(), numbers.end.to_string()]);
        let crowd = Process::start(&mut command)?;
        for _ in 0..6_000 {
            let agents = self.client.agents(wire::AgentsRequest {}).await?.into_inner().agents;
            let known = agents.iter().filter(|one| one.connected && one.clock_error_ns > 0);
            if known.count() >= numbers.end {
                return Ok(crowd);
            }
            // The controller tells of intents as they change, and of agents when it is asked.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("not all agents are connected after 2 min")
    }

    /// A packet cut for a minute.
    pub(crate) async fn cut(&mut self, from: &str, to: &str) -> Result<wire::Intent> {
        let selector = |text: &str| {
            let selector: fault::Selector = text.parse().context("a selector")?;
            anyhow::Ok(vec![(&selector).into()])
        };
        let pair = wire::Pair {
            from: selector(from)?,
            to: selector(to)?,
            direction: wire::Direction::OneWay.into(),
        };
        let spec = wire::Spec {
            what: Some(wire::spec::What::Pair(pair)),
            cut: Some(proto::agent::Cut {
                mode: proto::agent::Mode::Packet.into(),
                flows: proto::agent::FlowAge::All.into(),
                loss: 1 << 32,
                verdict: proto::agent::Verdict::Drop.into(),
                side: proto::agent::Side::Ingress.into(),
                ..Default::default()
            }),
            seed: 7,
            lease_ns: 15_000_000_000,
            total_ns: 60_000_000_000,
            ..Default::default()
        };
        let id = self.next;
        self.next += 1;
        let request = wire::ApplyRequest { id, spec: Some(spec), rehearse: false };
        let reply = self.client.apply(request).await?.into_inner();
        reply.intent.context("an empty answer")
    }

    /// Ends a cut, and waits until every node has confirmed.
    pub(crate) async fn heal(&mut self, id: u64) -> Result<()> {
        self.end(wire::HealRequest { ids: vec![id], all: false }).await
    }

    /// Ends everything.
    pub(crate) async fn heal_all(&mut self) -> Result<()> {
        self.end(wire::HealRequest { ids: Vec::new(), all: true }).await
    }

    async fn end(&mut self, request: wire::HealRequest) -> Result<()> {
        let healed = self.client.heal(request).await?.into_inner().intents;
        for intent in healed {
            let stage = intent.stage();
            ensure!(stage == wire::Stage::Healed, "{stage:?}: {}", intent.reason);
        }
        Ok(())
    }

    /// A command that goes through this controller.
    pub(crate) fn schism(&self) -> Command {
        let program = self.directory.join("control.sock");
        let mut command =
            Command::new(sibling("schism").unwrap_or_else(|_| PathBuf::from("schism")));
        command.arg("--controller").arg(format!("unix:{}", program.display()));
        command
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // The directory of a bench that has ended helps nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

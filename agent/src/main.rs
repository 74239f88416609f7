//! `schism-agent`: the privileged node daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::daemon::{self, Options};
use agent::kernel::clock::holder;
use agent::kernel::node_name;
use agent::kernel::priority;
use agent::pulse;
use agent::server::Captures;
use agent::supervisor::Supervisor;
use agent::telemetry::{self, LogFormat};
use agent::uplink::Controller;
use anyhow::{Context, anyhow, bail};
use clap::Parser;
use fault::NodeName;
use link::{Files, HostPort, ServerName};
use tokio::signal::unix::{SignalKind, signal};

/// Puts faults into the kernel of this node, for whoever may use its socket.
///
/// It ends every fault of its own when it ends, and the kernel ends them when it is killed.
#[derive(Parser)]
#[command(version, about, long_about)]
struct Arguments {
    /// Unix socket to serve on; readable and writable by its owner alone.
    #[arg(long, visible_alias = "agent-socket", env = "SCHISM_AGENT_SOCKET", default_value_os_t = daemon::default_socket())]
    socket: PathBuf,
    /// By what name this node is known [default: its host name]. A certificate is for this name.
    #[arg(long, env = "SCHISM_NODE", value_parser = node)]
    node: Option<NodeName>,
    /// Controller to dial, at each address that its name has, and to serve on that connection; nothing listens on
    /// the network.
    #[arg(long, env = "SCHISM_CONTROLLER", value_name = "HOST:PORT")]
    #[arg(requires = "ca")]
    controller: Option<HostPort>,
    /// Host that the controller's certificate is for [default: the host of --controller].
    #[arg(long, env = "SCHISM_CONTROLLER_NAME", value_parser = server_name)]
    #[arg(value_name = "NAME", requires = "controller")]
    controller_name: Option<ServerName<'static>>,
    /// Certificate of the authority that signed the controller's, PEM.
    #[arg(long, env = "SCHISM_CA", value_name = "FILE", requires = "controller")]
    ca: Option<PathBuf>,
    /// Certificate of this node's agent, PEM.
    #[arg(long, env = "SCHISM_CERTIFICATE", value_name = "FILE")]
    #[arg(requires_all = ["controller", "key"])]
    certificate: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    #[arg(long, env = "SCHISM_KEY", value_name = "FILE")]
    #[arg(requires_all = ["controller", "certificate"])]
    key: Option<PathBuf>,
    /// Token of the agent's service account, instead of a certificate: a controller in a Kubernetes cluster has
    /// it reviewed, and knows by it which node this is. The file is read for each connection, as is --ca.
    #[arg(long, env = "SCHISM_TOKEN", value_name = "FILE", requires = "controller")]
    #[arg(conflicts_with_all = ["certificate", "key"])]
    token: Option<PathBuf>,
    /// Hand packets of targets over to whoever asks for a capture: whoever may use the socket, and the controller,
    /// which has a setting and a role of its own for that. It takes CAP_NET_RAW.
    #[arg(long, env = "SCHISM_ALLOW_CAPTURE")]
    allow_capture: bool,
    /// Ask the agent that serves the socket whether it answers, and end: with 0 if it does.
    #[arg(long)]
    answers: bool,
    /// How to write logs.
    #[arg(long, env = "SCHISM_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

impl Arguments {
    /// Reads what they name; nothing is bound or touched before.
    fn options(self) -> anyhow::Result<Options> {
        let node = self.node.unwrap_or_else(node_name);
        let own = self.certificate.zip(self.key);
        let controller = match (self.controller, self.ca) {
            (Some(address), Some(ca)) => {
                let name = self.controller_name;
                let controller = match (own, self.token) {
                    (Some((certificate, key)), _) => {
                        let files = Files { ca, certificate, key };
                        Controller::new(address, name, &files, &node)
                    }
                    (None, Some(token)) => Controller::by_token(address, name, &ca, &token),
                    (None, None) => bail!(
                        "--controller needs what this agent shows it: --certificate and --key, or --token"
                    ),
                };
                // Its sentence has its cause in it.
                Some(controller.map_err(|error| anyhow!("no controller to dial: {error}"))?)
            }
            // The parser has refused one without the other.
            (Some(_), None) | (None, _) => None,
        };
        let captures = if self.allow_capture { Captures::Allowed } else { Captures::Refused };
        Ok(Options { node, controller, captures, ..Options::daemon(self.socket) })
    }
}

fn node(text: &str) -> Result<NodeName, &'static str> {
    NodeName::new(text).ok_or("a name has 1 to 253 letters, digits, '.', '_' and '-'")
}

fn server_name(text: &str) -> Result<ServerName<'static>, &'static str> {
    ServerName::try_from(text.to_owned()).map_err(|_| "write a host's name or an address")
}

fn main() -> ExitCode {
    let ended = if holder::is_asked() { holder::run().context("hold a process") } else { run() };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One sentence, whatever the environment says of backtraces.
            eprintln!("schism-agent: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// What was attempted and why it failed; a cause that stands in it already is not repeated.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence.push_str(": ");
            sentence.push_str(&cause);
        }
    }
    sentence
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.answers {
        return answers(&arguments.socket);
    }
    telemetry::start(arguments.log_format);
    let options = arguments.options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(serve(options));
    // A probe under way may take longer than an end may.
    runtime.shutdown_background();
    result
}

fn answers(socket: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("start the runtime")?.block_on(pulse::ask(socket))?)
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    // Its terminal was closed.
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let supervisor = Supervisor::from_environment();
    priority::come_first();
    let daemon = daemon::start(options).await?;
    supervisor.ready();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
        () = supervisor.watched(async || daemon.answers().await) => {}
    }
    supervisor.stopping();
    tracing::info!("healing everything, then ending");
    daemon.stop().await.context("end")
}

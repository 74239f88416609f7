//! `schism-agent`: the privileged node daemon.

use std::path::PathBuf;

use agent::daemon::{self, Options};
use agent::telemetry::{self, LogFormat};
use anyhow::Context;
use clap::Parser;
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
    /// How to write logs.
    #[arg(long, env = "SCHISM_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    telemetry::start(arguments.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(serve(arguments.socket));
    // A probe under way may take longer than an end may.
    runtime.shutdown_background();
    result
}

async fn serve(socket: PathBuf) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let daemon = daemon::start(Options { socket, embedded: false }).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("healing everything, then ending");
    daemon.stop().await.context("end")
}

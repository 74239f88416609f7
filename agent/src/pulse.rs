//! Whether the agent that serves a socket answers, for who watches over it from outside: a kubelet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use tonic::transport::Endpoint;

/// How long an answer may take (3 s): less than the shortest lease lasts.
const PATIENCE: Duration = Duration::from_secs(3);

/// The agent does not answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody serves the socket.
    #[error("nobody serves {socket}: {source}")]
    Nobody {
        /// Which.
        socket: PathBuf,
        /// Why.
        source: tonic::transport::Error,
    },
    /// It was refused.
    #[error("the agent at {socket} answers with {status}")]
    Refused {
        /// Which.
        socket: PathBuf,
        /// How.
        status: Box<tonic::Status>,
    },
    /// Its worker, which ends faults and renews leases, hangs.
    #[error("the agent at {0} does not answer within 3 s")]
    Late(PathBuf),
}

/// Asks the agent for its faults, which its worker tells in its turn.
///
/// # Errors
/// It does not answer.
pub async fn ask(socket: &Path) -> Result<(), NoAnswer> {
    let late = |_| NoAnswer::Late(socket.to_owned());
    tokio::time::timeout(PATIENCE, asked(socket)).await.map_err(late)?
}

async fn asked(socket: &Path) -> Result<(), NoAnswer> {
    let nobody = |source| NoAnswer::Nobody { socket: socket.to_owned(), source };
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).map_err(nobody)?;
    let mut agent = AgentClient::new(endpoint.connect().await.map_err(nobody)?);
    let refused =
        |status| NoAnswer::Refused { socket: socket.to_owned(), status: Box::new(status) };
    agent.list(wire::ListRequest {}).await.map_err(refused)?;
    Ok(())
}

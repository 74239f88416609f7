//! The agent inside this command: the one place that knows the agent's library.

use std::path::{Path, PathBuf};

use agent::daemon::{self, Daemon, Options};
pub(crate) use agent::residue::Removal;
use fault::{Capability, Remnant};

/// An agent that lives as long as this command.
pub(crate) struct OwnAgent(Daemon);

/// Why this command did not become the agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Another agent holds the socket.
    #[error("another agent holds this machine")]
    Busy,
    /// Only somebody with more privileges can be one.
    #[error("{0}")]
    Unprivileged(String),
    /// Socket or lock could not be made where they were asked for.
    #[error("{0}")]
    Place(String),
    /// Anything else, in a sentence.
    #[error("{0}")]
    Other(String),
}

/// Where a machine's agent listens.
pub(crate) fn default_socket() -> PathBuf {
    daemon::default_socket()
}

impl OwnAgent {
    /// Becomes the agent of this machine.
    pub(crate) async fn start(socket: &Path) -> Result<Self, StartError> {
        let options = Options::embedded(socket.to_owned());
        daemon::start(options).await.map(Self).map_err(|error| {
            let sentence = error.to_string();
            match error {
                daemon::StartError::Busy(_) => StartError::Busy,
                daemon::StartError::Unprivileged(_) => StartError::Unprivileged(sentence),
                daemon::StartError::File { .. } => StartError::Place(sentence),
                daemon::StartError::Unsupported(_) | daemon::StartError::Kernel(_) => {
                    StartError::Other(sentence)
                }
            }
        })
    }

    /// Heals what is left, and gives the socket and the lock back.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.0.stop().await.map_err(|error| error.to_string())
    }
}

impl std::fmt::Debug for OwnAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnAgent")
    }
}

/// What this machine can do.
pub(crate) fn examine() -> Vec<Capability> {
    agent::doctor::examine()
}

/// What agents that are gone left behind.
pub(crate) fn residue(removal: Removal, socket: &Path) -> Result<Vec<Remnant>, String> {
    agent::residue::search(removal, socket).map_err(|error| error.to_string())
}

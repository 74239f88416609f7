//! The agent inside this command: the one place that knows the agent's library.

use std::path::{Path, PathBuf};

use fault::{Capability, Remnant};

/// An agent that lives as long as this command.
#[derive(Debug)]
pub(crate) struct OwnAgent(absent::Daemon);

/// Why this command did not become the agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Another agent holds the machine's lock.
    #[error("another agent holds this machine")]
    #[expect(dead_code, reason = "until this build has an agent in it")]
    Busy,
    /// Anything else, in a sentence.
    #[error("{0}")]
    Other(String),
}

/// Where a machine's agent listens.
pub(crate) fn default_socket() -> PathBuf {
    PathBuf::from("/run/schism/agent.sock")
}

impl OwnAgent {
    /// Becomes the agent of this machine.
    pub(crate) async fn start(socket: &Path) -> Result<Self, StartError> {
        absent::start(socket).await.map(Self)
    }

    /// Heals what is left, and gives the socket and the lock back.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.0.stop().await
    }
}

/// What this machine can do.
pub(crate) fn examine() -> Result<Vec<Capability>, String> {
    Err(absent::SENTENCE.to_owned())
}

/// What agents that are gone left behind.
pub(crate) fn residue(_removal: Removal, _socket: &Path) -> Result<Vec<Remnant>, String> {
    Err(absent::SENTENCE.to_owned())
}

/// Whether what is found is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Only look.
    No,
    /// Remove it.
    Yes,
}

mod absent {
    use std::path::Path;

    pub(super) const SENTENCE: &str = "this build has no agent in it";

    #[derive(Debug)]
    pub(super) struct Daemon;

    impl Daemon {
        pub(super) async fn stop(self) -> Result<(), String> {
            std::future::ready(Ok(())).await
        }
    }

    pub(super) async fn start(_socket: &Path) -> Result<Daemon, super::StartError> {
        std::future::ready(Err(super::StartError::Other(SENTENCE.to_owned()))).await
    }
}

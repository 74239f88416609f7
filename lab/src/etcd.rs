//! etcd clusters of Debian's etcd 3.4, one member per node of a topology.

mod client;
mod cluster;
mod member;
mod metrics;
mod writer;

use std::{fmt, io, net::SocketAddr, path::PathBuf};

pub use client::{Client, Status};
pub use cluster::{Cluster, Options};
pub use metrics::Metrics;
use thiserror::Error;
pub use writer::{Attempt, Route, Writer, Writes};

pub use crate::http::HttpError;
use crate::{directory::DirectoryError, netns::NetnsError, process::ProcessError};

/// etcd's port for clients.
pub const CLIENT_PORT: u16 = 2379;

/// etcd's port for members.
pub const PEER_PORT: u16 = 2380;

/// Why something with etcd failed.
#[derive(Error)]
pub enum EtcdError {
    /// The topology has not enough nodes.
    #[error("a cluster of {asked} needs as many nodes, and the topology has {there}")]
    TooFewNodes {
        /// Members that were asked for.
        asked: usize,
        /// Nodes of the topology.
        there: usize,
    },
    /// A file or directory of a member.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A namespace failed.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A member's process could not be started or ended.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A member that was to be asked or signalled does not run.
    #[error("the member {0} does not run")]
    NotRunning(String),
    /// A member ended while it was awaited.
    #[error("etcd of {name} ended by itself; its last words:\n{log}")]
    Ended {
        /// The member.
        name: String,
        /// The last lines of its log.
        log: String,
    },
    /// A member was not healthy in time.
    #[error("etcd of {name} was not healthy in time ({last}); its last words:\n{log}")]
    NotHealthy {
        /// The member.
        name: String,
        /// What the last attempt said.
        last: String,
        /// The last lines of its log.
        log: String,
    },
    /// No leader was seen in time.
    #[error("no leader in term {term} or later was seen in time")]
    NoLeader {
        /// The first term that would have done.
        term: u64,
    },
    /// A request failed on its way.
    #[error("{path} at {address}: {source}")]
    Http {
        /// What was asked.
        path: String,
        /// Whom.
        address: SocketAddr,
        /// Why.
        source: HttpError,
    },
    /// etcd answered with an error.
    #[error("{path} at {address}: etcd says {status}: {said}")]
    Refused {
        /// What was asked.
        path: String,
        /// Whom.
        address: SocketAddr,
        /// The HTTP status.
        status: u16,
        /// The body.
        said: String,
    },
    /// etcd answered with something that is not understood.
    #[error("{path} at {address}: no `{field}` in {said}")]
    Answer {
        /// What was asked.
        path: String,
        /// Whom.
        address: SocketAddr,
        /// What is missing or malformed.
        field: &'static str,
        /// The body.
        said: String,
    },
}

impl From<DirectoryError> for EtcdError {
    fn from(error: DirectoryError) -> Self {
        Self::File { path: error.path, source: error.source }
    }
}

impl fmt::Debug for EtcdError {
    /// As the sentence, because tests show it when they unwrap.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

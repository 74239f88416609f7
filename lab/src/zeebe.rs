//! Zeebe clusters of real brokers and a standalone gateway, one per node of a topology.
//!
//! The archive comes from Maven Central by `mvn`, once for each cache, and the Java of the machine runs
//! it. A process that ends is started again, as a pod would be.

mod archive;
mod broker;
mod cluster;
mod configuration;
mod image;
mod java;
mod member;
mod pods;

use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use thiserror::Error;

pub use self::image::image;
pub use archive::{ArchiveError, VERSION};
pub use broker::{Broker, Partition, Role};
pub use cluster::{Backups, Cluster, Leaders, Options, settings};
pub use java::{Java, JavaError};
pub use pods::{broker_pods, objects};

pub use crate::http::HttpError;
use crate::{
    directory::DirectoryError, netns::NetnsError, process::ProcessError, store::StoreError,
};

/// Where gateways listen for clients.
pub const GATEWAY_PORT: u16 = 26500;

/// Where brokers listen for gateways.
pub const COMMAND_PORT: u16 = 26501;

/// Where brokers and gateways listen for each other.
pub const INTERNAL_PORT: u16 = 26502;

/// Where all of them listen for who manages them.
pub const MANAGEMENT_PORT: u16 = 9600;

/// Why something with Zeebe failed.
#[derive(Error)]
pub enum ZeebeError {
    /// The topology has not enough nodes.
    #[error("{asked} brokers and a gateway need a node each, and the topology has {there}")]
    TooFewNodes {
        /// Brokers that were asked for.
        asked: usize,
        /// Nodes of the topology.
        there: usize,
    },
    /// A store for backups has its place on the hub.
    #[error("the topology has no hub for the store of backups")]
    NoHub,
    /// No store for backups.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No Java that Zeebe runs on.
    #[error(transparent)]
    Java(#[from] JavaError),
    /// No Zeebe.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An image of it.
    #[error(transparent)]
    Image(#[from] ::image::ImageError),
    /// A file or directory of a broker.
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
    /// A process could not be started or ended.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A process that was to be signalled does not run right now.
    #[error("{0} does not run right now")]
    NotRunning(String),
    /// The cluster was not complete in time.
    #[error("Zeebe was not complete within {} s: {why}; the last words of {name}:\n{log}", limit.as_secs())]
    NotComplete {
        /// How long it was waited for.
        limit: Duration,
        /// What the last look showed.
        why: String,
        /// Whose log is shown.
        name: String,
        /// Its last lines.
        log: String,
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
    /// A broker answered with an error.
    #[error("{path} at {address}: Zeebe says {status}: {said}")]
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
    /// A broker answered with something that is not understood.
    #[error("{path} at {address}: {what} in {said}")]
    Answer {
        /// What was asked.
        path: String,
        /// Whom.
        address: SocketAddr,
        /// What is missing or malformed.
        what: &'static str,
        /// The body.
        said: String,
    },
    /// Not exactly one broker takes itself for the leader of a partition.
    #[error("{0}")]
    Leaders(String),
}

impl From<DirectoryError> for ZeebeError {
    fn from(error: DirectoryError) -> Self {
        Self::File { path: error.path, source: error.source }
    }
}

impl fmt::Debug for ZeebeError {
    /// As the sentence, because tests show it when they unwrap.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

//! Kubernetes clusters of real components: etcd, API server, controller-manager and scheduler on the hub of a
//! topology, and on each of its nodes a kubelet with containerd, and kube-proxy.
//!
//! Each node is a machine of its own, with a network, mounts, processes and a name that are nobody else's.
//! Nothing is written to this machine but to a directory among its temporary files, and to control groups that
//! have the names of the nodes' network namespaces; all of it goes with the cluster.

mod addressing;
mod authority;
mod cluster;
mod components;
mod control_plane;
mod fake_nodes;
mod kubectl;
mod machine;
mod names;
mod node;
mod packages;
mod product;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use image::ImageError;
use thiserror::Error;

pub use ::image::Image;
pub use authority::AuthorityError;
pub use cluster::Cluster;
pub use components::{Components, ComponentsError};
pub use kubectl::Kubectl;
pub use node::Node;
pub use packages::PackagesError;
pub use product::product;

use crate::{
    control_group::ControlGroupError, directory::DirectoryError, netns::NetnsError,
    process::ProcessError, topology::TopologyError,
};

/// The image in which pods begin.
pub const PAUSE: &str = "schism.invalid/pause:1";

/// An image with a shell and what belongs to it.
pub const BUSYBOX: &str = "schism.invalid/busybox:1";

/// Why something with a cluster failed.
#[derive(Error)]
pub enum KubernetesError {
    /// The components of Kubernetes.
    #[error(transparent)]
    Components(#[from] ComponentsError),
    /// What nodes run besides.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// A certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// An image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A control group.
    #[error(transparent)]
    ControlGroup(#[from] ControlGroupError),
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The network of the nodes.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Nobody could be told the names of services.
    #[error("names of services cannot be answered: {source}")]
    Names {
        /// Why.
        source: io::Error,
    },
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The topology has no place for the control plane.
    #[error("the topology has no hub for the control plane")]
    NoHub,
    /// A machine did not start, or a program on it failed.
    #[error("on {name}: {said}")]
    Machine {
        /// Its name.
        name: String,
        /// What was said.
        said: String,
    },
    /// Something did not get ready in time.
    #[error("{what} is not ready: {said}")]
    NotReady {
        /// What.
        what: String,
        /// What its processes said last.
        said: String,
    },
    /// `kubectl` failed.
    #[error("`kubectl {line}`: {said}")]
    Kubectl {
        /// Its arguments.
        line: String,
        /// What it said.
        said: String,
    },
}

impl KubernetesError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

impl fmt::Debug for KubernetesError {
    /// As the sentence, because tests show it when they unwrap.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

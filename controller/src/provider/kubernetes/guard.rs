//! What of a cluster is never hit unless somebody has said so. Pure.

use std::collections::BTreeSet;

use cluster::{Node, Pod, Service};
use fault::KubernetesNamespace;

/// The namespaces without which no cluster works.
const OF_THE_CLUSTER: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// The service by which everything in a cluster reaches its API server: its namespace and its name.
const OF_THE_API_SERVER: (&str, &str) = ("default", "kubernetes");

/// The label, and its value, of what Schism itself consists of.
const OF_SCHISM: (&str, &str) = ("app.kubernetes.io/part-of", "schism");

/// What may be hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// The namespace in which this controller lives, if it lives in one.
    pub own: Option<String>,
    /// The namespaces whose pods may be hit; `None` for all but the cluster's own.
    pub allowed: Option<BTreeSet<KubernetesNamespace>>,
    /// Whether pods on nodes of the control plane may be.
    pub control_plane: ControlPlane,
}

/// Whether pods on nodes of the control plane may be hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlPlane {
    /// They are refused.
    #[default]
    Protected,
    /// They are like all others.
    Allowed,
}

/// Why something is not hit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Protected {
    /// A part of every cluster.
    #[error("namespace {0} is the cluster's own")]
    Namespace(String),
    /// Not one of those that were allowed.
    #[error("namespace {namespace} is none of those whose pods may be hit here: {}", list(allowed))]
    NotAllowed {
        /// Which.
        namespace: String,
        /// Those that were allowed.
        allowed: BTreeSet<KubernetesNamespace>,
    },
    /// A part of Schism.
    #[error("it is a part of Schism itself")]
    Schism,
    /// The way to the API server.
    #[error("it leads to the API server")]
    ApiServer,
    /// A node of the control plane.
    #[error("it is a node of the control plane")]
    OfControlPlane,
    /// On a node of the control plane.
    #[error("it is on {0}, a node of the control plane")]
    ControlPlane(String),
}

impl Protected {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Namespace(_) | Self::NotAllowed { .. } => {
                "whoever runs the controller may allow it: namespaces in [kubernetes] of its schism.toml"
            }
            Self::Schism => "the tool never cuts its own branch",
            Self::ApiServer | Self::OfControlPlane | Self::ControlPlane(_) => {
                "whoever runs the controller may allow it: control-plane = true in [kubernetes] of its \
                 schism.toml"
            }
        }
    }
}

impl Guard {
    /// Makes sure that pods of a namespace may be hit.
    ///
    /// # Errors
    /// They may not.
    pub fn admit(&self, namespace: &str) -> Result<(), Protected> {
        if self.own.as_deref() == Some(namespace) {
            return Err(Protected::Schism);
        }
        match &self.allowed {
            Some(allowed) if allowed.iter().any(|one| one.as_str() == namespace) => Ok(()),
            Some(allowed) => Err(Protected::NotAllowed {
                namespace: namespace.to_owned(),
                allowed: allowed.clone(),
            }),
            None if OF_THE_CLUSTER.contains(&namespace) => {
                Err(Protected::Namespace(namespace.to_owned()))
            }
            None => Ok(()),
        }
    }

    /// Makes sure that a service may be hit, whose namespace may.
    ///
    /// # Errors
    /// It may not.
    pub fn admit_service(&self, namespace: &str, service: &Service) -> Result<(), Protected> {
        let (label, value) = OF_SCHISM;
        if service.metadata.labels.get(label).is_some_and(|found| found == value) {
            return Err(Protected::Schism);
        }
        let leads = (namespace, service.metadata.name.as_str()) == OF_THE_API_SERVER;
        match self.control_plane {
            ControlPlane::Protected if leads => Err(Protected::ApiServer),
            ControlPlane::Protected | ControlPlane::Allowed => Ok(()),
        }
    }

    /// Makes sure that a node may be cordoned.
    ///
    /// # Errors
    /// It may not.
    pub fn admit_node(&self, node: &Node) -> Result<(), Protected> {
        match self.control_plane {
            ControlPlane::Protected if node.is_of_control_plane() => Err(Protected::OfControlPlane),
            ControlPlane::Protected | ControlPlane::Allowed => Ok(()),
        }
    }

    /// Makes sure that a pod on a node may be hit, whose namespace may.
    ///
    /// # Errors
    /// It may not.
    pub fn admit_pod(&self, pod: &Pod, node: Option<&Node>) -> Result<(), Protected> {
        let (label, value) = OF_SCHISM;
        if pod.metadata.labels.get(label).is_some_and(|found| found == value) {
            return Err(Protected::Schism);
        }
        match (self.control_plane, node) {
            (ControlPlane::Protected, Some(node)) if node.is_of_control_plane() => {
                Err(Protected::ControlPlane(node.metadata.name.clone()))
            }
            (ControlPlane::Protected | ControlPlane::Allowed, _) => Ok(()),
        }
    }
}

fn list(namespaces: &BTreeSet<KubernetesNamespace>) -> String {
    namespaces.iter().map(KubernetesNamespace::as_str).collect::<Vec<_>>().join(", ")
}

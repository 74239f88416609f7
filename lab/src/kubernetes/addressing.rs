//! Which addresses pods and services have; all of them inside namespaces only.

/// Addresses of services, of both families.
pub(super) const SERVICES: &str = "10.96.0.0/16,fd79::/108";

/// Addresses of all pods, of both families.
pub(super) const PODS: &str = "10.124.0.0/16,fd78::/48";

/// Addresses of the pods of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pods {
    pub(super) v4: String,
    pub(super) v6: String,
}

impl Pods {
    /// Those of the node with this number, from 1.
    pub(super) fn of(node: usize) -> Self {
        Self { v4: format!("10.124.{node}.0/24"), v6: format!("fd78:0:0:{node:x}::/64") }
    }
}

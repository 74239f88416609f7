//! Who may do what in the whole cluster.

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// A ClusterRoleBinding: which there are, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ClusterRoleBinding {
    /// Its name and age.
    pub metadata: Metadata,
}

resource!(
    ClusterRoleBinding,
    "rbac.authorization.k8s.io",
    "v1",
    "ClusterRoleBinding",
    "clusterrolebindings"
);

//! Leases, by which one of several is the one that acts.

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// A Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Lease {
    /// Its name.
    pub metadata: Metadata,
    /// Who has it.
    pub spec: LeaseSpec,
}

resource!(Lease, "coordination.k8s.io", "v1", "Lease", "leases");

/// Who has a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LeaseSpec {
    /// Who; nobody where it is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_identity: Option<String>,
    /// How long it is left to its holder who does not renew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_duration_seconds: Option<u32>,
    /// Since when, by the clock of its holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acquire_time: Option<String>,
    /// When it was last renewed, by the clock of its holder: for people, nobody else's clock need agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_time: Option<String>,
    /// How often its holder has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_transitions: Option<u64>,
}

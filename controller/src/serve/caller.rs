//! Who asks.

use link::Role;

/// Who asks, as the connection says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// For people and the audit log.
    pub(super) name: String,
    /// What it may do.
    pub(super) role: Role,
}

impl Caller {
    /// Somebody who may open the controller's own socket, which is its owner alone.
    pub(super) fn local(uid: u32) -> Self {
        Self { name: format!("uid {uid} on this machine"), role: Role::Admin }
    }
}

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
    /// Somebody who has opened the controller's own socket: its owner, or root. Whoever else could, by a
    /// directory that was opened to others, may look.
    pub(super) fn local(uid: Option<u32>) -> Self {
        let owner = nix::unistd::geteuid().as_raw();
        let role = match uid {
            Some(uid) if uid == 0 || uid == owner => Role::Admin,
            Some(_) | None => Role::Viewer,
        };
        let who = uid.map_or("somebody".to_owned(), |uid| format!("uid {uid}"));
        Self { name: format!("{who} on this machine"), role }
    }
}

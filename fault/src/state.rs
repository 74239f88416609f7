//! What has become of a fault.

use std::fmt;

use serde::Serialize;

/// The state of a fault on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Everything is in place; it does not act before it is committed.
    Prepared,
    /// In the kernel, read back, and ours comes first.
    Active,
    /// Another program stands before ours and may hide packets from it.
    Shadowed,
    /// Being taken out.
    Healing,
    /// Taken out by request.
    Healed,
    /// Its lease or deadline ended.
    Expired,
    /// What it acted on is not there any more.
    Gone(Gone),
    /// It could not be put in, or could not be taken out whole.
    Failed,
}

/// What is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gone {
    /// The target's namespace.
    Namespace,
    /// The target's process.
    Process,
    /// The peer whose addresses were followed: they may soon be somebody else's.
    Peer,
}

impl State {
    /// Whether it will not change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Prepared | Self::Active | Self::Shadowed | Self::Healing => false,
            Self::Healed | Self::Expired | Self::Gone(_) | Self::Failed => true,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Shadowed => "shadowed",
            Self::Healing => "healing",
            Self::Healed => "healed",
            Self::Expired => "expired",
            Self::Gone(Gone::Namespace) => "gone",
            Self::Gone(Gone::Process) => "gone (process)",
            Self::Gone(Gone::Peer) => "gone (peer)",
            Self::Failed => "failed",
        })
    }
}

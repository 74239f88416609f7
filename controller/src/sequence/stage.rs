//! How far an intent is.

use std::fmt;

/// What has become of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Written, nothing touched.
    Pending,
    /// On its way in.
    Preparing,
    /// It acts everywhere.
    Active,
    /// On its way out.
    Healing,
    /// Out by request, confirmed everywhere.
    Healed,
    /// Out at its deadline.
    Expired,
    /// It could not be put in or kept; out wherever it was.
    Failed,
    /// A node did not confirm its end; its lease ends it.
    Unconfirmed,
}

impl Stage {
    /// Whether nothing more will come of it, unless a node that was lost comes back.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Preparing | Self::Active | Self::Healing => false,
            Self::Healed | Self::Expired | Self::Failed | Self::Unconfirmed => true,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Preparing => "preparing",
            Self::Active => "active",
            Self::Healing => "healing",
            Self::Healed => "healed",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Unconfirmed => "unconfirmed",
        })
    }
}

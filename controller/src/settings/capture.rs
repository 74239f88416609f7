//! `[capture]`: whether packets of targets are handed over.

use agent::server::Captures;
use serde::Deserialize;

/// `[capture]`, as far as it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CaptureSettings {
    /// Whether they are, to whoever has the role for it.
    pub allowed: bool,
}

impl CaptureSettings {
    /// What a controller does by it.
    #[must_use]
    pub const fn captures(self) -> Captures {
        if self.allowed { Captures::Allowed } else { Captures::Refused }
    }
}

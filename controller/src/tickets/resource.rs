//! The kind, as the API server has it.

use cluster::{Kind, Metadata, Resource};
use serde::{Deserialize, Serialize};

use crate::keeping::{GROUP, VERSION, or_nothing};

/// Packets of a pod of its namespace that somebody wants to have.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Capture {
    pub(crate) metadata: Metadata,
    #[serde(deserialize_with = "or_nothing")]
    pub(crate) spec: Spec,
    /// As it was last written.
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Status::is_nothing")]
    pub(crate) status: Status,
}

impl Resource for Capture {
    const KIND: Kind = Kind { group: GROUP, version: VERSION, kind: "Capture", plural: "captures" };

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What one asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    /// Whose packets.
    pub(crate) target: String,
    /// Only those from or to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// How many bytes of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snaplen: Option<u16>,
    /// How much in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<String>,
    /// How long.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<String>,
    /// The hash of the secret by which the packets are had (SHA-256, hexadecimal).
    pub(crate) ticket: String,
    /// Who says that it is his: the policy makes sure of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requested_by: Option<String>,
}

/// What is known of one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<Phase>,
    /// The pod in which the ticket is good, NAMESPACE/NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<String>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// How many packets and bytes of them were handed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// How many more passed and were not seen; nothing where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missed: Option<u64>,
}

/// How far things are with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Phase {
    /// The ticket is good, for a minute.
    Ready,
    /// It was used.
    Running,
    /// All that there was has been handed over.
    Over,
    /// Nobody has used the ticket in time, or its controller is gone.
    Expired,
    /// It is not done.
    Refused,
}

impl Phase {
    /// Whether nothing more comes of it.
    pub(crate) const fn is_final(self) -> bool {
        match self {
            Self::Ready | Self::Running => false,
            Self::Over | Self::Expired | Self::Refused => true,
        }
    }
}

impl Status {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// One that says why.
    pub(crate) fn of(phase: Phase, message: impl ToString) -> Self {
        Self { phase: Some(phase), message: Some(message.to_string()), ..Self::default() }
    }
}

impl Capture {
    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        format!("Capture {namespace}/{}", self.metadata.name)
    }

    /// Who asks, for the audit log.
    pub(crate) fn asker(&self) -> String {
        let place = self.place();
        match &self.spec.requested_by {
            Some(who) => format!("{who}, by {place}"),
            None => format!("whoever created {place}"),
        }
    }
}

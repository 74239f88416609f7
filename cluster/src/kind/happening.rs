//! Events, by which objects are told what happens to them.

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// What an object is told: an event, as Kubernetes calls it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Happening {
    /// Its name, of which there is one in its namespace.
    pub metadata: Metadata,
    /// The object.
    pub involved_object: Involved,
    /// What happened, in one word for programs.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// Whether it is as it should be (`Normal`) or not (`Warning`).
    #[serde(rename = "type")]
    pub tone: String,
    /// Who says so.
    pub source: Source,
    /// When it happened first (RFC 3339).
    pub first_timestamp: Option<String>,
    /// When it happened last.
    pub last_timestamp: Option<String>,
    /// How often.
    pub count: u32,
}

resource!(Happening, "", "v1", "Event", "events");

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Involved {
    /// Group and version of its kind.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for an object of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which one it is.
    pub uid: String,
}

/// Who tells of something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Source {
    /// What it is.
    pub component: String,
}

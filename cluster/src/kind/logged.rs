//! Pods, as far as it matters whose log is whose.

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// A pod with the lives of its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct LoggedPod {
    /// Which one it is.
    pub metadata: Metadata,
    /// What became of it.
    pub status: LoggedStatus,
}

resource!(LoggedPod, "", "v1", "Pod", "pods");

/// What became of such a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LoggedStatus {
    /// Its containers.
    pub container_statuses: Vec<LoggedContainer>,
    /// Those that begin before, and may stay.
    pub init_container_statuses: Vec<LoggedContainer>,
}

/// A container of such a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LoggedContainer {
    /// Its name in its pod.
    pub name: String,
    /// Which life of it is there, or was last; empty before its first.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// How that is.
    pub state: LoggedState,
    /// How the one before it is.
    pub last_state: LoggedState,
}

/// How a life of a container is, as far as that is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct LoggedState {
    /// There if it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<super::pod::Running>,
    /// There if it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Terminated>,
}

/// A life of a container that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Terminated {
    /// Which it was.
    #[serde(rename = "containerID")]
    pub container_id: String,
}

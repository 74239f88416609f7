//! Pods.

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Pod {
    /// Its names, labels and owners.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: PodSpec,
    /// What became of it.
    pub status: PodStatus,
}

resource!(Pod, "", "v1", "Pod", "pods");

/// What a pod should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// Its node, once it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// What it calls itself, where it was told to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The service under which others find it by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// Whether its network is that of its node.
    pub host_network: bool,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Those that begin before, and may stay.
    pub init_containers: Vec<Container>,
}

/// A container as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Container {
    /// Its name in its pod.
    pub name: String,
    /// Where it listens, as far as it says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
}

/// Where a container listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerPort {
    /// The port.
    pub container_port: u16,
}

/// What became of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// How far it is.
    pub phase: Phase,
    /// What was observed of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<PodCondition>,
    /// Its addresses, of one family each.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    /// What became of its containers.
    pub container_statuses: Vec<ContainerStatus>,
    /// What became of those that begin before.
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// One thing that was observed of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct PodCondition {
    /// What.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is so: `True`, `False` or `Unknown`.
    pub status: String,
}

impl Pod {
    /// Whether it is of use: all of its containers are ready, and so is whatever else it waits for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|one| one.kind == "Ready" && one.status == "True")
    }
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Phase {
    /// It has no node yet, or not all of its images.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers have ended well.
    Succeeded,
    /// All containers have ended.
    Failed,
    /// Nobody knows, or a word of the future.
    #[default]
    #[serde(other)]
    Unknown,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// What became of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name in its pod.
    pub name: String,
    /// Its runtime and what that calls it: `containerd://…`. Empty before its first start.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// How it is.
    pub state: ContainerState,
}

/// How a container is, as far as that is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ContainerState {
    /// There if it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// A container that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Running {}

impl ContainerStatus {
    /// What the runtime calls it; `None` before its first start.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.container_id.split_once("://").map(|(_, id)| id).filter(|id| !id.is_empty())
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.running.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_is_left_alone() {
        let text = r#"{
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "zeebe-0", "namespace": "camunda", "uid": "u", "resourceVersion": "7",
                "managedFields": [{}], "labels": { "app": "zeebe" },
                "ownerReferences": [
                    { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "zeebe", "uid": "s", "controller": true }
                ]
            },
            "spec": { "nodeName": "n1", "containers": [{ "name": "zeebe", "image": "x" }], "new": 1 },
            "status": {
                "phase": "Dreaming", "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd78::1" }],
                "containerStatuses": [{
                    "name": "zeebe", "containerID": "containerd://abc", "state": { "running": {} }
                }]
            }
        }"#;
        let pod: Pod = serde_json::from_str(text).unwrap();
        assert_eq!(pod.metadata.controller().map(|owner| owner.uid.as_str()), Some("s"));
        assert_eq!(pod.status.phase, Phase::Unknown);
        assert_eq!(pod.status.pod_ips.len(), 2);
        let [status] = pod.status.container_statuses.as_slice() else { panic!() };
        assert_eq!((status.id(), status.is_running()), (Some("abc"), true));
        assert!(!pod.spec.host_network);
        assert!(!pod.is_ready());
        let ready =
            r#"{"status":{"conditions":[{"type":"Ready","status":"True","lastProbeTime":null}]}}"#;
        assert!(serde_json::from_str::<Pod>(ready).unwrap().is_ready());
        let bare: Pod = serde_json::from_str("{}").unwrap();
        assert_eq!(bare, Pod::default());
    }
}

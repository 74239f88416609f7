//! Nodes.

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Node {
    /// Its name and labels.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: NodeSpec,
    /// How it is.
    pub status: NodeStatus,
}

resource!(Node, "", "v1", "Node", "nodes");

/// What a node should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Whether no new pods are to come to it: somebody has cordoned it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unschedulable: bool,
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    /// What was observed of it.
    pub conditions: Vec<NodeCondition>,
    /// What its kubelet says of it.
    pub node_info: NodeInfo,
}

/// One thing that was observed of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeCondition {
    /// What.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is so: `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word.
    pub reason: String,
}

/// What a node's kubelet says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeInfo {
    /// The kernel's identifier of its boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
}

impl Node {
    /// The labels by which a node is one of the control plane.
    pub const CONTROL_PLANE: [&str; 2] =
        ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

    /// Why it is not ready; `None` if it is.
    #[must_use]
    pub fn unready(&self) -> Option<&str> {
        match self.status.conditions.iter().find(|condition| condition.kind == "Ready") {
            Some(condition) if condition.status == "True" => None,
            Some(condition) if !condition.reason.is_empty() => Some(&condition.reason),
            Some(_) => Some("its kubelet does not say why"),
            None => Some("its kubelet has not reported yet"),
        }
    }

    /// Whether it is one of the control plane.
    #[must_use]
    pub fn is_of_control_plane(&self) -> bool {
        Self::CONTROL_PLANE.iter().any(|label| self.metadata.labels.contains_key(*label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_if_its_kubelet_says_so() {
        let node = |conditions: &str| -> Node {
            serde_json::from_str(&format!(r#"{{"status":{{"conditions":{conditions}}}}}"#)).unwrap()
        };
        let pressure = r#"{"type":"MemoryPressure","status":"False"}"#;
        let ready = node(&format!(r#"[{pressure},{{"type":"Ready","status":"True"}}]"#));
        assert_eq!(ready.unready(), None);
        let gone = node(r#"[{"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown"}]"#);
        assert_eq!(gone.unready(), Some("NodeStatusUnknown"));
        assert!(node(&format!("[{pressure}]")).unready().is_some());
        assert!(!ready.is_of_control_plane() && !ready.spec.unschedulable);
        let cordoned: Node = serde_json::from_str(r#"{"spec":{"unschedulable":true}}"#).unwrap();
        assert!(cordoned.spec.unschedulable);
    }
}

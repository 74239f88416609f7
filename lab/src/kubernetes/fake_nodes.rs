//! Nodes that are not there, played by kwok: they are ready, and pods on them run, with addresses and nothing else.

use serde_json::{Value, json};

/// By what kwok knows its nodes; they are tainted with it, too, so that pods come only where they are asked to.
pub(super) const MARK: &str = "kwok.x-k8s.io/node";

/// Where their pods have addresses, which nobody answers at.
pub(super) const PODS: &str = "10.125.0.1/16";

/// What a node is said to have: room for ten times the pods that a node has by default.
const ROOM: &str = "1100";

/// The name of one, from 1.
pub(super) fn name(number: usize) -> String {
    format!("fake-{number}")
}

/// That many nodes, as a list of objects.
pub(super) fn objects(count: usize) -> Value {
    let node = |number| {
        let name = name(number);
        let has = json!({ "cpu": "64", "memory": "256Gi", "pods": ROOM });
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name, "annotations": { MARK: "fake" },
                "labels": { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                    "type": "fake" },
            },
            "spec": { "taints": [{ "key": MARK, "value": "fake", "effect": "NoSchedule" }] },
            "status": { "allocatable": has, "capacity": has },
        })
    };
    json!({ "apiVersion": "v1", "kind": "List", "items": (1..=count).map(node).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_name_of_its_own_and_the_mark_of_who_plays_it() {
        let all = objects(3);
        let nodes = all["items"].as_array().unwrap();
        let names = ["fake-1", "fake-2", "fake-3"];
        assert_eq!(nodes.len(), names.len());
        for (node, name) in nodes.iter().zip(names) {
            assert_eq!(node["metadata"]["name"], name);
            assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], name);
            assert_eq!(node["metadata"]["annotations"][MARK], "fake");
            assert_eq!(node["spec"]["taints"][0]["key"], MARK);
        }
    }
}

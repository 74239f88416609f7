//! What a controller may ask of the API server: each right is one that some part of it uses.

use serde_json::{Value, json};

use super::controller::{COMPONENT, SERVICE};
use super::values::Values;
use super::{labels, metadata};
use crate::cli::AllowArg;
use crate::store;

/// A right: verbs on resources of a group, of those names alone where names are given.
struct Right {
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    names: &'static [&'static str],
}

/// In the whole cluster.
const IN_CLUSTER: [Right; 7] = [
    // What may have been meant.
    Right { group: "", resources: &["namespaces"], verbs: &["get", "list"], names: &[] },
    // What selectors name, where it is, and what becomes of it.
    Right {
        group: "",
        resources: &["pods", "nodes", "services"],
        verbs: &["get", "list", "watch"],
        names: &[],
    },
    Right {
        group: "discovery.k8s.io",
        resources: &["endpointslices"],
        verbs: &["get", "list", "watch"],
        names: &[],
    },
    Right {
        group: "apps",
        resources: &["statefulsets", "deployments"],
        verbs: &["get", "list"],
        names: &[],
    },
    Right { group: "apps", resources: &["replicasets"], verbs: &["list"], names: &[] },
    // How many pods may be down at once.
    Right { group: "policy", resources: &["poddisruptionbudgets"], verbs: &["list"], names: &[] },
    // Whose the token of an agent is.
    Right {
        group: "authentication.k8s.io",
        resources: &["tokenreviews"],
        verbs: &["create"],
        names: &[],
    },
];

/// In its own namespace. What is created cannot be limited by its name.
const IN_NAMESPACE: [Right; 6] = [
    // The authority that agents trust, and how it is shown to them.
    Right { group: "", resources: &["secrets", "configmaps"], verbs: &["create"], names: &[] },
    Right {
        group: "",
        resources: &["secrets"],
        verbs: &["get", "patch"],
        names: &["schism-authority"],
    },
    Right {
        group: "",
        resources: &["configmaps"],
        verbs: &["get", "patch"],
        names: &["schism-ca"],
    },
    // Who leads.
    Right { group: "coordination.k8s.io", resources: &["leases"], verbs: &["create"], names: &[] },
    Right {
        group: "coordination.k8s.io",
        resources: &["leases"],
        verbs: &["get", "patch"],
        names: &[SERVICE],
    },
    // The store.
    Right {
        group: "schism.dev",
        resources: &["records"],
        verbs: &["list", "create", "patch", "delete"],
        names: &[],
    },
];

/// What pods are deleted and evicted by.
const OF_PODS: &[Right] = &[
    Right { group: "", resources: &["pods"], verbs: &["delete"], names: &[] },
    Right { group: "", resources: &["pods/eviction"], verbs: &["create"], names: &[] },
];

/// What nodes are cordoned by.
const OF_NODES: &[Right] =
    &[Right { group: "", resources: &["nodes"], verbs: &["patch"], names: &[] }];

/// What is given only where somebody asks for it: a role with its binding.
pub(super) fn allowed(values: &Values, what: AllowArg) -> Vec<Value> {
    let (rights, name) = match what {
        AllowArg::Pods => (OF_PODS, "pods"),
        AllowArg::Nodes => (OF_NODES, "nodes"),
    };
    let in_cluster = json!({ "name": values.in_cluster(name), "labels": labels(COMPONENT) });
    vec![role("ClusterRole", &in_cluster, rights), binding("ClusterRole", &in_cluster, values)]
}

/// The resource of the store, and roles with their bindings.
pub(super) fn objects(values: &Values) -> Vec<Value> {
    let mut records = store::definition();
    records["metadata"]["labels"] = labels(COMPONENT);
    let in_cluster = json!({
        "name": values.in_cluster("controller"), "labels": labels(COMPONENT),
    });
    let own = || metadata(values, SERVICE, COMPONENT);
    vec![
        records,
        role("ClusterRole", &in_cluster, &IN_CLUSTER),
        binding("ClusterRole", &in_cluster, values),
        role("Role", &own(), &IN_NAMESPACE),
        binding("Role", &own(), values),
    ]
}

fn role(kind: &str, metadata: &Value, rights: &[Right]) -> Value {
    let rule = |right: &Right| {
        let mut rule = json!({
            "apiGroups": [right.group], "resources": right.resources, "verbs": right.verbs,
        });
        if !right.names.is_empty() {
            rule["resourceNames"] = json!(right.names);
        }
        rule
    };
    let rules: Vec<Value> = rights.iter().map(rule).collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": metadata, "rules": rules,
    })
}

fn binding(kind: &str, metadata: &Value, values: &Values) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
        "metadata": metadata,
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"],
        },
        "subjects": [{
            "kind": "ServiceAccount", "name": SERVICE, "namespace": values.namespace(),
        }],
    })
}

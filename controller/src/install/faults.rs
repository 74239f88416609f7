//! Faults, experiments and disruptions as objects: their kinds, who may make them, and what of them the controller may do.

use serde_json::{Value, json};

use super::controller::{COMPONENT, SERVICE};
use super::labels;
use super::values::Values;
use crate::disruptions;
use crate::experiments;
use crate::keeping::GROUP;
use crate::objects::{self, VERB};
use crate::settings::AgentsBy;
use crate::tickets;

/// Everything of it, where controllers have their store in the cluster: others keep no objects.
pub(super) fn objects(values: &Values) -> Vec<Value> {
    match values.agents_by {
        AgentsBy::Token => {}
        AgentsBy::Certificate => return Vec::new(),
    }
    let own = values.in_cluster("faults");
    let mut all: Vec<Value> = objects::definitions().into_iter().collect();
    all.extend(experiments::definitions());
    all.extend(disruptions::definitions());
    all.extend(objects::policies());
    all.extend(experiments::policies());
    all.extend(disruptions::policies());
    all.push(tickets::definition());
    all.extend(tickets::policy());
    all.extend(roles(&own));
    all.push(forwarding(values));
    all.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": own },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": own },
        "subjects": [{ "kind": "ServiceAccount", "name": SERVICE, "namespace": values.namespace() }],
    }));
    for object in &mut all {
        object["metadata"]["labels"] = merged(&object["metadata"]["labels"]);
    }
    all
}

fn merged(own: &Value) -> Value {
    let mut all = labels(COMPONENT);
    for (key, value) in own.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    all
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}

fn role(name: &Value, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": name }, "rules": rules,
    })
}

/// Of those who fetch packets: they come through the controller's pod.
fn forwarding(values: &Values) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "schism-forward", "namespace": values.namespace() },
        "rules": [rule("", &["pods"], &["get"]), rule("", &["pods/portforward"], &["create"])],
    })
}

/// Of the controller; of those who may read, of those who may make faults or have pods go in a namespace, and anywhere.
fn roles(own: &Value) -> [Value; 7] {
    let kinds = ["faults", "clusterfaults", "experiments", "clusterexperiments"];
    let disrupting = ["disruptions", "clusterdisruptions"];
    let all = [&kinds[..], &disrupting].concat();
    let statuses: Vec<String> = all.iter().map(|kind| format!("{kind}/status")).collect();
    let statuses: Vec<&str> = statuses.iter().map(String::as_str).collect();
    // What a fault is cannot be changed: to patch one is to ask for its counts.
    let whole = ["get", "list", "watch", "create", "patch", "delete"];
    let made = ["get", "list", "watch", "create", "delete"];
    let of_faults = [kinds[0], kinds[1]];
    let mut known =
        rule("apiextensions.k8s.io", &["customresourcedefinitions"], &["list", "watch"]);
    known["resourceNames"] = json!(kinds.map(|plural| format!("{plural}.{GROUP}")));
    let mut viewer = role(
        &json!("schism-view"),
        &[rule(GROUP, &[&all[..], &["captures"]].concat(), &["get", "list", "watch"])],
    );
    // Whoever may read what is in a namespace may read this, too.
    viewer["metadata"]["labels"] = json!({ "rbac.authorization.k8s.io/aggregate-to-view": "true" });
    [
        role(
            own,
            &[
                rule(GROUP, &all, &["get", "list", "watch", "patch"]),
                rule(GROUP, &statuses, &["patch"]),
                // Those that the Job of an experiment has left.
                rule(GROUP, &of_faults, &["delete"]),
                rule(GROUP, &["captures"], &["get", "list", "watch"]),
                rule(GROUP, &["captures/status"], &["patch"]),
                rule("", &["namespaces"], &["get", "list", "watch"]),
                rule("", &["events"], &["create"]),
                // Which installation keeps them, and of which fields the cluster knows.
                rule("rbac.authorization.k8s.io", &["clusterrolebindings"], &["list", "watch"]),
                known,
            ],
        ),
        viewer,
        role(
            &json!("schism-inject"),
            &[rule(GROUP, &["faults", "experiments"], &whole), rule("", &["pods"], &[VERB])],
        ),
        role(
            &json!("schism-capture"),
            &[rule(GROUP, &["captures"], &made), rule("", &["pods"], &[tickets::VERB])],
        ),
        role(
            &json!("schism-inject-anywhere"),
            &[rule(GROUP, &kinds, &whole), rule("", &["pods", "nodes"], &[VERB])],
        ),
        role(
            &json!("schism-disrupt"),
            &[rule(GROUP, &disrupting[..1], &made), rule("", &["pods"], &[disruptions::VERB])],
        ),
        role(
            &json!("schism-disrupt-anywhere"),
            &[rule(GROUP, &disrupting, &made), rule("", &["pods", "nodes"], &[disruptions::VERB])],
        ),
    ]
}

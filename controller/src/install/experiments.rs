//! Experiments that run as Jobs: what the controller may do for them, in the namespaces that are named.

use serde_json::{Value, json};

use super::controller::{COMPONENT, SERVICE};
use super::labels;
use super::values::{Values, expression};
use crate::settings::AgentsBy;

/// The rights in each namespace, where controllers keep objects.
pub(super) fn objects(values: &Values) -> Vec<Value> {
    match values.agents_by {
        AgentsBy::Token => {}
        AgentsBy::Certificate => return Vec::new(),
    }
    let (name, own) = (values.in_cluster("experiments"), values.namespace());
    values.spaces().iter().flat_map(|space| rights(&name, &json!(space), &own)).collect()
}

/// The same in the words of a chart, for each of its namespaces.
pub(super) fn of_chart() -> [Value; 2] {
    let name = expression(r#"printf "schism:%s:experiments" $.Release.Namespace"#);
    rights(&name, &expression("."), &expression("$.Release.Namespace"))
}

/// What is asked for a Job: to make it with what it runs, to see what becomes of it, and to have it end.
fn rights(name: &Value, namespace: &Value, own: &Value) -> [Value; 2] {
    let metadata = json!({ "name": name, "namespace": namespace, "labels": labels(COMPONENT) });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
        "rules": [
            {
                "apiGroups": ["batch"], "resources": ["jobs"],
                "verbs": ["get", "list", "watch", "create", "patch"],
            },
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create"] },
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": SERVICE, "namespace": own }],
    });
    [role, binding]
}

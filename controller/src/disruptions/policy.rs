//! Who may have pods go and nodes cordoned by objects: decided by the API server, whoever writes them and with what.
//!
//! The right is a verb of its own, `disrupt` on pods in the namespace, and on nodes for nodes: whoever may put faults in
//! need not have it. Draining takes it on the pods of all namespaces as well, since nobody knows whose are on a node.

use serde_json::{Value, json};

use super::definition::UNCHANGED;
use super::resource::Kind;
use crate::keeping::GROUP;
use crate::objects::policy::{in_namespace, own_name, policy, validation};

/// The verb, on pods and nodes.
pub(crate) const VERB: &str = "disrupt";

/// The policies with their bindings.
pub(crate) fn policies() -> Vec<Value> {
    let unchanged = format!("unchanged-disruptions.{GROUP}");
    let resources = Kind::ALL.map(Kind::plural);
    let same = json!({
        "expression": "object.spec == oldObject.spec", "message": UNCHANGED, "reason": "Invalid",
    });
    let mut all: Vec<Value> = Kind::ALL.into_iter().flat_map(of).collect();
    all.extend(policy(&unchanged, "UPDATE", &resources, &json!([]), vec![same]));
    all
}

fn of(kind: Kind) -> [Value; 2] {
    let name = format!("{}.{GROUP}", kind.plural());
    let mut validations = match kind {
        Kind::Disruption => {
            in_namespace(VERB, "restart, terminate or evict pods", "schism-disrupt")
        }
        Kind::ClusterDisruption => of_nodes(),
    };
    validations.push(own_name());
    policy(&name, "CREATE", &[kind.plural()], &json!([]), validations)
}

fn of_nodes() -> Vec<Value> {
    let may = |resource: &str| {
        format!("authorizer.group('').resource('{resource}').check('{VERB}').allowed()")
    };
    let role = "as ClusterRole schism-disrupt-anywhere has it'";
    vec![
        validation(
            &may("nodes"),
            &format!(
                "request.userInfo.username + ' may not cordon nodes: that takes the verb {VERB} on nodes, {role}"
            ),
        ),
        validation(
            &format!("!has(object.spec.drain) || {}", may("pods")),
            &format!(
                "request.userInfo.username + ' may not drain nodes, on which pods of any namespace may be: that takes \
                 the verb {VERB} on pods of all namespaces, {role}"
            ),
        ),
    ]
}

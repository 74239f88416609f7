//! Who may have what put in by objects: decided by the API server, whoever writes them and with what.
//!
//! The right is a verb of its own, `inject` on pods, in every namespace that is named; on nodes for whatever is not
//! pods by their names. A namespace lets faults in by a label. Nobody asks in the name of another.

use serde_json::{Value, json};

use super::consent::{ALLOWED, LABEL};
use super::resource::Kind;
use crate::keeping::{GROUP, VERSION};

/// The verb.
pub(crate) const VERB: &str = "inject";

/// What names pods of a namespace, in CEL (RE2): nothing else begins like that.
const PODS: &str = "^((one|all|[0-9]+%?):)?k8s:[a-z0-9-]+/";

/// Both policies with their bindings.
pub(crate) fn policies() -> Vec<Value> {
    [Kind::Fault, Kind::ClusterFault].into_iter().flat_map(of).collect()
}

fn of(kind: Kind) -> [Value; 2] {
    let name = format!("{}.{GROUP}", kind.plural());
    let (variables, mut validations) = match kind {
        Kind::Fault => (json!([]), in_namespace(VERB, "inject faults into pods", "schism-inject")),
        Kind::ClusterFault => (named(), anywhere()),
    };
    validations.push(own_name());
    // What it asks for is never changed afterwards.
    policy(&name, "CREATE", &[kind.plural()], &variables, validations)
}

/// Nobody asks in the name of another.
pub(crate) fn own_name() -> Value {
    validation(
        "!has(object.spec.requestedBy) || object.spec.requestedBy == request.userInfo.username",
        "'requestedBy names ' + object.spec.requestedBy + ', and it is ' + request.userInfo.username + \
         ' who asks: leave it out, or name yourself'",
    )
}

/// A policy with its binding.
pub(crate) fn policy(
    name: &str,
    operation: &str,
    resources: &[&str],
    variables: &Value,
    validations: Vec<Value>,
) -> [Value; 2] {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [GROUP], "apiVersions": [VERSION], "operations": [operation],
                "resources": resources,
            }] },
            "variables": variables,
            "validations": validations,
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": { "policyName": name, "validationActions": ["Deny"] },
    });
    [policy, binding]
}

/// What must be so, and what is said otherwise, both in CEL.
pub(crate) fn validation(expression: &str, message: &str) -> Value {
    json!({ "expression": expression, "messageExpression": message, "reason": "Forbidden" })
}

/// Of an object that names nothing but its own namespace: that lets it in, and whoever asks may do this by the verb,
/// as a role has it.
pub(crate) fn in_namespace(verb: &str, deed: &str, role: &str) -> Vec<Value> {
    let label = format!(
        "has(namespaceObject.metadata.labels) && '{LABEL}' in namespaceObject.metadata.labels && \
         namespaceObject.metadata.labels['{LABEL}'] == '{ALLOWED}'"
    );
    let name = "namespaceObject.metadata.name";
    vec![
        validation(
            &label,
            &format!(
                "'namespace ' + {name} + ' does not let faults in; whoever it belongs to may: kubectl label namespace ' \
                 + {name} + ' {LABEL}={ALLOWED}'"
            ),
        ),
        validation(
            &format!(
                "authorizer.group('').resource('pods').namespace({name}).check('{verb}').allowed()"
            ),
            &format!(
                "request.userInfo.username + ' may not {deed} of namespace ' + {name} + ': that takes the verb {verb} on \
                 pods there, as ClusterRole {role} has it'"
            ),
        ),
    ]
}

/// What a ClusterFault names.
fn named() -> Value {
    let target =
        |kind: &str| format!("(has(object.spec.{kind}) ? [object.spec.{kind}.target] : [])");
    let targets = ["skew", "freeze", "kill", "stress"].map(target).join(" + ");
    let texts = format!(
        "(has(object.spec.cut) ? [object.spec.cut.from, object.spec.cut.to] : []) + {targets}"
    );
    json!([
        { "name": "texts", "expression": texts },
        {
            "name": "namespaces",
            "expression": format!(
                "variables.texts.filter(text, text.matches('{PODS}'))\
                 .map(text, text.find('k8s:[a-z0-9-]+/').replace('k8s:', '').replace('/', ''))"
            ),
        },
        {
            "name": "forbidden",
            "expression": format!(
                "variables.namespaces.filter(name, \
                 !authorizer.group('').resource('pods').namespace(name).check('{VERB}').allowed())"
            ),
        },
    ])
}

fn anywhere() -> Vec<Value> {
    vec![
        validation(
            "variables.forbidden.size() == 0",
            &format!(
                "request.userInfo.username + ' may not {VERB} faults into pods of namespace ' + \
                 variables.forbidden.join(', ') + ': that takes the verb {VERB} on pods there, as ClusterRole \
                 schism-inject has it'"
            ),
        ),
        validation(
            &format!(
                "variables.texts.all(text, text.matches('{PODS}') || text.startsWith('addr:')) || \
                 authorizer.group('').resource('nodes').check('{VERB}').allowed()"
            ),
            &format!(
                "request.userInfo.username + ' may not {VERB} faults into anything but pods by their names: nodes, \
                 roles and what is on nodes take the verb {VERB} on nodes, as ClusterRole schism-inject-anywhere has it'"
            ),
        ),
    ]
}

//! Who may have experiments run by objects: decided by the API server, whoever writes them and with what.
//!
//! What the faults of a run are about stands in steps, which values are put into: so an object in a namespace takes the
//! right to all pods there, to which its run is bound, and one of the cluster that to all pods and nodes.

use serde_json::{Value, json};

use super::definition::UNCHANGED;
use super::resource::Kind;
use crate::keeping::GROUP;
use crate::objects::policy::{VERB, in_namespace, own_name, policy, validation};

/// The policies with their bindings.
pub(crate) fn policies() -> Vec<Value> {
    let unchanged = format!("unchanged-experiments.{GROUP}");
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
        Kind::Experiment => in_namespace(VERB, "inject faults into pods", "schism-inject"),
        Kind::ClusterExperiment => anywhere(),
    };
    validations.extend([logs(kind), jobs(kind)]);
    validations.push(own_name());
    policy(&name, "CREATE", &[kind.plural()], &json!([]), validations)
}

/// Of a ClusterExperiment: its steps may name anything.
fn anywhere() -> Vec<Value> {
    let may = |resource: &str| {
        format!("authorizer.group('').resource('{resource}').check('{VERB}').allowed()")
    };
    vec![validation(
        &format!("{} && {}", may("pods"), may("nodes")),
        &format!(
            "request.userInfo.username + ' may not {VERB} faults into whatever there is, which the steps of a \
             ClusterExperiment may name: that takes the verb {VERB} on pods of all namespaces and on nodes, as \
             ClusterRole schism-inject-anywhere has it'"
        ),
    )]
}

/// Whoever has a run read what pods write may read it.
fn logs(kind: Kind) -> Value {
    let (within, place) = match kind {
        Kind::Experiment => (
            ".namespace(namespaceObject.metadata.name)",
            "namespace ' + namespaceObject.metadata.name",
        ),
        Kind::ClusterExperiment => ("", "all namespaces'"),
    };
    validation(
        &format!(
            "!has(object.spec.readsLogs) || !object.spec.readsLogs || \
             authorizer.group('').resource('pods').subresource('log'){within}.check('get').allowed()"
        ),
        &format!(
            "request.userInfo.username + ' may not read the logs of pods of {place} + ', as readsLogs has it: that \
             takes the verb get on pods/log there'"
        ),
    )
}

/// Whoever has a Job made may make one, with whatever service account, as Kubernetes has it.
fn jobs(kind: Kind) -> Value {
    let namespace = match kind {
        Kind::Experiment => "namespaceObject.metadata.name",
        Kind::ClusterExperiment => "object.spec.job.namespace",
    };
    validation(
        &format!(
            "!has(object.spec.job) || \
             authorizer.group('batch').resource('jobs').namespace({namespace}).check('create').allowed()"
        ),
        &format!(
            "request.userInfo.username + ' may not create Jobs in namespace ' + {namespace} + ', and job asks for one'"
        ),
    )
}

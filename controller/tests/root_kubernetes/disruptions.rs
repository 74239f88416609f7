//! Pods that are restarted, terminated and evicted, and a node that is cordoned and drained, on a real API server.

use lab::kubernetes::Kubectl;
use serde_json::{Value, json};

use crate::{
    objects::{Estate, SPACE},
    running::{Ended, until},
    seats,
    selectors::Office,
    web,
};

/// The pod of the set.
const POD: &str = "k8s:names/sts/db/0";

pub(crate) fn pods_go_and_others_come(office: &Office<'_>, node: &str) {
    let kubectl = office.kubectl;
    kubectl.apply(&seats::set(node).to_string()).unwrap();
    kubectl.run("rollout status statefulset/db --timeout=120s").unwrap();
    let before = web::uid(kubectl, "db-0");
    office.done("first", &format!("pod restart {POD} --grace 1s --timeout 60s"));
    let after = web::get(kubectl, "pod", "db-0");
    assert_ne!(after["metadata"]["uid"], json!(before));
    assert!(is_ready(&after), "{after:#}");

    // None of them may be down.
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "db" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "web": "db" } } },
    });
    kubectl.apply(&budget.to_string()).unwrap();
    until("the budget is known", || {
        let budget = web::get(kubectl, "poddisruptionbudget", "db");
        budget["status"]["observedGeneration"] == budget["metadata"]["generation"]
            && budget["status"]["currentHealthy"] == 1
    });
    let evicted = office.ask("first", &format!("pod evict {POD}"));
    refused(&evicted, "disruption budget db needs 1 healthy pods");
    let terminated = office.ask("first", &format!("pod terminate {POD}"));
    refused(&terminated, "PodDisruptionBudget names/db lets 0 more");
    assert_eq!(web::get(kubectl, "pod", "db-0")["metadata"]["uid"], after["metadata"]["uid"]);
    office.done("first", &format!("pod terminate {POD} --allow-quorum-loss"));
    until("another one has come", || {
        let pod = kubectl.run("get pod db-0 -o json --ignore-not-found").unwrap();
        let pod: Value = serde_json::from_str(&pod).unwrap_or_default();
        is_ready(&pod) && pod["metadata"]["uid"] != after["metadata"]["uid"]
    });
    kubectl.run("delete poddisruptionbudget db").unwrap();
    office.done("first", &format!("pod evict {POD} --timeout 60s"));
    kubectl.run("rollout status statefulset/db --timeout=120s").unwrap();
}

pub(crate) fn a_node_is_cordoned_and_drained_for_a_while(office: &Office<'_>, node: &str) {
    let kubectl = office.kubectl;
    office.done("first", &format!("node cordon {node} --for 10m --detach"));
    assert!(is_cordoned(kubectl, node));
    let again = office.ask("first", &format!("node cordon {node} --for 10m --detach"));
    refused(&again, "has cordoned it already");
    office.done("first", &format!("node uncordon {node}"));
    is_as_before(kubectl, node);

    kubectl.run(&format!("cordon {node}")).unwrap();
    let nothing = office.ask("first", &format!("node cordon {node} --for 10m"));
    assert_eq!(nothing.code, Some(3), "{nothing:?}");
    assert!(is_cordoned(kubectl, node), "it was somebody else's");
    kubectl.run(&format!("uncordon {node}")).unwrap();

    let agents = || {
        let line = format!(
            "-n {} get pods -o name --field-selector spec.nodeName={node}",
            crate::agents::NAMESPACE
        );
        kubectl.run(&line).unwrap()
    };
    let before = agents();
    office.done("first", &format!("node drain {node} --for 10m --timeout 120s --detach"));
    let left = kubectl.run(&format!("get pods -o name --field-selector spec.nodeName={node}"));
    assert_eq!(left.unwrap().trim(), "", "pods are left on the node");
    assert_eq!(agents(), before, "agents stay");
    assert!(is_cordoned(kubectl, node));
    office.done("first", "heal --all");
    is_as_before(kubectl, node);
    kubectl.run("delete statefulset db --timeout=60s").unwrap();
    // Nothing has made it, and nothing makes it anew.
    kubectl.apply(&web::pod("right", node)).unwrap();
    kubectl.run("wait --for=condition=Ready pod/right --timeout=120s").unwrap();

    // The deadline comes by itself.
    office.done("first", &format!("node cordon {node} --for 1s"));
    is_as_before(kubectl, node);
}

/// The same by objects, as a user whom the policy lets do what her roles say.
pub(crate) fn by_objects_pods_go_and_nodes_are_cordoned(estate: &Estate<'_>) {
    let kubectl = estate.kubectl;
    let joan = estate.cluster.kubectl_as("joan", "people").unwrap().within(SPACE).unwrap();
    let hers = |line: &str| estate.plugin(&joan, line).ended();
    let node = estate.cluster.nodes()[1].name();
    kubectl.apply(&seats::set(node).to_string()).unwrap();
    kubectl.run("rollout status statefulset/db --timeout=120s").unwrap();
    let restart = format!("pod restart sts/db/0 --grace 1s --timeout 60s -n {SPACE}");
    refused(&hers(&restart), "forbidden");
    let resources = "disruptions.schism.dev,clusterdisruptions.schism.dev";
    let verbs = "get,list,watch,create,delete";
    kubectl
        .run(&format!("create clusterrole askers --verb={verbs} --resource={resources}"))
        .unwrap();
    kubectl.run("create clusterrolebinding askers --clusterrole=askers --user=joan").unwrap();
    let before = web::uid(kubectl, "db-0");
    refused(&hers(&restart), "joan may not restart, terminate or evict pods of namespace objects");
    refused(&hers(&format!("node cordon {node} --for 10m")), "joan may not cordon nodes");
    assert_eq!(web::uid(kubectl, "db-0"), before);

    kubectl.run("create rolebinding hers-too --clusterrole=schism-disrupt --user=joan").unwrap();
    let ended = hers(&restart);
    assert!(ended.code == Some(0) && ended.said.contains("replaced"), "{ended:?}");
    let after = web::get(kubectl, "pod", "db-0");
    assert!(is_ready(&after) && after["metadata"]["uid"] != json!(before), "{after:#}");
    refused(&hers("pod evict k8s:kube-system/sts/db -n objects"), "kube-system");
    let shown = kubectl.run("get disruptions").unwrap();
    assert!(
        shown.contains("pod restart k8s:objects/sts/db/0") && shown.contains("Done"),
        "{shown}"
    );
    let wrong = json!({
        "apiVersion": "schism.dev/v1alpha1", "kind": "Disruption",
        "metadata": { "name": "wrong", "namespace": SPACE },
        "spec": { "restart": { "target": "host:n1" } },
    });
    let said = kubectl.apply(&wrong.to_string()).unwrap_err().to_string();
    assert!(said.contains("a Disruption is about pods of its own namespace"), "{said}");

    let mine = |line: &str| estate.plugin(kubectl, line).ended();
    let cordoned = mine(&format!("node cordon {node} --for 10m --detach"));
    assert_eq!(cordoned.code, Some(0), "{cordoned:?}");
    assert!(is_cordoned(kubectl, node));
    refused(&mine(&format!("node cordon {node} --for 10m")), "has cordoned it already");
    let status = mine("status");
    assert!(status.said.contains(&format!("node cordon {node}")), "{status:?}");
    let uncordoned = mine(&format!("node uncordon {node}"));
    assert_eq!(uncordoned.code, Some(0), "{uncordoned:?}");
    is_as_before(kubectl, node);
    let nothing = mine(&format!("node uncordon {node}"));
    assert_eq!(nothing.code, Some(5), "{nothing:?}");
    // Ctrl-C deletes it, which uncordons.
    let mut running = estate.plugin(kubectl, &format!("node cordon {node} --for 10m"));
    running.says("is standing");
    running.interrupt();
    let ended = running.ended();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    is_as_before(kubectl, node);
    kubectl.run("delete statefulset db --timeout=60s").unwrap();
    kubectl.run("delete disruptions --all --timeout=60s").unwrap();
    kubectl.run("delete clusterdisruptions --all --timeout=60s").unwrap();
    kubectl.run("delete clusterrolebinding askers").unwrap();
    kubectl.run("delete clusterrole askers").unwrap();
}

fn refused(ended: &Ended, said: &str) {
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.said.contains(said), "{ended:?}");
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn is_cordoned(kubectl: &Kubectl, node: &str) -> bool {
    web::get(kubectl, "node", node)["spec"]["unschedulable"] == true
}

fn is_as_before(kubectl: &Kubectl, node: &str) {
    let node = web::get(kubectl, "node", node);
    assert_eq!(node["spec"]["unschedulable"], Value::Null, "{node:#}");
    assert_eq!(node["metadata"]["annotations"]["schism.dev/cordon"], Value::Null, "{node:#}");
}

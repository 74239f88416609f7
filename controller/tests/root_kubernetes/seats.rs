//! Services as one side of a cut, and pods that are made anew while a fault is about them.

use std::{net::IpAddr, time::Instant};

use lab::kubernetes::{BUSYBOX, Kubectl};
use serde_json::{Value, json};

use crate::{
    harness::tell,
    running::until,
    selectors::{Office, SPACE, pod},
    web,
};

/// A service of both families whose endpoints are on both nodes.
fn over_both(kubectl: &Kubectl) -> [IpAddr; 2] {
    kubectl.run("label pod near right tier=both").unwrap();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "both" },
        "spec": {
            "selector": { "tier": "both" }, "ports": [{ "port": web::PORT }],
            "ipFamilyPolicy": "RequireDualStack",
        },
    });
    kubectl.apply(&service.to_string()).unwrap();
    until("the service leads to both pods", || endpoints(kubectl).len() == 4);
    let service = web::get(kubectl, "service", "both");
    let addresses = service["spec"]["clusterIPs"].as_array().unwrap();
    let address = |text: &Value| text.as_str().unwrap().parse::<IpAddr>().unwrap();
    [address(&addresses[0]), address(&addresses[1])]
}

/// The addresses behind the service.
fn endpoints(kubectl: &Kubectl) -> Vec<String> {
    let line = "get endpointslices -l kubernetes.io/service-name=both -o json";
    let slices: Value = serde_json::from_str(&kubectl.run(line).unwrap()).unwrap();
    let slices = slices["items"].as_array().unwrap().iter();
    let endpoints = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    let addresses = endpoints.flat_map(|one| one["addresses"].as_array().unwrap());
    addresses.map(|address| address.as_str().unwrap().to_owned()).collect()
}

fn addresses(kubectl: &Kubectl, pod: &str) -> [String; 2] {
    web::addresses(kubectl, pod).map(|address| address.to_string())
}

/// The addresses that cuts which act have as their other side now, as the kernels have them.
fn peers(office: &Office<'_>) -> Vec<String> {
    let status = office.ask("first", "status -o json");
    let document = status.document();
    let intents = document["intents"].as_array().into_iter().flatten();
    let parts = intents.flat_map(|intent| intent["parts"].as_array().unwrap());
    let faults = parts.flat_map(|part| part["faults"].as_array().unwrap());
    let acting = faults.filter(|fault| fault["state"] == "active");
    let peers = acting.flat_map(|fault| fault["peers"].as_array().unwrap());
    peers.map(|peer| peer.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn a_pod_is_cut_from_a_service_whichever_way_it_is_reached(office: &Office<'_>) {
    let kubectl = office.kubectl;
    let own = over_both(kubectl);
    let reaches_service = || web::reaches_both(kubectl, "left", own);
    until("kube-proxy knows the service", || reaches_service() == [true; 2]);
    let (left, service) = (pod("left"), format!("k8s:{SPACE}/svc/both"));
    let long = "--mode initiator --for 120s --detach";
    office.done("first", &format!("cut {left} {service} {long}"));
    // Before the translation, and past it, on either node.
    assert_eq!(reaches_service(), [false; 2]);
    let reached = office.reach([
        ("left", "near"),
        ("left", "right"),
        ("near", "left"),
        ("right", "left"),
        ("near", "right"),
    ]);
    assert_eq!(reached, [[false; 2], [false; 2], [true; 2], [true; 2], [true; 2]]);

    // Who is not behind it any more is not cut any more.
    let rights = addresses(kubectl, "right");
    kubectl.run("label pod right tier-").unwrap();
    until("the API server knows that", || endpoints(kubectl).len() == 2);
    let known = Instant::now();
    until("its addresses have left", || {
        let peers = peers(office);
        !peers.is_empty() && !rights.iter().any(|address| peers.contains(address))
    });
    tell!("its addresses had left {} ms after it was seen", known.elapsed().as_millis());
    let reached = office.reach([("left", "right"), ("left", "near")]);
    assert_eq!(reached, [[true; 2], [false; 2]]);
    kubectl.run("label pod right tier=both").unwrap();
    until("the API server knows that", || endpoints(kubectl).len() == 4);
    let known = Instant::now();
    until("its addresses are back", || {
        let peers = peers(office);
        rights.iter().all(|address| peers.contains(address))
    });
    tell!("its addresses were back {} ms after it was seen", known.elapsed().as_millis());
    assert_eq!(office.reach([("left", "right")]), [[false; 2]]);
    office.done("first", "heal --all");
    assert_eq!(reaches_service(), [true; 2]);
    assert_eq!(office.reach([("left", "right")]), [[true; 2]]);

    // Its pods as those who call.
    office.done("first", &format!("cut {service} {left} {long}"));
    let reached = office.reach([("near", "left"), ("right", "left")]);
    assert_eq!(reached, [[false; 2]; 2]);
    assert_eq!(reaches_service(), [true; 2]);
    office.done("first", "heal --all");
    assert_eq!(office.reach([("near", "left")]), [[true; 2]]);

    let api = office.ask("first", &format!("cut {left} k8s:default/svc/kubernetes --for 5s"));
    assert_eq!(api.code, Some(4), "{api:?}");
    assert!(api.said.contains("it leads to the API server"), "{api:?}");
    kubectl.run("delete service both").unwrap();
}

/// A set of one web server on a node.
pub(crate) fn set(node: &str) -> Value {
    let mut list: Value = serde_json::from_str(&web::pod("db", node)).unwrap();
    let pod = list["items"][0].take();
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
        "spec": {
            "serviceName": "db", "replicas": 1,
            "selector": { "matchLabels": { "web": "db" } },
            "template": { "metadata": { "labels": { "web": "db" } }, "spec": pod["spec"] },
        },
    })
}

pub(crate) fn a_pod_that_is_made_anew_is_cut_again(office: &Office<'_>, node: &str) {
    let kubectl = office.kubectl;
    kubectl.apply(&set(node).to_string()).unwrap();
    kubectl.run("rollout status statefulset/db --timeout=120s").unwrap();
    let cut = format!("cut {} k8s:{SPACE}/sts/db/0", pod("left"));
    office.done("first", &format!("{cut} --mode initiator --for 180s --detach"));
    assert_eq!(office.reach([("left", "db-0")]), [[false; 2]]);
    let before = (web::uid(kubectl, "db-0"), addresses(kubectl, "db-0"));
    kubectl.run("delete pod db-0 --grace-period=0 --force --wait=false").unwrap();
    let mut known = None;
    until("the pod that takes its place is cut", || {
        let pod = kubectl.run("get pod db-0 -o json --ignore-not-found").unwrap();
        let pod: Value = serde_json::from_str(&pod).unwrap_or_default();
        let own = pod["status"]["podIPs"].as_array().filter(|all| all.len() == 2);
        if pod["metadata"]["uid"] == json!(before.0) || own.is_none() {
            return false;
        }
        let began = *known.get_or_insert_with(Instant::now);
        let peers = peers(office);
        let is_cut =
            own.unwrap().iter().all(|own| peers.iter().any(|peer| own["ip"] == json!(peer)));
        if is_cut {
            let took = began.elapsed().as_millis();
            tell!("the new address was cut {took} ms after it was seen");
        }
        is_cut
    });
    kubectl.run("rollout status statefulset/db --timeout=120s").unwrap();
    let old: Vec<String> =
        before.1.into_iter().filter(|old| !addresses(kubectl, "db-0").contains(old)).collect();
    let left_over = peers(office).into_iter().find(|peer| old.contains(peer));
    assert_eq!(left_over, None, "an address that it had before is still cut");
    // And whoever it concerns in no way, on the same node.
    let reached = office.reach([("left", "db-0"), ("db-0", "left"), ("left", "right")]);
    assert_eq!(reached, [[false; 2], [true; 2], [true; 2]]);
    who_gets_an_old_address_is_reached(office, node, &old);
    office.done("first", "heal --all");
    assert_eq!(office.reach([("left", "db-0")]), [[true; 2]]);

    // One that is to end with its pod does.
    office.done("first", &format!("{cut} --on-restart end --for 180s --detach"));
    kubectl.run("delete pod db-0 --grace-period=0 --force --wait=false").unwrap();
    until("the cut is over", || {
        let status = office.ask("first", "status -o json");
        status.document()["intents"].as_array().is_some_and(Vec::is_empty)
    });
    let all = office.ask("first", "status --all");
    assert!(all.said.contains(&format!("pod {SPACE}/db-0 is gone")), "{all:?}");
    kubectl.run("delete statefulset db --timeout=60s").unwrap();
}

/// The node gives addresses in turn: an old one is asked for by whom it is about in no way.
fn who_gets_an_old_address_is_reached(office: &Office<'_>, node: &str, old: &[String]) {
    let kubectl = office.kubectl;
    let serve = format!(
        "mkdir -p /srv; echo innocent >/srv/index.html; exec httpd -f -p {} -h /srv",
        web::PORT
    );
    let innocent = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "innocent" },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": node }, "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "web", "image": BUSYBOX, "imagePullPolicy": "Never",
                "command": ["sh", "-c", serve],
                "readinessProbe": { "tcpSocket": { "port": web::PORT }, "periodSeconds": 1 },
            }],
        },
    });
    kubectl.apply(&innocent.to_string()).unwrap();
    kubectl.run("wait --for=condition=Ready pod/innocent --timeout=60s").unwrap();
    let own = addresses(kubectl, "innocent");
    tell!("{own:?} came after {old:?}");
    assert_eq!(office.reach([("left", "innocent")]), [[true; 2]]);
    kubectl.run("delete pod innocent --wait=true --timeout=60s").unwrap();
}

//! An etcd of three pods in a namespace, whose members are named by what they are: by the command line of the controller
//! that is installed, and by an object.
//!
//! The image is the lab's own etcd and nothing else.

use std::time::Instant;

use lab::kubernetes::{Components, Image};
use serde_json::{Value, json};

use crate::{harness::tell, running::until, site::Site, web};

/// Where the etcd is.
const STORE: &str = "store";

/// Its image.
const IMAGE: &str = "schism.invalid/etcd:1";

const MEMBERS: [&str; 3] = ["etcd-0", "etcd-1", "etcd-2"];

/// What all members are: a StatefulSet, and for each pod a service by whose name the others find it before it is ready.
fn etcd() -> Value {
    let at = |name: &str, port: u16| format!("http://{name}.{STORE}.svc.cluster.local:{port}");
    let all: Vec<String> =
        MEMBERS.iter().map(|name| format!("{name}={}", at(name, 2380))).collect();
    let labels = json!({ "app.kubernetes.io/name": "etcd", "app.kubernetes.io/instance": "store" });
    let command = [
        "/usr/bin/etcd".to_owned(),
        "--name=$(NAME)".to_owned(),
        "--data-dir=/data".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--listen-client-urls=http://0.0.0.0:2379".to_owned(),
        "--listen-peer-urls=http://0.0.0.0:2380".to_owned(),
        format!("--advertise-client-urls={}", at("$(NAME)", 2379)),
        format!("--initial-advertise-peer-urls={}", at("$(NAME)", 2380)),
        format!("--initial-cluster={}", all.join(",")),
    ];
    let own_name = json!({ "fieldRef": { "fieldPath": "metadata.name" } });
    let container = json!({
        "name": "etcd", "image": IMAGE, "imagePullPolicy": "Never", "command": command,
        "env": [{ "name": "NAME", "valueFrom": own_name }],
        "ports": [{ "containerPort": 2379 }],
        "readinessProbe": { "tcpSocket": { "port": 2379 }, "periodSeconds": 1 },
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    });
    let sidecar = json!({
        "name": "sidecar", "image": lab::kubernetes::BUSYBOX, "imagePullPolicy": "Never",
        "command": ["sleep", "100000"],
    });
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "etcd", "namespace": STORE },
        "spec": {
            "serviceName": "etcd", "replicas": MEMBERS.len(), "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [sidecar, container],
                    // What a container that starts anew finds.
                    "volumes": [{ "name": "data", "emptyDir": {} }],
                },
            },
        },
    });
    let service = |name: &&str| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "namespace": STORE },
            "spec": {
                "selector": { "statefulset.kubernetes.io/pod-name": name },
                "publishNotReadyAddresses": true,
                "ports": [{ "name": "client", "port": 2379 }, { "name": "peer", "port": 2380 }],
            },
        })
    };
    let space = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": STORE } });
    let items: Vec<Value> =
        [space].into_iter().chain(MEMBERS.iter().map(service)).chain([set]).collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// The pods that play a role now.
fn players(site: &Site, role: &str) -> Vec<String> {
    let found = site.done(&format!("targets -n {STORE} all:etcd:{role} -o json")).document();
    let ends = found["ends"].as_array().unwrap();
    ends.iter().map(|end| end["member"].as_str().unwrap().to_owned()).collect()
}

/// Waits until a member leads that is not this one.
fn led_by_another_than(site: &Site, before: &str) -> String {
    let mut leader = String::new();
    until("another member leads", || {
        let asked = site.ask(&format!("targets -n {STORE} etcd:leader -o json"));
        if asked.code == Some(0) {
            leader = asked.document()["ends"][0]["member"].as_str().unwrap().to_owned();
        }
        !leader.is_empty() && leader != before
    });
    leader
}

pub(crate) fn members_of_an_etcd_are_named_by_what_they_are_without_any_setting(site: &Site) {
    let kubectl = site.kubectl();
    let program = Components::obtain().unwrap().directory().join("etcd");
    let program = program.canonicalize().unwrap();
    let image = Image::new(IMAGE).program("usr/bin/etcd", &program).directory("data");
    site.cluster().supply(&[image.entrypoint(&["/usr/bin/etcd"])]).unwrap();
    kubectl.apply(&etcd().to_string()).unwrap();
    kubectl.run(&format!("-n {STORE} rollout status statefulset/etcd --timeout=120s")).unwrap();
    let began = Instant::now();
    let first = led_by_another_than(site, "");
    tell!("its leader was known after {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(players(site, "member"), MEMBERS);
    assert_eq!(players(site, "follower").len(), 2);

    what_nobody_can_mean_is_refused(site);
    a_leader_that_nobody_hears_is_followed_by_another(site, &first);
    one_container_is_ended_and_no_pod(site);
    an_object_names_a_role_of_its_namespace(site);
}

fn what_nobody_can_mean_is_refused(site: &Site) {
    for (line, code, said) in [
        ("cut -n default etcd:leader addr:192.0.2.1", 5, "has no pods of etcd"),
        ("cut -n stroe etcd:leader addr:192.0.2.1", 5, "did you mean store?"),
        ("cut -n store/red etcd:leader addr:192.0.2.1", 5, "it has store"),
        ("cut -n kube-system etcd:leader addr:192.0.2.1", 4, "the cluster's own"),
        ("kill -n store all:etcd:follower", 4, "would lose its majority"),
        ("kill -n store k8s:store/pod/etcd-0", 2, "none is named"),
    ] {
        let refused = site.ask(line);
        let fits = refused.code == Some(code) && refused.said.contains(said);
        assert!(fits, "{line}: {code}, {said}: {refused:?}");
    }
}

fn a_leader_that_nobody_hears_is_followed_by_another(site: &Site, first: &str) {
    let isolate = format!("cut -n {STORE} --preset isolate all:etcd:member --around etcd:leader");
    let cut = site.done(&format!("{isolate} --for 120s --detach"));
    assert!(cut.said.contains(first), "{cut:?}");
    // The one that is cut off goes on naming itself, until it hears of nobody.
    let second = led_by_another_than(site, first);
    tell!("{first} was followed by {second}");
    site.done("heal --all");
}

fn one_container_is_ended_and_no_pod(site: &Site) {
    let leader = led_by_another_than(site, "");
    let before = web::get_in(site.kubectl(), STORE, "pod", &leader);
    site.done(&format!("kill -n {STORE} etcd:leader --signal KILL"));
    let restarts = |pod: &Value, name: &str| {
        let all = pod["status"]["containerStatuses"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["restartCount"].as_u64().unwrap()
    };
    until("its container runs anew", || {
        let pod = web::get_in(site.kubectl(), STORE, "pod", &leader);
        restarts(&pod, "etcd") == restarts(&before, "etcd") + 1
    });
    let after = web::get_in(site.kubectl(), STORE, "pod", &leader);
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["status"]["podIPs"], before["status"]["podIPs"]);
    assert_eq!(restarts(&after, "sidecar"), restarts(&before, "sidecar"));
    led_by_another_than(site, "");
}

fn an_object_names_a_role_of_its_namespace(site: &Site) {
    let kubectl = site.kubectl();
    let fault = json!({
        "apiVersion": "schism.dev/v1alpha1", "kind": "Fault",
        "metadata": { "name": "deaf", "namespace": STORE },
        "spec": {
            "cut": { "from": "one:etcd:follower", "to": "etcd:leader", "mode": "initiator" },
            "for": "120s",
        },
    });
    let refused = kubectl.apply(&fault.to_string()).unwrap_err().to_string();
    assert!(refused.contains("does not let faults in"), "{refused}");
    kubectl.run(&format!("label namespace {STORE} schism.dev/faults=allowed")).unwrap();
    kubectl.apply(&fault.to_string()).unwrap();
    let acts = format!("-n {STORE} wait --for=condition=Active fault/deaf --timeout=60s");
    kubectl.run(&acts).unwrap_or_else(|error| {
        panic!("{error}: {:#}", web::get_in(kubectl, STORE, "fault", "deaf"))
    });
    until("both pods are told", || {
        let events = kubectl.run(&format!("-n {STORE} get events -o json")).unwrap();
        let events: Value = serde_json::from_str(&events).unwrap();
        let all = events["items"].as_array().unwrap().iter();
        all.filter(|event| event["reason"] == "FaultBegan").count() == 2
    });
    kubectl.run(&format!("-n {STORE} delete fault deaf --timeout=60s")).unwrap();
}

//! Selectors against an API server that has a few objects.

use std::collections::{BTreeMap, BTreeSet};

use fault::Scheme;
use serde_json::{Value, json};

use super::mock::{self, Objects};
use super::*;

/// An API server that has these objects, asked by whoever minds `guard`.
async fn serving(objects: Objects, guard: Guard) -> Kubernetes {
    Kubernetes::of(mock::client(objects).await, guard)
}

/// A pod that runs on `n1`, with what is said of it otherwise.
fn pod(name: &str, otherwise: Value) -> Value {
    let mut pod = json!({
        "metadata": { "name": name, "namespace": "prod", "uid": format!("uid-{name}") },
        "spec": { "nodeName": "n1", "containers": [{ "name": "app" }, { "name": "sidecar" }] },
        "status": {
            "phase": "Running", "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd78::1" }],
            "containerStatuses": [
                { "name": "app", "containerID": "containerd://aaaa", "state": { "running": {} } },
                { "name": "sidecar", "containerID": "containerd://bbbb", "state": { "waiting": {} } },
            ],
        },
    });
    merge(&mut pod, otherwise);
    pod
}

fn merge(into: &mut Value, otherwise: Value) {
    match (into, otherwise) {
        (Value::Object(into), Value::Object(otherwise)) => {
            for (key, value) in otherwise {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, otherwise) => *into = otherwise,
    }
}

fn node(name: &str, ready: &str, labels: Value) -> Value {
    json!({
        "metadata": { "name": name, "labels": labels },
        "status": { "conditions": [{ "type": "Ready", "status": ready, "reason": "KubeletDown" }] },
    })
}

fn owned(by: &str) -> Value {
    let owner = json!({ "kind": "X", "name": "x", "uid": by, "controller": true });
    json!({ "metadata": { "ownerReferences": [owner] } })
}

fn cluster() -> Objects {
    BTreeMap::from([
        ("/api/v1/nodes/n1", node("n1", "True", json!({}))),
        ("/api/v1/nodes/dead", node("dead", "Unknown", json!({}))),
        (
            "/api/v1/nodes/master",
            node("master", "True", json!({ "node-role.kubernetes.io/control-plane": "" })),
        ),
        ("/api/v1/namespaces", json!([{ "metadata": { "name": "prod" } }])),
        ("/api/v1/namespaces/prod", json!({ "metadata": { "name": "prod" } })),
        ("/api/v1/namespaces/prod/pods", json!([pod("web-0", json!({})), pod("web-1", json!({}))])),
        ("/api/v1/namespaces/prod/pods/web-0", pod("web-0", json!({}))),
    ])
}

async fn find(kubernetes: &Kubernetes, text: &str) -> Result<Found, PodsError> {
    let selector: fault::Selector = text.parse().unwrap();
    let Scheme::Kubernetes(pods) = selector.scheme else { panic!("{text}") };
    kubernetes.find(&pods).await
}

fn names(found: &Found) -> Vec<String> {
    found.usable.iter().map(|one| one.pod.name.clone()).collect()
}

#[tokio::test]
async fn a_pod_is_found_with_its_node_and_addresses() {
    let kubernetes = serving(cluster(), Guard::default()).await;
    let found = find(&kubernetes, "k8s:prod/pod/web-0/app").await.unwrap();
    let [one] = found.usable.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.uid.as_str(), one.node.as_str()), ("uid-web-0", "n1"));
    assert_eq!(one.addresses.len(), 2);
    assert_eq!(one.pod.member().unwrap().as_str(), "prod.web-0");
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_was_probably_meant() {
    let kubernetes = serving(cluster(), Guard::default()).await;
    let table = [
        ("k8s:prod/pod/web-O", "namespace prod has no Pod web-O", "did you mean web-0?"),
        ("k8s:prod/pod/db", "namespace prod has no Pod db", "there are web-0, web-1"),
        ("k8s:prod/sts/web", "namespace prod has no StatefulSet web", "there is none"),
        ("k8s:prod/deploy/web", "namespace prod has no Deployment web", "there is none"),
        ("k8s:prd/pod/web-0", "there is no namespace prd", "did you mean prod?"),
        ("k8s:prd/label:app=web", "there is no namespace prd", "did you mean prod?"),
        ("k8s:prod/pod/web-0/ap", "pod prod/web-0 has no container ap", "did you mean app?"),
    ];
    for (text, said, hint) in table {
        // Capital letters are no name of a pod: those are refused before anybody is asked.
        let text = text.replace("web-O", "web-o");
        let error = find(&kubernetes, &text).await.unwrap_err();
        assert_eq!(error.to_string(), said.replace("web-O", "web-o"));
        assert_eq!(error.hint(), hint);
    }
    let nothing = find(&kubernetes, "k8s:prod/label:app=web").await.unwrap();
    assert_eq!(nothing, Found::default());
}

#[tokio::test]
async fn why_a_pod_cannot_be_hit_is_told() {
    let table = [
        (json!({ "metadata": { "deletionTimestamp": "now" } }), "it is terminating"),
        (json!({ "status": { "phase": "Succeeded" } }), "it has ended"),
        (
            json!({ "spec": { "nodeName": null }, "status": { "phase": "Pending" } }),
            "it is pending",
        ),
        (
            json!({ "status": { "phase": "Pending", "containerStatuses": [] } }),
            "none of its containers runs yet",
        ),
        (json!({ "status": { "podIPs": [] } }), "it has no address yet"),
        (json!({ "spec": { "hostNetwork": true } }), "its network is that of its node n1"),
        (json!({ "spec": { "nodeName": "dead" } }), "its node dead is not ready: KubeletDown"),
        (json!({ "spec": { "nodeName": "gone" } }), "its node gone is not known"),
        (json!({ "spec": { "nodeName": "master" } }), "a node of the control plane"),
        (
            json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": "schism" } } }),
            "it is a part of Schism itself",
        ),
    ];
    for (otherwise, said) in table {
        let mut objects = cluster();
        objects.insert("/api/v1/namespaces/prod/pods/web-0", pod("web-0", otherwise));
        let kubernetes = serving(objects, Guard::default()).await;
        let found = find(&kubernetes, "k8s:prod/pod/web-0").await.unwrap();
        let [Excluded { pod, why, .. }] =
            [found.unusable, found.leaving].concat().try_into().unwrap();
        assert!(why.to_string().contains(said), "{said}: {why}");
        assert!(!why.hint().is_empty(), "{why}");
        assert_eq!((pod.to_string(), found.usable.len()), ("prod/web-0".to_owned(), 0));
    }
}

#[tokio::test]
async fn what_the_cluster_lives_on_is_not_asked_for() {
    let protects = |guard: Guard| async move {
        let kubernetes = serving(Objects::new(), guard).await;
        let mut refused = Vec::new();
        for namespace in ["kube-system", "schism", "prod"] {
            let error = find(&kubernetes, &format!("k8s:{namespace}/pod/x")).await.unwrap_err();
            refused.push(matches!(error, PodsError::Unusable { why: Unusable::Protected(_), .. }));
        }
        refused
    };
    let own = Some("schism".to_owned());
    let by_default = Guard { own: own.clone(), ..Guard::default() };
    assert_eq!(protects(by_default).await, [true, true, false]);
    // One that is named is allowed, and no other any more; but never its own.
    let allowed = ["kube-system", "schism"].map(|name| name.parse().unwrap());
    let named = Guard { own, allowed: Some(allowed.into()), ..Guard::default() };
    assert_eq!(protects(named).await, [false, true, true]);
}

#[tokio::test]
async fn a_set_is_what_it_has_made_and_not_what_has_its_labels() {
    let spec = json!({ "selector": { "matchLabels": { "app": "web" } } });
    let set = |uid: &str| json!({ "metadata": { "name": "web", "uid": uid }, "spec": spec });
    let mut objects = cluster();
    objects.extend([
        ("/apis/apps/v1/namespaces/prod/statefulsets/web", set("s")),
        ("/apis/apps/v1/namespaces/prod/deployments/web", set("d")),
        (
            "/apis/apps/v1/namespaces/prod/replicasets?app%3Dweb",
            json!([
                { "metadata": { "name": "web-1", "uid": "r", "ownerReferences":
                    [{ "kind": "Deployment", "name": "web", "uid": "d", "controller": true }] } },
                { "metadata": { "name": "web-2", "uid": "other" } },
            ]),
        ),
        (
            "/api/v1/namespaces/prod/pods?app%3Dweb",
            json!([
                pod("web-1", owned("s")),
                pod("web-0", owned("s")),
                pod("web-x", owned("r")),
                pod("web-y", owned("other")),
                pod("stray", json!({})),
            ]),
        ),
    ]);
    let kubernetes = serving(objects, Guard::default()).await;
    let table: [(&str, &[&str]); 5] = [
        ("all:k8s:prod/sts/web", &["web-0", "web-1"]),
        ("k8s:prod/sts/web/1", &["web-1"]),
        ("k8s:prod/sts/web/7", &[]),
        ("k8s:prod/deploy/web", &["web-x"]),
        ("k8s:prod/label:app=web", &["stray", "web-0", "web-1", "web-x", "web-y"]),
    ];
    for (text, expected) in table {
        let found = find(&kubernetes, text).await.unwrap();
        assert_eq!(names(&found), expected, "{text}");
    }
}

/// A service `web`, and what its slices say.
fn leading(spec: Value, endpoints: Value) -> Objects {
    let mut objects = cluster();
    let service = json!({ "metadata": { "name": "web" }, "spec": spec });
    let slices = json!([{ "metadata": { "name": "web-1" }, "endpoints": endpoints }]);
    objects.extend([
        ("/api/v1/namespaces/prod/services/web", service),
        (
            "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices?kubernetes.io%2Fservice-name%3Dweb",
            slices,
        ),
        (
            "/api/v1/namespaces/prod/pods?app%3Dweb",
            json!([pod("web-0", json!({})), pod("web-1", json!({}))]),
        ),
    ]);
    objects
}

async fn led(objects: Objects, text: &str) -> Result<Led, PodsError> {
    let kubernetes = serving(objects, Guard::default()).await;
    let selector: fault::Selector = text.parse().unwrap();
    let Scheme::Kubernetes(pods) = selector.scheme else { panic!("{text}") };
    kubernetes.led(&pods, pods.service().unwrap()).await
}

fn told(addresses: &BTreeSet<std::net::IpAddr>) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_service_is_its_own_addresses_and_whatever_is_behind_it() {
    let of_pod = |name: &str, addresses: Value| {
        let target = json!({ "kind": "Pod", "name": name, "uid": format!("uid-{name}") });
        json!({ "addresses": addresses, "targetRef": target, "conditions": { "ready": false } })
    };
    let both = json!({ "clusterIPs": ["10.96.0.7", "fd79::7"], "selector": { "app": "web" } });
    let headless = json!({ "clusterIPs": ["None"], "selector": { "app": "web" } });
    let by_hand = json!({ "clusterIPs": ["10.96.0.7"] });
    let some = json!([of_pod("web-0", json!(["10.0.0.1"])), { "addresses": ["192.0.2.9"] }]);
    // What it is, what is behind it; then its own addresses, all, those of no pod, and its pods.
    type Expected<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);
    let table: [(Value, Value, Expected<'_>); 6] = [
        (
            both.clone(),
            some.clone(),
            (&["10.96.0.7", "fd79::7"], &["10.0.0.1", "192.0.2.9"], &["192.0.2.9"], &["web-0"]),
        ),
        (
            headless.clone(),
            some.clone(),
            (&[], &["10.0.0.1", "192.0.2.9"], &["192.0.2.9"], &["web-0"]),
        ),
        // Those of others are asked for by their names.
        (by_hand, some, (&["10.96.0.7"], &["10.0.0.1", "192.0.2.9"], &["192.0.2.9"], &["web-0"])),
        (both.clone(), Value::Null, (&["10.96.0.7", "fd79::7"], &[], &[], &[])),
        (headless, json!([{ "addresses": ["a.example.org"] }]), (&[], &[], &[], &[])),
        // A pod of its name that is another one is no endpoint, and its address is that of nobody.
        (
            both,
            json!([{
                "addresses": ["10.0.0.8"],
                "targetRef": { "kind": "Pod", "name": "web-0", "uid": "of before" },
            }]),
            (&["10.96.0.7", "fd79::7"], &["10.0.0.8"], &["10.0.0.8"], &[]),
        ),
    ];
    for (spec, endpoints, expected) in table {
        let found = led(leading(spec.clone(), endpoints), "k8s:prod/svc/web").await.unwrap();
        let (own, all, elsewhere) =
            (told(&found.own), told(&found.endpoints), told(&found.elsewhere));
        let pods = names(&found.pods);
        let found = (own, all, elsewhere, pods);
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (own, all, elsewhere, pods) = expected;
        assert_eq!(found, (list(own), list(all), list(elsewhere), list(pods)), "{spec}");
    }
}

#[tokio::test]
async fn a_service_that_is_no_side_of_a_cut_is_refused() {
    let name = json!({ "type": "ExternalName", "externalName": "db.example.org" });
    let error = led(leading(name, Value::Null), "k8s:prod/svc/web").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "service prod/web is but a name for db.example.org: it has no addresses of its own"
    );
    assert!(error.hint().contains("addr:PREFIX"), "{}", error.hint());
    let error = led(cluster(), "k8s:prod/svc/wep").await.unwrap_err();
    assert_eq!(error.to_string(), "namespace prod has no Service wep");
    let api =
        json!({ "metadata": { "name": "kubernetes" }, "spec": { "clusterIPs": ["10.96.0.1"] } });
    let objects: Objects = [("/api/v1/namespaces/default/services/kubernetes", api)].into();
    let error = led(objects, "k8s:default/svc/kubernetes").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "service default/kubernetes cannot be cut off: it leads to the API server"
    );
    let error = led(Objects::new(), "k8s:kube-system/svc/dns").await.unwrap_err();
    assert!(matches!(error, PodsError::Service { why: Protected::Namespace(_), .. }), "{error}");
    // What is behind it is nobody's own.
    let mut hosted = leading(
        json!({ "clusterIPs": ["10.96.0.7"], "selector": { "app": "web" } }),
        json!([{
            "addresses": ["10.9.9.9"], "targetRef": { "kind": "Pod", "name": "web-0", "uid": "uid-web-0" },
        }]),
    );
    let on_host = pod("web-0", json!({ "spec": { "hostNetwork": true } }));
    hosted.insert("/api/v1/namespaces/prod/pods?app%3Dweb", json!([on_host]));
    let found = led(hosted, "k8s:prod/svc/web").await.unwrap();
    let error = found.admit().unwrap_err();
    assert!(error.to_string().contains("its network is that of its node"), "{error}");
}

#[tokio::test]
async fn a_pod_is_guarded_by_whatever_name_an_agent_has_found_it() {
    const WEB: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";
    const DNS: &str = "7f3e2a10-4b5c-4d6e-8f90-000000000001";
    const OWN: &str = "7f3e2a10-4b5c-4d6e-8f90-000000000002";
    const AGENT: &str = "7f3e2a10-4b5c-4d6e-8f90-000000000003";
    const OTHER: &str = "7f3e2a10-4b5c-4d6e-8f90-000000000004";
    const OF_A_FILE: &str = "0123456789abcdef0123456789abcdef";
    let is = |namespace: &str, uid: &str| {
        pod("x", json!({ "metadata": { "namespace": namespace, "uid": uid } }))
    };
    let mut agent = is("prod", AGENT);
    merge(
        &mut agent,
        json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": "schism" } } }),
    );
    let mut of_a_file = is("kube-system", "shown-by-another-uid");
    let hash = json!({ "kubernetes.io/config.hash": OF_A_FILE });
    merge(&mut of_a_file, json!({ "metadata": { "annotations": hash } }));
    let mut objects = cluster();
    let all = [is("prod", WEB), is("kube-system", DNS), is("schism", OWN), is("dev", OTHER)];
    let all: Vec<Value> = all.into_iter().chain([agent, of_a_file]).collect();
    objects.insert("/api/v1/pods", json!(all));
    let own = Some("schism".to_owned());
    let by_default = Guard { own: own.clone(), ..Guard::default() };
    let allowed = Some(["prod".parse().unwrap()].into());
    let named = Guard { own, allowed, ..Guard::default() };
    let unknown = "7f3e2a10-4b5c-4d6e-8f90-00000000000f";
    let table = [
        (&by_default, "n1", WEB, None),
        (&by_default, "n1", OTHER, None),
        (&by_default, "n1", DNS, Some("namespace kube-system is the cluster's own")),
        (&by_default, "n1", OF_A_FILE, Some("namespace kube-system is the cluster's own")),
        (&by_default, "n1", OWN, Some("it is a part of Schism itself")),
        (&by_default, "n1", AGENT, Some("it is a part of Schism itself")),
        (&by_default, "master", WEB, Some("it is on master, a node of the control plane")),
        (&by_default, "n1", unknown, Some("which the API server does not have on node n1")),
        (&named, "n1", WEB, None),
        (&named, "n1", OTHER, Some("namespace dev is none of those")),
    ];
    for (guard, node, uid, why) in table {
        let kubernetes = serving(objects.clone(), guard.clone()).await;
        let one = (fault::NodeName::new(node).unwrap(), fault::PodUid::new(uid).unwrap());
        let web = (one.0.clone(), fault::PodUid::new(WEB).unwrap());
        // One that is left alone is refused with all that were asked for beside it.
        let pods: BTreeSet<_> = [web, one].into();
        let admitted = kubernetes.admit(&pods).await;
        let said = admitted.map_err(|error| error.to_string());
        match (said, why) {
            (Ok(known), None) => assert!(known.into_keys().eq(pods), "all that were asked for"),
            (Err(said), Some(why)) => assert!(said.contains(why), "{uid}: {said}"),
            (said, why) => panic!("{uid} on {node}: {said:?}, not {why:?}"),
        }
    }
    let nobody = serving(Objects::new(), by_default).await;
    assert_eq!(nobody.admit(&BTreeSet::new()).await, Ok(BTreeMap::new()));
}

/// However many nodes they are on, the API server is asked a few times.
#[tokio::test]
async fn pods_of_many_nodes_are_asked_for_together() {
    let uid = |at: usize| format!("7f3e2a10-4b5c-4d6e-8f90-{at:012x}");
    for (count, expected) in [(1, 2), (4, 8), (5, 2), (40, 2)] {
        let nodes: Vec<String> = (0..count).map(|at| format!("n{at}")).collect();
        let all = nodes.iter().enumerate().map(|(at, node)| {
            let of_it = json!({ "metadata": { "uid": uid(at) }, "spec": { "nodeName": node } });
            pod(&format!("web-{at}"), of_it)
        });
        let mut objects = Objects::from([("/api/v1/pods", Value::Array(all.collect()))]);
        let there = nodes.iter().map(|name| node(name, "True", json!({})));
        objects.insert("/api/v1/nodes", Value::Array(there.collect()));
        let few = ["/api/v1/nodes/n0", "/api/v1/nodes/n1", "/api/v1/nodes/n2", "/api/v1/nodes/n3"];
        objects.extend(few.map(|path| (path, node(&path[14..], "True", json!({})))));
        let kubernetes = serving(objects, Guard::default()).await;
        let wanted = nodes.iter().enumerate().map(|(at, node)| {
            (fault::NodeName::new(node).unwrap(), fault::PodUid::new(&uid(at)).unwrap())
        });
        let wanted: BTreeSet<_> = wanted.collect();
        let admitted = kubernetes.admit(&wanted).await.unwrap();
        let found: Vec<String> =
            admitted.values().map(|one| format!("{} {}", one.node, one.pod.name)).collect();
        let expected_names: BTreeSet<String> =
            nodes.iter().enumerate().map(|(at, node)| format!("{node} web-{at}")).collect();
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected_names);
        assert_eq!(kubernetes.client().asked().read, expected, "{count} nodes");
    }
}

/// Neither crate may depend on the other, so each has the rule: a name of a selector is one that the API server
/// is asked for.
#[test]
fn names_of_selectors_and_of_paths_are_the_same() {
    let long = |length: usize| "a".repeat(length);
    let dotted = format!("{}.{}", long(64), long(188));
    let texts = [
        "web",
        "web-0",
        "0",
        "a.b-c.d",
        "",
        ".",
        "..",
        "a/b",
        "a b",
        "a%2fb",
        "Web",
        "-a",
        "a-",
        "a..b",
        "a.-b",
        "é",
        "a_b",
        &long(63),
        &long(64),
        &long(253),
        &long(254),
        &dotted,
    ];
    for text in texts {
        let named = text.parse::<fault::ObjectName>().is_ok();
        assert_eq!(named, text.parse::<cluster::Name>().is_ok(), "{text}");
        let within = text.parse::<fault::KubernetesNamespace>().is_ok();
        assert_eq!(within, text.parse::<cluster::Namespace>().is_ok(), "{text}");
    }
}

//! An API server that has pods and nodes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use controller::control::Clusters;
use controller::provider::kubernetes::{Guard, Kubernetes};
use controller::settings::{EtcdPods, Groups};
use fault::PodUid;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};

use crate::api_server::serve;

/// Of this machine: there a member answers.
pub(crate) fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 7, 10 + number)
}

/// Those of a pod: the second one is known to other nodes.
pub(crate) fn addresses(number: u8) -> [IpAddr; 2] {
    [address(number).into(), [10, 7, 0, 10 + number].into()]
}

pub(crate) fn uid(number: u8) -> PodUid {
    PodUid::new(&format!("7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f{number}")).unwrap()
}

/// A cluster; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Space(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// By namespace.
    pods: BTreeMap<String, Vec<Value>>,
    budgets: Vec<Value>,
    calls: Vec<String>,
}

impl Space {
    /// One with an etcd of so many members in the namespace prod: `etcd-0` is on node a, and so on.
    pub(super) fn with_etcd(members: u8) -> Self {
        let space = Self::default();
        for number in 0..members {
            let node = char::from(b'a' + number).to_string();
            let addresses = addresses(number).map(|address| address.to_string());
            let pod = pod("prod", &format!("etcd-{number}"), "store", &node, &addresses);
            let mut pod = pod;
            pod["metadata"]["uid"] = json!(uid(number).to_string());
            space.kept().pods.entry("prod".to_owned()).or_default().push(pod);
        }
        space.kept().pods.insert("empty".to_owned(), Vec::new());
        space
    }

    /// A pod of an etcd that nobody asks.
    pub(super) fn add(&mut self, namespace: &str, name: &str, instance: &str, address: &str) {
        let pod = pod(namespace, name, instance, "a", &[address.to_owned()]);
        self.kept().pods.entry(namespace.to_owned()).or_default().push(pod);
    }

    /// A pod of an etcd that has no node yet.
    pub(super) fn pending(&mut self, namespace: &str, name: &str) {
        let mut pod = pod(namespace, name, "idle", "", &[]);
        pod["spec"]["nodeName"] = Value::Null;
        pod["status"]["phase"] = json!("Pending");
        self.kept().pods.entry(namespace.to_owned()).or_default().push(pod);
    }

    /// So many more members of the etcd may be down.
    pub(super) fn budget(&self, allowed: u32) {
        let selector = json!({ "matchLabels": { "app.kubernetes.io/instance": "store" } });
        self.kept().budgets = vec![json!({
            "metadata": { "name": "keep", "namespace": "prod" }, "spec": { "selector": selector },
            "status": { "disruptionsAllowed": allowed },
        })];
    }

    /// Somebody deletes a pod.
    pub(super) fn leave(&self, name: &str) {
        for pod in self.kept().pods.values_mut().flatten() {
            if pod["metadata"]["name"] == name {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
        }
    }

    /// What was asked of it, but for what a controller asks when it begins: which nodes are cordoned.
    pub(super) fn calls(&self) -> Vec<String> {
        let calls = self.kept().calls.clone().into_iter();
        calls.filter(|path| path != "/api/v1/nodes").collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    /// What a controller can ask by it: no cluster of any setting, and members of etcd at this port.
    pub(super) async fn clusters(&self, port: u16) -> Clusters {
        let space = self.clone();
        let client = serve(move |request| {
            let space = space.clone();
            async move { space.answer(&request) }
        })
        .await;
        let etcd = EtcdPods { port, ..EtcdPods::default() };
        let groups = Groups { etcd, ..Groups::default() };
        let kubernetes = Kubernetes::of(client, Guard::default()).finding(groups);
        Clusters::default().within(Some(kubernetes))
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let mut kept = self.kept();
        kept.calls.push(path.to_owned());
        let parts: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
        let found = match parts.as_slice() {
            ["namespaces", namespace, "pods"] => {
                // The label of none but etcd.
                let all = kept.pods.get(*namespace).cloned().unwrap_or_default();
                let meant = query.contains("name%3Detcd");
                Some(json!({ "metadata": {}, "items": if meant { all } else { Vec::new() } }))
            }
            ["namespaces", namespace, "pods", name] => {
                let mut all = kept.pods.get(*namespace).cloned().unwrap_or_default().into_iter();
                all.find(|pod| pod["metadata"]["name"] == *name)
            }
            [.., "poddisruptionbudgets"] => {
                Some(json!({ "metadata": {}, "items": kept.budgets.clone() }))
            }
            ["namespaces"] => {
                let names = kept.pods.keys().map(|name| json!({ "metadata": { "name": name } }));
                Some(json!({ "metadata": {}, "items": names.collect::<Vec<_>>() }))
            }
            ["namespaces", name] if kept.pods.contains_key(*name) => {
                Some(json!({ "metadata": { "name": name } }))
            }
            ["nodes"] => Some(json!({ "metadata": {}, "items": null })),
            ["nodes", name @ ("a" | "b" | "c")] => Some(json!({
                "metadata": { "name": name },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
            })),
            _ => None,
        };
        let none = json!({ "message": "not found", "reason": "NotFound", "code": 404 });
        let code = if found.is_some() { 200 } else { 404 };
        let body = Full::new(Bytes::from(found.unwrap_or(none).to_string()));
        Response::builder().status(code).body(body).unwrap()
    }
}

fn pod(namespace: &str, name: &str, instance: &str, node: &str, addresses: &[String]) -> Value {
    let labels =
        json!({ "app.kubernetes.io/name": "etcd", "app.kubernetes.io/instance": instance });
    let addresses: Vec<Value> = addresses.iter().map(|address| json!({ "ip": address })).collect();
    json!({
        "metadata": { "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "labels": labels },
        "spec": { "nodeName": node, "containers": [{ "name": "etcd" }] },
        "status": { "phase": "Running", "podIPs": addresses },
    })
}

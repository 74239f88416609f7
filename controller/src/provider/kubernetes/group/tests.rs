//! Groups by pods that an API server has.

use serde_json::{Value, json};

use super::*;
use crate::provider::kubernetes::{Guard, Unusable, mock};

fn pod(name: &str, instance: &str, otherwise: Value) -> Value {
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": "prod", "uid": format!("uid-{name}"),
            "labels": { "app.kubernetes.io/instance": instance },
        },
        "spec": { "nodeName": "n1", "containers": [{ "name": "main" }] },
        "status": { "phase": "Running", "podIPs": [{ "ip": "10.0.0.1" }] },
    });
    let Value::Object(otherwise) = otherwise else { panic!("{otherwise} is no object") };
    for (part, fields) in otherwise {
        let Value::Object(fields) = fields else { panic!("{part} is no object") };
        for (field, value) in fields {
            pod[&part][&field] = value;
        }
    }
    pod
}

fn sorted(pods: Vec<(Part, Value)>, instance: Option<&str>) -> Result<Vec<String>, String> {
    let namespace = "prod".parse().unwrap();
    let instance = instance.and_then(ClusterName::new);
    let wanted =
        Wanted { namespace: &namespace, system: System::Zeebe, instance: instance.as_ref() };
    let read = |(part, pod): (Part, Value)| (part, serde_json::from_value::<Pod>(pod).unwrap());
    let pods = pods.into_iter().map(read).collect();
    let found = choice::one(wanted, pods, || vec!["app=x".to_owned()]);
    let found = found.map_err(|error| format!("{error}; {}", error.hint()))?;
    Ok(found.all().map(|pod| pod.metadata.name.clone()).collect())
}

#[test]
fn a_group_is_one_installation_and_no_job_of_it() {
    let job = json!({ "kind": "Job", "name": "backup", "uid": "j", "controller": true });
    let all = || {
        vec![
            (Part::First, pod("zeebe-1", "blue", json!({}))),
            (Part::First, pod("zeebe-0", "blue", json!({}))),
            (Part::Second, pod("gateway-a", "blue", json!({}))),
            // By the labels of both.
            (Part::Second, pod("zeebe-0", "blue", json!({}))),
            (Part::First, pod("old", "blue", json!({ "status": { "phase": "Failed" } }))),
            (
                Part::First,
                pod("backup-1", "red", json!({ "metadata": { "ownerReferences": [job] } })),
            ),
        ]
    };
    let expected = ["zeebe-0", "zeebe-1", "gateway-a"].map(ToOwned::to_owned).to_vec();
    assert_eq!(sorted(all(), None), Ok(expected.clone()));
    assert_eq!(sorted(all(), Some("blue")), Ok(expected));
    let error = sorted(all(), Some("red")).unwrap_err();
    assert!(error.contains("no zeebe of installation red; it has blue;"), "{error}");
    let two = vec![
        (Part::First, pod("a-0", "", json!({}))),
        (Part::First, pod("b-0", "blue", json!({}))),
    ];
    assert_eq!(sorted(two.clone(), Some("-")), Ok(vec!["a-0".to_owned()]));
    assert_eq!(sorted(two.clone(), Some("blue")), Ok(vec!["b-0".to_owned()]));
    let error = sorted(two.clone(), Some("red")).unwrap_err();
    assert!(error.contains("it has - (without that label), blue; "), "{error}");
    let error = sorted(two, None).unwrap_err();
    assert!(error.contains("several of zeebe: - (without that label), blue; "), "{error}");
    assert!(error.ends_with("-n prod/blue"), "{error}");
    let error = sorted(Vec::new(), None).unwrap_err();
    assert!(error.contains("which are known by app=x"), "{error}");
}

#[test]
fn the_member_is_the_container_that_has_its_port() {
    let annotated = json!({ "kubectl.kubernetes.io/default-container": "b" });
    let ports = json!([{ "containerPort": 2379 }]);
    let table = [
        (json!({ "spec": { "containers": [{ "name": "a" }, { "name": "b" }] } }), "a"),
        (
            json!({ "spec": { "containers": [{ "name": "a" }, { "name": "b", "ports": ports }] } }),
            "b",
        ),
        (
            json!({
                "metadata": { "annotations": annotated },
                "spec": { "containers": [{ "name": "a" }, { "name": "b" }] },
            }),
            "b",
        ),
    ];
    for (said, expected) in table {
        let pod: Pod = serde_json::from_value(pod("etcd-0", "x", said)).unwrap();
        let container = choice::container(&pod, 2379);
        assert_eq!(container.as_ref().map(ContainerName::as_str), Some(expected));
    }
    let of_set = json!({ "spec": { "hostname": "etcd-0", "subdomain": "etcd" } });
    let pod: Pod = serde_json::from_value(pod("etcd-0", "x", of_set)).unwrap();
    assert_eq!(choice::dns_name(&pod).as_deref(), Some("etcd-0.etcd.prod.svc"));
}

#[tokio::test]
async fn a_zeebe_is_its_brokers_and_the_gateways_that_stand_alone() {
    let ip = |last: u8| json!({ "status": { "podIPs": [{ "ip": format!("10.0.0.{last}") }] } });
    let going = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    let brokers = json!([pod("zeebe-0", "blue", ip(1)), pod("zeebe-1", "blue", going)]);
    let node = json!({
        "metadata": { "name": "n1" },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    let component = "/api/v1/namespaces/prod/pods?app.kubernetes.io%2Fcomponent%3D";
    let of_brokers: &'static str = format!("{component}zeebe-broker").leak();
    let of_gateways: &'static str = format!("{component}zeebe-gateway").leak();
    let alone = [(of_brokers, brokers.clone()), ("/api/v1/nodes/n1", node)];
    let embedded = Kubernetes::of(mock::client(alone.clone().into()).await, Guard::default());
    let namespace = "prod".parse().unwrap();
    let found = embedded.zeebe_in(&namespace, None).await.unwrap();
    let at = |zeebe: &Zeebe| -> Vec<String> {
        zeebe.gateways().iter().map(|gateway| gateway.place().to_string()).collect()
    };
    assert_eq!(at(&found.group), ["http://10.0.0.1:26500", "http://10.0.0.1:26500"]);
    let gateways = json!([pod("gateway-x", "blue", ip(9))]);
    let all = alone.into_iter().chain([(of_gateways, gateways)]).collect();
    let kubernetes = Kubernetes::of(mock::client(all).await, Guard::default());
    let found = kubernetes.zeebe_in(&namespace, None).await.unwrap();
    assert_eq!(at(&found.group), ["http://10.0.0.9:26500"]);
    let homes: Vec<&Home> = found.homes.iter().collect();
    assert_eq!(homes.len(), 3);
    let why = homes[1].pod.as_ref().unwrap_err();
    assert_eq!((why.pod.name.as_str(), &why.why), ("zeebe-1", &Unusable::Terminating));
    // What is left alone is so before anything is told of it.
    let refused = kubernetes.etcd_in(&"kube-system".parse().unwrap(), None).await.unwrap_err();
    let GroupsError::Pods(error) = &refused else { panic!("{refused}") };
    assert!(matches!(**error, PodsError::Unusable { why: Unusable::Protected(_), .. }));
}

#[test]
fn no_gateway_is_called_as_a_broker() {
    assert_eq!(gateway_name("camunda-zeebe-gateway-7c9f").as_str(), "camunda-zeebe-gateway-7c9f");
    assert_eq!(gateway_name("broker-0").as_str(), "gateway-broker-0");
}

//! A cluster of Zeebe as pods: brokers as a StatefulSet, and a gateway that stands alone.
//!
//! They have the labels by which the charts of Zeebe name them. Brokers find each other at first by services of fixed
//! addresses, and are at their pods' own then: nobody has to answer names.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{
    GATEWAY_PORT, INTERNAL_PORT, Java, MANAGEMENT_PORT, cluster::Options, configuration, image,
};

/// What the StatefulSet is called; its pods are this with their numbers.
const BROKERS: &str = "zeebe";

/// What the gateway's Deployment is called.
const GATEWAY: &str = "zeebe-gateway";

/// Where brokers keep what they have.
const DATA: &str = "/data";

/// The address of the service of a broker: one of the first 256 of the cluster's range, which an API server gives to
/// nobody by itself as long as there are others.
fn contact(broker: usize) -> Ipv4Addr {
    let last = u8::try_from(broker).unwrap_or(u8::MAX).saturating_add(101);
    Ipv4Addr::new(10, 96, 0, last)
}

/// The names of the brokers' pods, in the order of their numbers.
#[must_use]
pub fn broker_pods(options: Options) -> Vec<String> {
    (0..options.brokers).map(|number| format!("{BROKERS}-{number}")).collect()
}

/// All of it in a namespace, which lets faults in, of an image as [`super::image()`] makes it with this Java.
#[must_use]
pub fn objects(namespace: &str, reference: &str, java: &Java, options: Options) -> Value {
    let addresses = (0..options.brokers).map(|one| format!("{}:{INTERNAL_PORT}", contact(one)));
    let contacts = addresses.collect::<Vec<_>>().join(",");
    let space = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": namespace, "labels": { "schism.dev/faults": "allowed" } },
    });
    let services = (0..options.brokers).map(|number| service(namespace, number));
    let command = image::command(java, "broker", "io.camunda.zeebe.broker.StandaloneBroker");
    let mut told = variables(configuration::of_brokers(&options, &contacts));
    told.extend([
        field("ZEEBE_BROKER_CLUSTER_NODEID", "metadata.labels['apps.kubernetes.io/pod-index']"),
        field("ZEEBE_BROKER_NETWORK_ADVERTISEDHOST", "status.podIP"),
        json!({ "name": "ZEEBE_BROKER_DATA_DIRECTORY", "value": DATA }),
    ]);
    let brokers = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": BROKERS, "namespace": namespace },
        "spec": {
            "serviceName": BROKERS, "replicas": options.brokers, "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": labels("zeebe-broker") },
            "template": pod("zeebe-broker", reference, &command, &told),
        },
    });
    let command = image::command(java, "gateway", "io.camunda.zeebe.gateway.StandaloneGateway");
    let mut told = variables(configuration::of_gateways(&contacts));
    told.push(field("ZEEBE_GATEWAY_CLUSTER_ADVERTISEDHOST", "status.podIP"));
    let gateway = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": GATEWAY, "namespace": namespace },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": labels("zeebe-gateway") },
            "template": pod("zeebe-gateway", reference, &command, &told),
        },
    });
    let items: Vec<Value> = [space].into_iter().chain(services).chain([brokers, gateway]).collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn labels(component: &str) -> Value {
    json!({ "app.kubernetes.io/name": "zeebe", "app.kubernetes.io/component": component })
}

/// Where a broker is found before anybody knows its pod's address.
fn service(namespace: &str, number: usize) -> Value {
    let name = format!("{BROKERS}-{number}");
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "clusterIP": contact(number), "publishNotReadyAddresses": true,
            "selector": { "statefulset.kubernetes.io/pod-name": name },
            "ports": [{ "name": "internal", "port": INTERNAL_PORT }],
        },
    })
}

fn variables(values: Vec<(&'static str, String)>) -> Vec<Value> {
    let (name, value) = configuration::ARENAS;
    let all = values.into_iter().map(|(name, value)| json!({ "name": name, "value": value }));
    all.chain([json!({ "name": name, "value": value })]).collect()
}

/// What a pod says of itself.
fn field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
}

fn pod(component: &str, reference: &str, command: &[String], told: &[Value]) -> Value {
    json!({
        "metadata": { "labels": labels(component) },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "zeebe", "image": reference, "imagePullPolicy": "Never",
                "command": command, "env": told,
                "ports": [
                    { "name": "gateway", "containerPort": GATEWAY_PORT },
                    { "name": "internal", "containerPort": INTERNAL_PORT },
                    { "name": "management", "containerPort": MANAGEMENT_PORT },
                ],
                "readinessProbe": { "tcpSocket": { "port": GATEWAY_PORT }, "periodSeconds": 2 },
                "volumeMounts": [{ "name": "data", "mountPath": DATA }],
            }],
            "volumes": [{ "name": "data", "emptyDir": {} }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broker_is_told_where_all_are_and_no_value_is_told_twice() {
        let java = Java { home: "/java".into(), version: 25 };
        let all = objects("camunda", "zeebe:1", &java, Options::default());
        let items = all["items"].as_array().unwrap();
        assert_eq!(items.len(), 6);
        let of = |kind: &str| items.iter().find(|one| one["kind"] == kind).unwrap();
        let container = |kind: &str| &of(kind)["spec"]["template"]["spec"]["containers"][0];
        let value = |kind: &str, name: &str| {
            let told = container(kind)["env"].as_array().unwrap();
            let mut found = told.iter().filter(|one| one["name"] == name);
            let value = found.next().unwrap();
            assert!(found.next().is_none(), "{name}");
            value["value"].clone()
        };
        let contacts = "10.96.0.101:26502,10.96.0.102:26502,10.96.0.103:26502";
        for (kind, name) in [
            ("StatefulSet", "ZEEBE_BROKER_CLUSTER_INITIALCONTACTPOINTS"),
            ("Deployment", "ZEEBE_GATEWAY_CLUSTER_INITIALCONTACTPOINTS"),
        ] {
            assert_eq!(value(kind, name), contacts);
            let command = container(kind)["command"].as_array().unwrap();
            assert_eq!(command[0], "/opt/java/bin/java");
        }
        assert_eq!(value("StatefulSet", "ZEEBE_BROKER_CLUSTER_CLUSTERSIZE"), "3");
        assert_eq!(of("Service")["spec"]["clusterIP"], "10.96.0.101");
        assert_eq!(broker_pods(Options::default()), ["zeebe-0", "zeebe-1", "zeebe-2"]);
    }
}

//! The controllers: pods without any privilege on their nodes, and the name by which agents find them.

use serde_json::{Value, json};

use super::values::Values;
use super::{account, agents, metadata, rights, selector};
use crate::settings::AgentsBy;

/// What everything of the controller is called, its service as well.
pub(super) const SERVICE: &str = "schism-controller";

/// The part of an installation.
pub(super) const COMPONENT: &str = "controller";

/// Where agents dial.
pub(super) const AGENTS: u16 = 7070;

/// Where people dial.
const CONTROL: u16 = 7071;

/// Where metrics are read.
const METRICS: u16 = 9090;

/// Nobody's: as the image says, too.
const USER: u32 = 65_532;

/// Where the certificates are in the pod.
const CERTIFICATES: &str = "/etc/schism/certs";

/// The file of settings, by its name where every command looks for it.
const SETTINGS: &str = "schism.toml";

/// Where commands in the pod find it.
const SOCKET: &str = "/run/schism/control.sock";

/// How long a new controller is there before an old one goes (40 s): by then names lead to it (caches of DNS keep
/// what they know for up to 30 s), so that agents find it within moments when it leads.
const SETTLED: u64 = 40;

pub(super) fn objects(values: &Values) -> Vec<Value> {
    let mut all = vec![account(values, SERVICE, COMPONENT)];
    all.extend(match values.agents_by {
        AgentsBy::Token => rights::objects(values),
        AgentsBy::Certificate => Vec::new(),
    });
    all.extend([settings(values), service(values), policy(values), deployment(values)]);
    all
}

/// What the controllers are told that no option says.
fn settings(values: &Values) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": metadata(values, SERVICE, COMPONENT),
        "data": { SETTINGS: values.settings() },
    })
}

/// The ports that are dialled, with their names. Who dials for control shows a certificate, which is there only where
/// agents have some, too.
fn ports(values: &Values) -> Vec<(&'static str, u16)> {
    match values.agents_by {
        AgentsBy::Token => vec![("agents", AGENTS), ("metrics", METRICS)],
        AgentsBy::Certificate => {
            vec![("agents", AGENTS), ("control", CONTROL), ("metrics", METRICS)]
        }
    }
}

fn service(values: &Values) -> Value {
    let ports = ports(values).into_iter();
    let ports: Vec<Value> = ports
        .map(|(name, port)| json!({ "name": name, "port": port, "protocol": "TCP" }))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(values, SERVICE, COMPONENT),
        "spec": {
            // Each controller has an address of its own.
            "clusterIP": "None",
            // Whom agents dial says nothing about who leads, and the sooner they know of one the better.
            "publishNotReadyAddresses": true,
            "selector": selector(COMPONENT),
            "ports": ports,
        },
    })
}

/// Agents, and nobody else, where agents dial. Who dials elsewhere shows a certificate, or reads metrics. Whom the
/// controller itself asks is not limited: the API server, and etcd and Zeebe wherever they are.
fn policy(values: &Values) -> Value {
    let others = ports(values).into_iter().filter(|(name, _)| *name != "agents");
    let others: Vec<Value> =
        others.map(|(_, port)| json!({ "port": port, "protocol": "TCP" })).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": metadata(values, SERVICE, COMPONENT),
        "spec": {
            "podSelector": { "matchLabels": selector(COMPONENT) },
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{ "podSelector": { "matchLabels": selector(agents::COMPONENT) } }],
                    "ports": [{ "port": AGENTS, "protocol": "TCP" }],
                },
                { "ports": others },
            ],
        },
    })
}

fn deployment(values: &Values) -> Value {
    let mut spec = json!({
        "selector": { "matchLabels": selector(COMPONENT) },
        "template": {
            "metadata": {
                "labels": super::labels(COMPONENT),
                // Other settings are other pods.
                "annotations": { "schism.dev/settings": values.settings_digest() },
            },
            "spec": pod(values),
        },
    });
    match values.agents_by {
        AgentsBy::Token => {
            spec["replicas"] = values.get("controller.replicas");
            spec["minReadySeconds"] = json!(SETTLED);
            spec["strategy"] = json!({
                "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 },
            });
        }
        // A store on a disk belongs to one process.
        AgentsBy::Certificate => {
            spec["replicas"] = json!(1);
            spec["strategy"] = json!({ "type": "Recreate" });
        }
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": metadata(values, SERVICE, COMPONENT),
        "spec": spec,
    })
}

/// How Prometheus is told of it, where its operator runs.
pub(super) fn monitor(values: &Values) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor",
        "metadata": metadata(values, SERVICE, COMPONENT),
        "spec": {
            "selector": { "matchLabels": selector(COMPONENT) },
            "podMetricsEndpoints": [{ "port": "metrics" }],
        },
    })
}

fn pod(values: &Values) -> Value {
    let mut pod = json!({
        "serviceAccountName": SERVICE,
        "automountServiceAccountToken": values.agents_by == AgentsBy::Token,
        "enableServiceLinks": false,
        "nodeSelector": values.get("controller.nodeSelector"),
        "tolerations": values.get("controller.tolerations"),
        "imagePullSecrets": values.get("imagePullSecrets"),
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(values)],
        "volumes": [
            values.volume("state", "controller.state"),
            { "name": "run", "emptyDir": { "medium": "Memory" } },
            { "name": "settings", "configMap": { "name": SERVICE } },
        ],
    });
    match values.agents_by {
        // A node that is lost takes one of them, if that can be.
        AgentsBy::Token => {
            pod["topologySpreadConstraints"] = json!([{
                "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": selector(COMPONENT) },
            }]);
        }
        AgentsBy::Certificate => {
            // Read by its group alone (0440).
            let secret =
                json!({ "secretName": values.get("controller.secret"), "defaultMode": 288 });
            push(&mut pod["volumes"], json!({ "name": "certificates", "secret": secret }));
        }
    }
    pod
}

fn push(list: &mut Value, one: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(one);
    }
}

/// How a controller is to serve.
fn arguments(values: &Values) -> Vec<String> {
    let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut arguments = all(&["serve", "--state", "/var/lib/schism", "--socket", SOCKET]);
    arguments.extend(["--listen-agents".to_owned(), format!("[::]:{AGENTS}")]);
    arguments.extend(["--metrics".to_owned(), format!("[::]:{METRICS}")]);
    match values.agents_by {
        AgentsBy::Token => {
            let in_cluster = ["--kubernetes", "in-cluster", "--agents-by-token"];
            arguments.extend(all(&in_cluster));
            arguments.push("--store-in-cluster".to_owned());
        }
        AgentsBy::Certificate => {
            arguments.extend(["--listen-control".to_owned(), format!("[::]:{CONTROL}")]);
            let files = [
                ("--ca", "ca.pem"),
                ("--certificate", "controller.pem"),
                ("--key", "controller.key"),
                ("--issued", "issued"),
            ];
            for (option, file) in files {
                arguments.extend([option.to_owned(), format!("{CERTIFICATES}/{file}")]);
            }
        }
    }
    arguments
}

fn container(values: &Values) -> Value {
    let healthy = json!({ "path": "/healthz", "port": METRICS });
    let ports = ports(values).into_iter();
    let ports: Vec<Value> =
        ports.map(|(name, port)| json!({ "name": name, "containerPort": port })).collect();
    let mut container = json!({
        "name": "controller",
        "image": values.image("schism"),
        "imagePullPolicy": values.get("imagePullPolicy"),
        "args": arguments(values),
        // For commands in the pod of the one that leads: kubectl exec POD -- schism …
        "env": [
            { "name": "SCHISM_CONTROLLER", "value": format!("unix:{SOCKET}") },
            { "name": "SCHISM_IMAGE", "value": values.image("schism") },
            { "name": "SCHISM_EXPERIMENTS_IN", "value": values.experiments() },
        ],
        "ports": ports,
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "resources": values.get("controller.resources"),
        "volumeMounts": [
            { "name": "state", "mountPath": "/var/lib/schism" },
            { "name": "run", "mountPath": "/run/schism" },
            {
                "name": "settings", "mountPath": format!("/etc/schism/{SETTINGS}"),
                "subPath": SETTINGS, "readOnly": true,
            },
        ],
        // One that waits for its turn is ready, too.
        "readinessProbe": { "httpGet": healthy, "periodSeconds": 5 },
        "livenessProbe": { "httpGet": healthy, "periodSeconds": 10, "failureThreshold": 3 },
    });
    if values.agents_by == AgentsBy::Certificate {
        let mount = json!({ "name": "certificates", "mountPath": CERTIFICATES, "readOnly": true });
        push(&mut container["volumeMounts"], mount);
    }
    container
}

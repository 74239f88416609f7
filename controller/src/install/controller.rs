//! The controller: one pod without any privilege, and the name by which agents find it.

use serde_json::{Value, json};

use super::values::Values;
use super::{account, agents, metadata, selector};

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

/// Where commands in the pod find it.
const SOCKET: &str = "/run/schism/control.sock";

pub(super) fn objects(values: &Values) -> Vec<Value> {
    vec![account(values, SERVICE, COMPONENT), service(values), policy(values), deployment(values)]
}

fn service(values: &Values) -> Value {
    let port = |name: &str, port: u16| json!({ "name": name, "port": port, "protocol": "TCP" });
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(values, SERVICE, COMPONENT),
        "spec": {
            // Each controller has an address of its own.
            "clusterIP": "None",
            "selector": selector(COMPONENT),
            "ports": [port("agents", AGENTS), port("control", CONTROL), port("metrics", METRICS)],
        },
    })
}

/// Agents, and nobody else, where agents dial. Who dials elsewhere shows a certificate, or reads metrics.
fn policy(values: &Values) -> Value {
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
                {
                    "ports": [
                        { "port": CONTROL, "protocol": "TCP" },
                        { "port": METRICS, "protocol": "TCP" },
                    ],
                },
            ],
        },
    })
}

fn deployment(values: &Values) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": metadata(values, SERVICE, COMPONENT),
        "spec": {
            "replicas": 1,
            // A store belongs to one process.
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": selector(COMPONENT) },
            "template": {
                "metadata": { "labels": super::labels(COMPONENT) },
                "spec": pod(values),
            },
        },
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
    json!({
        "serviceAccountName": SERVICE,
        "automountServiceAccountToken": false,
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
            {
                "name": "certificates",
                // Read by its group alone (0440).
                "secret": { "secretName": values.get("controller.secret"), "defaultMode": 288 },
            },
        ],
    })
}

fn container(values: &Values) -> Value {
    let file = |name: &str| format!("{CERTIFICATES}/{name}");
    let healthy = json!({ "path": "/healthz", "port": METRICS });
    json!({
        "name": "controller",
        "image": values.image("schism"),
        "imagePullPolicy": values.get("imagePullPolicy"),
        "args": [
            "serve", "--state", "/var/lib/schism", "--socket", SOCKET,
            "--listen-agents", format!("[::]:{AGENTS}"),
            "--listen-control", format!("[::]:{CONTROL}"),
            "--metrics", format!("[::]:{METRICS}"),
            "--ca", file("ca.pem"), "--certificate", file("controller.pem"),
            "--key", file("controller.key"), "--issued", file("issued"),
        ],
        // For commands in the pod: kubectl exec deploy/schism-controller -- schism …
        "env": [{ "name": "SCHISM_CONTROLLER", "value": format!("unix:{SOCKET}") }],
        "ports": [
            { "name": "agents", "containerPort": AGENTS },
            { "name": "control", "containerPort": CONTROL },
            { "name": "metrics", "containerPort": METRICS },
        ],
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "resources": values.get("controller.resources"),
        "volumeMounts": [
            { "name": "state", "mountPath": "/var/lib/schism" },
            { "name": "run", "mountPath": "/run/schism" },
            { "name": "certificates", "mountPath": CERTIFICATES, "readOnly": true },
        ],
        "readinessProbe": { "httpGet": healthy, "periodSeconds": 5 },
        "livenessProbe": { "httpGet": healthy, "periodSeconds": 10, "failureThreshold": 3 },
    })
}

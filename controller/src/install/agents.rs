//! The agents: a pod on every node, with what it needs of the node and nothing else.

use serde_json::{Value, json};

use super::controller::{AGENTS, SERVICE};
use super::values::Values;
use super::{account, metadata, selector};
use crate::settings::AgentsBy;

/// What everything of the agents is called.
const NAME: &str = "schism-agent";

/// The part of an installation.
pub(super) const COMPONENT: &str = "agent";

/// What the unit for systemd says of each; SYS_NICE: to come before what loads the node.
const CAPABILITIES: [&str; 9] = [
    "BPF",
    "KILL",
    "NET_ADMIN",
    "NET_BROADCAST",
    "SETGID",
    "SETUID",
    "SYS_ADMIN",
    "SYS_NICE",
    "SYS_PTRACE",
];

/// Where the certificates are in the pod.
const CERTIFICATES: &str = "/etc/schism/certs";

/// Where those of the authorities are that vouch for controllers.
const AUTHORITY: &str = "/etc/schism/ca";

/// Where the token is.
const TOKEN: &str = "/var/run/secrets/schism";

pub(super) fn objects(values: &Values) -> Vec<Value> {
    vec![account(values, NAME, COMPONENT), policy(values), daemon_set(values)]
}

/// Nobody reaches an agent, and it reaches its controller.
fn policy(values: &Values) -> Value {
    let names =
        [json!({ "port": 53, "protocol": "UDP" }), json!({ "port": 53, "protocol": "TCP" })];
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": metadata(values, NAME, COMPONENT),
        "spec": {
            "podSelector": { "matchLabels": selector(COMPONENT) },
            "policyTypes": ["Ingress", "Egress"],
            "egress": [
                {
                    "to": [{ "podSelector": { "matchLabels": selector(super::controller::COMPONENT) } }],
                    "ports": [{ "port": AGENTS, "protocol": "TCP" }],
                },
                { "ports": names },
            ],
        },
    })
}

fn daemon_set(values: &Values) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": metadata(values, NAME, COMPONENT),
        "spec": {
            "selector": { "matchLabels": selector(COMPONENT) },
            "updateStrategy": {
                "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "10%" },
            },
            "template": {
                "metadata": { "labels": super::labels(COMPONENT) },
                "spec": pod(values),
            },
        },
    })
}

/// What an agent shows to a controller, and by what it knows one: environment, mounts and volumes.
fn proof(values: &Values) -> [Vec<Value>; 3] {
    let set = |name: &str, value: String| json!({ "name": name, "value": value });
    let mount =
        |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    match values.agents_by {
        AgentsBy::Token => {
            let token = json!({ "serviceAccountToken": {
                "audience": "schism", "expirationSeconds": 3600, "path": "token",
            } });
            [
                vec![
                    set("SCHISM_CA", format!("{AUTHORITY}/ca.pem")),
                    set("SCHISM_TOKEN", format!("{TOKEN}/token")),
                ],
                vec![mount("authority", AUTHORITY), mount("token", TOKEN)],
                vec![
                    // The controller makes it; until then the pod waits.
                    json!({ "name": "authority", "configMap": { "name": "schism-ca" } }),
                    json!({ "name": "token", "projected": { "sources": [token] } }),
                ],
            ]
        }
        AgentsBy::Certificate => {
            let own = |file: &str| format!("{CERTIFICATES}/$(SCHISM_NODE).{file}");
            // Read by root alone (0400).
            let secret = json!({ "secretName": values.get("agent.secret"), "defaultMode": 256 });
            [
                vec![
                    set("SCHISM_CA", format!("{CERTIFICATES}/ca.pem")),
                    set("SCHISM_CERTIFICATE", own("pem")),
                    set("SCHISM_KEY", own("key")),
                ],
                vec![mount("certificates", CERTIFICATES)],
                vec![json!({ "name": "certificates", "secret": secret })],
            ]
        }
    }
}

fn pod(values: &Values) -> Value {
    let [_, _, of_proof] = proof(values);
    let directory = |name: &str, path: &str, kind: &str| json!({ "name": name, "hostPath": { "path": path, "type": kind } });
    let mut volumes = vec![
        directory("run", "/run/schism", "DirectoryOrCreate"),
        directory("control-groups", "/sys/fs/cgroup", "Directory"),
        directory("namespaces", "/run/netns", "DirectoryOrCreate"),
    ];
    volumes.extend(of_proof);
    json!({
        "serviceAccountName": NAME,
        // None for the API server, which no agent asks.
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // The processes of the node, and by their control groups whose they are.
        "hostPID": true,
        "priorityClassName": values.get("agent.priorityClassName"),
        "nodeSelector": values.get("agent.nodeSelector"),
        "tolerations": values.get("agent.tolerations"),
        "imagePullSecrets": values.get("imagePullSecrets"),
        // It heals everything within 5 s.
        "terminationGracePeriodSeconds": 10,
        "containers": [container(values)],
        "volumes": volumes,
    })
}

fn container(values: &Values) -> Value {
    let [of_proof, mounted, _] = proof(values);
    let mut environment = vec![
        json!({
            "name": "SCHISM_NODE",
            "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } },
        }),
        json!({ "name": "SCHISM_CONTROLLER", "value": values.service(SERVICE, AGENTS) }),
        json!({ "name": "SCHISM_LOG_FORMAT", "value": values.get("logFormat") }),
        json!({ "name": "SCHISM_ALLOW_CAPTURE", "value": values.captures() }),
    ];
    environment.extend(of_proof);
    let mut mounts = vec![
        // Socket, lock, brake, and what was changed in processes; the latter outlive the pod.
        json!({ "name": "run", "mountPath": "/run/schism" }),
        // What loads a target joins its control group.
        json!({ "name": "control-groups", "mountPath": "/sys/fs/cgroup" }),
        // Namespaces of pods in which nothing runs for a moment.
        json!({
            "name": "namespaces", "mountPath": "/run/netns", "readOnly": true,
            "mountPropagation": "HostToContainer",
        }),
    ];
    mounts.extend(mounted);
    let asks = json!({ "command": ["/usr/bin/schism-agent", "--answers"] });
    json!({
        "name": "agent",
        "image": values.image("schism-agent"),
        "imagePullPolicy": values.get("imagePullPolicy"),
        "env": environment,
        "securityContext": {
            "readOnlyRootFilesystem": true,
            "runAsUser": 0,
            "capabilities": { "drop": ["ALL"], "add": values.capabilities(&CAPABILITIES) },
            // What runtimes confine containers by otherwise forbids to look at other processes.
            "appArmorProfile": { "type": "Unconfined" },
            "seccompProfile": { "type": "Unconfined" },
        },
        "resources": values.get("agent.resources"),
        "volumeMounts": mounts,
        "startupProbe": { "exec": asks, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 60 },
        "readinessProbe": { "exec": asks, "periodSeconds": 30, "timeoutSeconds": 5 },
        "livenessProbe": { "exec": asks, "periodSeconds": 30, "timeoutSeconds": 5, "failureThreshold": 3 },
    })
}

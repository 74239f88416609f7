//! Agents as pods, one on each node.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use lab::kubernetes::{Cluster, Image, Kubectl};
use serde_json::{Value, json};

const IMAGE: &str = "schism.invalid/agent:1";

/// Those of the unit for systemd. A pod has no other.
const CAPABILITIES: [&str; 8] =
    ["BPF", "KILL", "NET_ADMIN", "NET_BROADCAST", "SETGID", "SETUID", "SYS_ADMIN", "SYS_PTRACE"];

/// Starts an agent on every node, and waits until all answer.
pub(crate) fn start(cluster: &Cluster) {
    cluster.supply(&[image()]).unwrap();
    let kubectl = cluster.kubectl();
    kubectl.apply(&daemon_set().to_string()).unwrap();
    kubectl.run("rollout status daemonset/agent --timeout=60s").unwrap();
}

/// The pod of the agent of a node.
pub(crate) fn of(kubectl: &Kubectl, node: &str) -> String {
    let line = format!("get pods -l app=agent --field-selector spec.nodeName={node} -o name");
    kubectl.run(&line).unwrap().trim().to_owned()
}

/// `schism` beside an agent, which asks it.
pub(crate) fn schism(kubectl: &Kubectl, pod: &str, line: &str) -> Child {
    let mut command = kubectl.command("kubectl");
    command.args(["exec", pod, "--", "schism"]).args(line.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The programs that were built, with the libraries that they need here: what they do in a pod does not depend
/// on how they were linked.
fn image() -> Image {
    let schism = Path::new(env!("CARGO_BIN_EXE_schism"));
    let agent = schism.with_file_name("schism-agent");
    assert!(agent.exists(), "schism-agent is not built: `cargo build -p agent` does it");
    let mut image = Image::new(IMAGE)
        .program("usr/bin/schism", schism)
        .program("usr/bin/schism-agent", &agent)
        .entrypoint(&["/usr/bin/schism-agent"]);
    let ldd = Command::new("ldd").arg(schism).output().unwrap();
    for line in String::from_utf8(ldd.stdout).unwrap().lines() {
        // The kernel's own has no path.
        if let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) {
            image = image.program(path.trim_start_matches('/'), Path::new(path));
        }
    }
    image
}

fn daemon_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "agent" },
        "spec": {
            "selector": { "matchLabels": { "app": "agent" } },
            "template": {
                "metadata": { "labels": { "app": "agent" } },
                "spec": {
                    // It sees the processes of the node, and of their control groups whose they are.
                    "hostPID": true,
                    "terminationGracePeriodSeconds": 10,
                    "containers": [{
                        "name": "agent", "image": IMAGE, "imagePullPolicy": "Never",
                        "env": [{
                            "name": "SCHISM_NODE",
                            "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } },
                        }],
                        "securityContext": {
                            "readOnlyRootFilesystem": true,
                            "capabilities": { "drop": ["ALL"], "add": CAPABILITIES },
                        },
                        // Socket, lock and brake; the brake outlives the pod.
                        "volumeMounts": [{ "name": "run", "mountPath": "/run/schism" }],
                        "readinessProbe": {
                            "exec": { "command": ["schism", "status", "-o", "name"] },
                            "periodSeconds": 1,
                        },
                    }],
                    "volumes": [{
                        "name": "run",
                        "hostPath": { "path": "/run/schism", "type": "DirectoryOrCreate" },
                    }],
                },
            },
        },
    })
}

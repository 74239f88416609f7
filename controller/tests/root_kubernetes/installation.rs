//! The whole of what `schism install` prints, on a cluster of two nodes.

use std::{path::Path, process::Command};

use lab::{
    directory::Directory,
    kubernetes::{Cluster, Kubectl},
    topology::Family,
};
use serde_json::json;

use crate::{
    agents::{self, NAMESPACE},
    running::{Ended, Running, until},
    web,
};

const CONTROLLER: &str = "deploy/schism-controller";

/// `schism certs`, with its files in a directory.
fn certs(directory: &Path, line: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command.arg("certs").args(line.split(' ')).arg("--dir").arg(directory);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The two Secrets of docs/kubernetes.md.
fn secrets(kubectl: &Kubectl, nodes: &[&str]) {
    let directory = Directory::create("certs").unwrap();
    let path = directory.path();
    certs(path, "init");
    certs(path, "issue controller controller --host schism-controller.schism.svc");
    for node in nodes {
        certs(path, &format!("issue agent {node}"));
    }
    let create = |name: &str, files: &[String]| {
        let files = files.iter().map(|file| format!("--from-file={}", path.join(file).display()));
        let files = files.collect::<Vec<_>>().join(" ");
        kubectl.run(&format!("-n {NAMESPACE} create secret generic {name} {files}")).unwrap();
    };
    let of_nodes = nodes.iter().flat_map(|node| [format!("{node}.pem"), format!("{node}.key")]);
    let of_nodes: Vec<String> = ["ca.pem".to_owned()].into_iter().chain(of_nodes).collect();
    create("schism-agents", &of_nodes);
    let of_controller = ["ca.pem", "controller.pem", "controller.key", "issued"];
    create("schism-controller", &of_controller.map(ToOwned::to_owned));
}

/// There is no DNS in the lab: agents are told where the controller's pod is.
fn introduce(kubectl: &Kubectl) {
    let line = format!(
        "-n {NAMESPACE} get pods -l app.kubernetes.io/component=controller \
         -o jsonpath={{.items[0].status.podIP}}"
    );
    let address = kubectl.run(&line).unwrap();
    let alias = json!([{ "ip": address.trim(), "hostnames": ["schism-controller.schism.svc"] }]);
    let patch = json!({ "spec": { "template": { "spec": { "hostAliases": alias } } } });
    let line = ["-n", NAMESPACE, "patch", "daemonset", "schism-agent", "-p", &patch.to_string()];
    kubectl.run_with(&line).unwrap();
    agents::rolled_out(kubectl, "daemonset/schism-agent");
}

fn ask(kubectl: &Kubectl, line: &str) -> Ended {
    Running::beside(kubectl, CONTROLLER, line).ended()
}

#[test]
fn what_is_installed_by_one_manifest_cuts_between_nodes_and_is_gone_with_it() {
    let cluster = Cluster::start(2).unwrap();
    let kubectl = cluster.kubectl();
    let nodes: Vec<&str> = cluster.nodes().iter().map(lab::kubernetes::Node::name).collect();
    let [here, there] = [nodes[0], nodes[1]];
    agents::supply(&cluster);
    let manifest = agents::manifest();
    agents::apply(kubectl, &manifest[..1]);
    secrets(kubectl, &nodes);
    agents::apply(kubectl, &manifest);
    for (name, node) in [("left", here), ("right", there)] {
        kubectl.apply(&web::pod(name, node)).unwrap();
    }
    agents::rolled_out(kubectl, CONTROLLER);
    introduce(kubectl);
    kubectl.run("wait --for=condition=Ready pod/left pod/right --timeout=60s").unwrap();
    until("both agents have dialled", || {
        let said = ask(kubectl, "agents").said;
        nodes.iter().all(|node| {
            let mut lines = said.lines().filter(|line| line.starts_with(node));
            lines.any(|line| line.contains(" up "))
        })
    });

    let pod = |name: &str, node: &str| format!("pod:{}@{node}", web::uid(kubectl, name));
    let (left, right) = (pod("left", here), pod("right", there));
    let cut = || {
        let line = format!("cut {left} {right} --mode initiator --for 120s");
        let mut cut = Running::beside(kubectl, CONTROLLER, &line);
        cut.says(", seed ");
        cut
    };
    let reaches = |from: &str, to: &str| {
        Family::ALL
            .map(|family| web::reaches(kubectl, from, &web::url(web::address(kubectl, to, family))))
    };
    let first = cut();
    assert_eq!(reaches("left", "right"), [false; 2]);
    assert_eq!(reaches("right", "left"), [true; 2]);
    let healed = ask(kubectl, "heal --all");
    assert_eq!(healed.code, Some(0), "{healed:?}");
    let ended = first.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(reaches("left", "right"), [true; 2]);

    // The agent at the receiver dies as it stands: its part ends at once, and the other one is healed.
    let second = cut();
    assert_eq!(reaches("left", "right"), [false; 2]);
    for node in &nodes {
        let agent = agents::of(kubectl, node);
        kubectl.run(&format!("-n {NAMESPACE} delete {agent} --grace-period=0 --force")).unwrap();
    }
    until("what the agents held is gone", || reaches("left", "right") == [true; 2]);
    let ended = second.ended();
    assert_ne!(ended.code, Some(0), "{ended:?}");

    let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifest }).to_string();
    kubectl.delete(&list).unwrap();
    for node in cluster.nodes() {
        let residue = || node.run(env!("CARGO_BIN_EXE_schism"), &["residue"]);
        until("nothing is left behind", || residue().is_ok());
        assert_eq!(node.run("find", &["/run/schism", "-type", "f"]).unwrap(), "");
    }
}

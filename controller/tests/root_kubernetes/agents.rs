//! What `schism install` prints, as pods of a cluster that has no registry.

use std::{path::Path, process::Command};

use lab::{
    directory::Directory,
    kubernetes::{Cluster, Kubectl, product},
};
use serde_json::{Value, json};

use crate::{
    running::{run, until},
    site::Site,
};

/// Where it is installed.
pub(crate) const NAMESPACE: &str = "schism";

/// What agents need for a controller, and only for that.
const OF_A_CONTROLLER: [&str; 3] = ["SCHISM_CONTROLLER", "SCHISM_CA", "SCHISM_TOKEN"];

/// All objects that it prints.
pub(crate) fn manifest() -> Vec<Value> {
    manifest_in(NAMESPACE)
}

/// The same for another namespace.
pub(crate) fn manifest_in(namespace: &str) -> Vec<Value> {
    printed(&["--namespace", namespace])
}

/// The same, with agents and controllers that allow captures.
pub(crate) fn manifest_with_captures() -> Vec<Value> {
    let directory = Directory::create("settings").unwrap();
    let settings = directory.path().join("schism.toml");
    std::fs::write(&settings, "[capture]\nallowed = true\n").unwrap();
    printed(&["--allow-capture", "--settings", settings.to_str().unwrap()])
}

fn printed(options: &[&str]) -> Vec<Value> {
    let mut install = Command::new(env!("CARGO_BIN_EXE_schism"));
    let output = install.args(["install", "-o", "json"]).args(options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// Applies objects, in their order.
pub(crate) fn apply(kubectl: &Kubectl, objects: &[Value]) {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    kubectl.apply(&list.to_string()).unwrap();
}

/// Starts an agent on one node, which has no controller, and waits until it answers. The nodes have one kernel:
/// what another agent holds would be left behind by nobody that this one sees.
pub(crate) fn start(site: &Site, node: &str) {
    put_up(site, |pod| {
        let without = |list: &mut Value, names: &[&str]| {
            let all = list.as_array_mut().unwrap();
            all.retain(|one| !names.contains(&one["name"].as_str().unwrap()));
        };
        without(&mut pod["containers"][0]["env"], &OF_A_CONTROLLER);
        without(&mut pod["containers"][0]["volumeMounts"], &["authority", "token"]);
        without(&mut pod["volumes"], &["authority", "token"]);
        pod["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
    });
    let kubectl = site.kubectl();
    until("the agent answers", || {
        let agent = of(kubectl, node);
        !agent.is_empty() && run(kubectl, &agent, "status").code == Some(0)
    });
}

/// Starts agents on all nodes for a controller beside the cluster, at an address, without waiting.
pub(crate) fn start_for(site: &Site, controller: &str) {
    put_up(site, |pod| {
        let environment = pod["containers"][0]["env"].as_array_mut().unwrap();
        let mut known = environment.iter_mut().filter(|one| one["name"] == "SCHISM_CONTROLLER");
        known.next().unwrap()["value"] = json!(controller);
        // What its certificate is for.
        environment.push(json!({ "name": "SCHISM_CONTROLLER_NAME", "value": "schism-controller" }));
    });
}

/// Starts the agents of the manifest with something else about their pods.
fn put_up(site: &Site, change: impl Fn(&mut Value)) {
    site.supply();
    let mut objects = site.manifest().to_vec();
    let of_agents = |object: &Value| {
        let name = object["metadata"]["name"].as_str().unwrap();
        name == NAMESPACE || name == "schism-agent"
    };
    objects.retain(of_agents);
    for agents in objects.iter_mut().filter(|object| object["kind"] == "DaemonSet") {
        change(&mut agents["spec"]["template"]["spec"]);
    }
    apply(site.kubectl(), &objects);
}

/// Waits until all pods of something are as they were asked to be.
pub(crate) fn rolled_out(kubectl: &Kubectl, what: &str) {
    kubectl.run(&format!("-n {NAMESPACE} rollout status {what} --timeout=120s")).unwrap();
}

/// The pod of the controller that leads, as the Lease has it; empty where nobody does.
pub(crate) fn leader(kubectl: &Kubectl) -> String {
    leader_in(kubectl, NAMESPACE)
}

/// The same of the installation in another namespace.
pub(crate) fn leader_in(kubectl: &Kubectl, namespace: &str) -> String {
    // There may be no Lease yet.
    kubectl.leader(namespace, "schism-controller").ok().flatten().unwrap_or_default()
}

/// The pod of the agent of a node.
pub(crate) fn of(kubectl: &Kubectl, node: &str) -> String {
    let line = format!(
        "-n {NAMESPACE} get pods -l app.kubernetes.io/component=agent \
         --field-selector spec.nodeName={node},status.phase=Running -o name"
    );
    kubectl.run(&line).unwrap().trim().to_owned()
}

/// How often an agent has put something in, which it says once each time.
pub(crate) fn put_in(kubectl: &Kubectl, agent: &str) -> usize {
    let log = kubectl.run(&format!("-n {NAMESPACE} logs {agent}")).unwrap();
    log.lines().filter(|line| line.contains("prepared")).count()
}

/// Has the nodes know the images that the manifest names.
pub(crate) fn supply(cluster: &Cluster) {
    let binaries = Path::new(env!("CARGO_BIN_EXE_schism")).parent().unwrap();
    let agent = binaries.join("schism-agent");
    assert!(agent.exists(), "schism-agent is not built: `cargo build -p agent` does it");
    cluster.supply(&product(binaries).unwrap()).unwrap();
}

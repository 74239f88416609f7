//! The whole of what `schism install` prints, on a cluster of two nodes.

use std::time::Instant;

use lab::{
    kubernetes::{Cluster, Kubectl, Node},
    topology::Family,
};
use serde_json::{Value, json};

use crate::{
    agents::{self, NAMESPACE},
    running::{Ended, Running, until},
    web,
};

/// One cluster with what was installed.
struct Site<'a> {
    cluster: &'a Cluster,
    kubectl: &'a Kubectl,
    nodes: [&'a str; 2],
}

impl Site<'_> {
    /// The pod that leads, as the Lease has it; empty where nobody does.
    fn leader(&self) -> String {
        agents::leader(self.kubectl)
    }

    fn ask(&self, line: &str) -> Ended {
        Running::beside(self.kubectl, &self.leader(), line).ended()
    }

    /// Something that must succeed.
    fn done(&self, line: &str) {
        let ended = self.ask(line);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    fn has_both(&self) -> bool {
        let said = self.ask("agents").said;
        self.nodes
            .iter()
            .all(|node| said.lines().any(|line| line.starts_with(node) && line.contains(" up ")))
    }

    /// Whether one pod reaches another one, in both families.
    fn reaches(&self, from: &str, to: &str) -> [bool; 2] {
        let address = |family| web::address(self.kubectl, to, family);
        Family::ALL.map(|family| web::reaches(self.kubectl, from, &web::url(address(family))))
    }

    /// Waits until another one leads than `before`, and both agents have found it; says how long that took.
    fn is_succeeded(&self, before: &str, began: Instant) {
        until("another one leads", || {
            let leader = self.leader();
            !leader.is_empty() && leader != before
        });
        let led = began.elapsed();
        until("both agents have found it", || self.has_both());
        let found = began.elapsed();
        eprintln!(
            "led anew after {:.1} s, found after {:.1} s",
            led.as_secs_f64(),
            found.as_secs_f64()
        );
    }

    /// Ends the controller that leads as a crash would.
    fn crash(&self, leader: &str) {
        let place = web::get_in(self.kubectl, NAMESPACE, "pod", leader);
        let name = place["spec"]["nodeName"].as_str().unwrap();
        let node = self.cluster.nodes().iter().find(|node| node.name() == name).unwrap();
        // Of the node's own processes: it sees no others.
        let processes = node.run("ps", &["-e", "-o", "pid=,args="]).unwrap();
        let serve = processes.lines().find(|line| line.contains("/usr/bin/schism serve")).unwrap();
        let pid = serve.split_whitespace().next().unwrap();
        node.run("kill", &["-KILL", pid]).unwrap();
    }
}

fn of_kind(kind: &str) -> impl Fn(&&Value) -> bool {
    move |object| object["kind"] == kind
}

#[test]
fn what_is_installed_by_one_manifest_leads_cuts_over_deaths_of_leaders_and_is_gone_with_it() {
    let cluster = Cluster::start(2).unwrap();
    let kubectl = cluster.kubectl();
    let nodes: Vec<&str> = cluster.nodes().iter().map(Node::name).collect();
    let [here, there] = [nodes[0], nodes[1]];
    agents::supply(&cluster);
    let manifest = agents::manifest();
    agents::apply(kubectl, &manifest);
    for (name, node) in [("left", here), ("right", there)] {
        kubectl.apply(&web::pod(name, node)).unwrap();
    }
    let site = Site { cluster: &cluster, kubectl, nodes: [here, there] };
    let began = Instant::now();
    until("a controller leads", || !site.leader().is_empty());
    until("both agents have come", || site.has_both());
    eprintln!("installed and connected after {:.1} s", began.elapsed().as_secs_f64());
    agents::rolled_out(kubectl, "daemonset/schism-agent");
    kubectl.run("wait --for=condition=Ready pod/left pod/right --timeout=60s").unwrap();
    let controllers = format!("-n {NAMESPACE} wait --for=condition=Ready --timeout=60s pod");
    kubectl.run(&format!("{controllers} -l app.kubernetes.io/component=controller")).unwrap();

    let cut = "cut k8s:default/pod/left k8s:default/label:web=right --mode initiator --for 120s";
    site.done(&format!("{cut} --detach"));
    assert_eq!(site.reaches("left", "right"), [false; 2]);
    assert_eq!(site.reaches("right", "left"), [true; 2]);

    // It crashes; then the one that leads now is taken away, and there is a new one with a new address.
    let (first, killed) = (site.leader(), Instant::now());
    site.crash(&first);
    site.is_succeeded(&first, killed);
    assert_eq!(site.reaches("left", "right"), [false; 2]);
    let (second, deleted) = (site.leader(), Instant::now());
    kubectl.run(&format!("-n {NAMESPACE} delete pod {second} --wait=false")).unwrap();
    site.is_succeeded(&second, deleted);
    assert_eq!(site.reaches("left", "right"), [false; 2]);
    assert_eq!(site.reaches("right", "left"), [true; 2]);
    let status = site.ask("status -o json");
    assert!(status.said.contains("\"active\""), "{status:?}");
    site.done("heal --all");
    assert_eq!(site.reaches("left", "right"), [true; 2]);

    // Both agents die as they stand: what they hold ends with them.
    site.done(&format!("{cut} --detach"));
    assert_eq!(site.reaches("left", "right"), [false; 2]);
    for node in &nodes {
        let agent = agents::of(kubectl, node);
        kubectl.run(&format!("-n {NAMESPACE} delete {agent} --grace-period=0 --force")).unwrap();
    }
    until("what the agents held is gone", || site.reaches("left", "right") == [true; 2]);

    let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifest }).to_string();
    kubectl.delete(&list).unwrap();
    for kind in ["CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"] {
        let known = manifest.iter().filter(of_kind(kind));
        for object in known {
            let name = object["metadata"]["name"].as_str().unwrap();
            kubectl.run_with(&["get", kind, name]).unwrap_err();
        }
    }
    for node in cluster.nodes() {
        let residue = || node.run(env!("CARGO_BIN_EXE_schism"), &["residue"]);
        until("nothing is left behind", || residue().is_ok());
        assert_eq!(node.run("find", &["/run/schism", "-type", "f"]).unwrap(), "");
    }
}

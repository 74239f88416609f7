//! The whole of what `schism install` prints, on a cluster of two nodes.

use std::time::Instant;

use serde_json::Value;

use crate::{
    agents::{self, NAMESPACE},
    running::until,
    site::Site,
    web,
};

/// Ends the controller that leads as a crash would.
fn crash(site: &Site, leader: &str) {
    let place = web::get_in(site.kubectl(), NAMESPACE, "pod", leader);
    let node = site.node(place["spec"]["nodeName"].as_str().unwrap());
    // Of the node's own processes: it sees no others.
    let processes = node.run("ps", &["-e", "-o", "pid=,args="]).unwrap();
    let serve = processes.lines().find(|line| line.contains("/usr/bin/schism serve")).unwrap();
    let pid = serve.split_whitespace().next().unwrap();
    node.run("kill", &["-KILL", pid]).unwrap();
}

fn of_kind(kind: &str) -> impl Fn(&&Value) -> bool {
    move |object| object["kind"] == kind
}

pub(crate) fn what_is_installed_by_one_manifest_leads_cuts_over_deaths_of_leaders_and_is_gone_with_it(
    site: &Site,
) {
    let kubectl = site.kubectl();
    let [here, there] = site.nodes();
    // A kubelet that has just begun lets up to half a minute pass before it asks the first time.
    agents::rolled_out(kubectl, "daemonset/schism-agent");
    let space = site.space("deaths");
    space.serve([("left", here), ("right", there)]);
    let reached = || space.reach([("left", "right"), ("right", "left")]);
    let (open, cut_off) = ([[true; 2]; 2], [[false; 2], [true; 2]]);

    let left = space.pod("left");
    let cut = format!("cut {left} k8s:{}/label:web=right --mode initiator --for 120s", space.name);
    site.done(&format!("{cut} --detach"));
    assert_eq!(reached(), cut_off);

    // It crashes; then the one that leads now is taken away, and there is a new one with a new address.
    let (first, killed) = (site.leader(), Instant::now());
    crash(site, &first);
    site.is_succeeded(&first, killed);
    assert_eq!(reached(), cut_off);
    let (second, deleted) = (site.leader(), Instant::now());
    kubectl.run(&format!("-n {NAMESPACE} delete pod {second} --wait=false")).unwrap();
    site.is_succeeded(&second, deleted);
    assert_eq!(reached(), cut_off);
    let status = site.ask("status -o json");
    assert!(status.said.contains("\"active\""), "{status:?}");
    site.done("heal --all");
    assert_eq!(reached(), open);

    // Both agents die as they stand: what they hold ends with them.
    site.done(&format!("{cut} --detach"));
    assert_eq!(reached(), cut_off);
    for node in site.nodes() {
        let agent = agents::of(kubectl, node);
        kubectl.run(&format!("-n {NAMESPACE} delete {agent} --grace-period=0 --force")).unwrap();
    }
    until("what the agents held is gone", || reached() == open);

    site.uninstall();
    for kind in ["CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"] {
        let known = site.manifest().iter().filter(of_kind(kind));
        for object in known {
            let name = object["metadata"]["name"].as_str().unwrap();
            kubectl.run_with(&["get", kind, name]).unwrap_err();
        }
    }
    site.is_clean();
    for node in site.cluster().nodes() {
        assert_eq!(node.run("find", &["/run/schism", "-type", "f"]).unwrap(), "");
    }
}

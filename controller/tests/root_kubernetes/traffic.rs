//! Whom agents talk to.

use std::collections::BTreeMap;

use lab::kubernetes::Node;
use serde_json::Value;

use crate::{
    agents::{self, NAMESPACE},
    running::until,
    site::Site,
};

/// The table that counts on a node.
const TABLE: &str = "witness";

/// Counts what pods of the node send to an API server, and to where agents dial a controller. Controllers are left out:
/// they do ask. What goes from pod to pod on one node does not come by.
fn witness(controllers: [&[String]; 2]) -> String {
    let [four, six] = controllers.map(|all| all.join(", "));
    format!(
        "table inet {TABLE} {{
            counter asked {{ }}
            counter dialled {{ }}
            chain heard {{
                type filter hook prerouting priority -400; policy accept;
                iifname \"pods0\" ip saddr {{ {four} }} accept
                iifname \"pods0\" ip6 saddr {{ {six} }} accept
                iifname \"pods0\" tcp dport {{ 443, 6443 }} counter name asked
                iifname \"pods0\" tcp dport 7070 counter name dialled
            }}
        }}"
    )
}

/// How many packets each counter has seen.
fn counted(node: &Node) -> BTreeMap<String, u64> {
    let said = node.run("nft", &["-j", "list", "counters", "table", "inet", TABLE]).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    let all = said["nftables"].as_array().unwrap().iter().map(|one| &one["counter"]);
    let counters = all.filter(|counter| counter.is_object());
    counters
        .map(|counter| {
            (counter["name"].as_str().unwrap().to_owned(), counter["packets"].as_u64().unwrap())
        })
        .collect()
}

pub(crate) fn an_agent_asks_controllers_and_no_api_server(site: &Site) {
    let kubectl = site.kubectl();
    let line = format!("-n {NAMESPACE} get pods -l app.kubernetes.io/component=controller -o json");
    let pods: Value = serde_json::from_str(&kubectl.run(&line).unwrap()).unwrap();
    let pods = pods["items"].as_array().unwrap();
    let leads = |pod: &&Value| pod["metadata"]["name"] == *site.leader();
    let leader = pods.iter().find(leads).unwrap();
    // The agent there reaches the leader over the network of nodes.
    let away = |name: &&str| leader["spec"]["nodeName"] != **name;
    let name = site.nodes().into_iter().find(away).unwrap();
    let node = site.node(name);
    let addresses = pods.iter().flat_map(|pod| pod["status"]["podIPs"].as_array().unwrap());
    let addresses = addresses.map(|one| one["ip"].as_str().unwrap().to_owned());
    let (six, four): (Vec<String>, Vec<String>) = addresses.partition(|one| one.contains(':'));
    node.run("nft", &[&witness([&four, &six])]).unwrap();

    // All of its life: it starts, is told of a cut and of its end, and is asked things.
    let (space, before) = (site.space("traffic"), agents::of(kubectl, name));
    let [here, there] = site.nodes();
    space.serve([("left", here), ("right", there)]);
    kubectl.run(&format!("-n {NAMESPACE} delete {before} --wait=true --timeout=60s")).unwrap();
    until("another agent has come", || {
        let now = agents::of(kubectl, name);
        !now.is_empty() && now != before && site.has_both()
    });
    let cut = format!("cut {} {} --mode initiator", space.pod("left"), space.pod("right"));
    site.done(&format!("{cut} --for 60s --detach"));
    assert_eq!(space.reach([("left", "right")]), [[false; 2]]);
    site.done("heal --all");
    assert_eq!(space.reach([("left", "right")]), [[true; 2]]);

    let counted = counted(node);
    assert!(counted["dialled"] > 0, "nothing was counted at all: {counted:?}");
    assert_eq!(counted["asked"], 0, "{counted:?}");
    node.run("nft", &["delete", "table", "inet", TABLE]).unwrap();
}

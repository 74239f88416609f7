//! Pods as targets, by their UIDs alone: what an agent can do without the API server.

use std::net::IpAddr;

use lab::kubernetes::{BUSYBOX, Kubectl, Node};
use serde_json::{Value, json};

use crate::{
    agents, clocks,
    running::{Running, run, until},
    site::{self, Site},
    web,
};

/// Nobody's.
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

fn hosted(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": node },
            "hostNetwork": true, "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "idle", "image": BUSYBOX, "imagePullPolicy": "Never",
                "command": ["sleep", "1000"],
            }],
        },
    })
}

/// One cluster with what all of this needs.
struct Estate<'a> {
    kubectl: &'a Kubectl,
    node: &'a Node,
    /// The agent of the node where `left` and `near` are.
    agent: String,
}

impl Estate<'_> {
    fn run(&self, line: &str) -> crate::running::Ended {
        run(self.kubectl, &self.agent, line)
    }

    /// Begins something, and waits until it acts.
    fn begin(&self, line: &str, says: &str) -> Running {
        let mut running = Running::beside(self.kubectl, &self.agent, line);
        running.says(says);
        running
    }

    /// Heals everything, and sees that what had been put in ends well.
    fn heal(&self, running: Running) {
        let healed = self.run("heal --all");
        assert_eq!(healed.code, Some(0), "{healed:?}");
        let ended = running.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    fn target(&self, name: &str) -> String {
        format!("pod:{}", web::uid(self.kubectl, name))
    }

    fn reaches(&self, from: &str, to: IpAddr) -> bool {
        web::reaches(self.kubectl, from, &web::url(to))
    }

    /// The same for both addresses of another pod.
    fn reaches_both(&self, from: &str, to: [IpAddr; 2]) -> [bool; 2] {
        web::reaches_both(self.kubectl, from, to)
    }

    fn addresses(&self, name: &str) -> [IpAddr; 2] {
        web::addresses(self.kubectl, name)
    }

    /// The kernel frees programs a little after their last holder.
    fn is_clean(&self) {
        site::is_clean(self.node);
    }

    fn restarts(&self, pod: &str, container: &str) -> u64 {
        let pod = web::get(self.kubectl, "pod", pod);
        let all = pod["status"]["containerStatuses"].as_array().unwrap();
        let own = all.iter().find(|status| status["name"] == container).unwrap();
        let runs = own["ready"] == true && own["state"]["running"].is_object();
        if runs { own["restartCount"].as_u64().unwrap() } else { 0 }
    }

    /// Ends a container as a crash would, and waits until the kubelet has started it anew.
    fn restart(&self, pod: &str, container: &str) {
        let line = format!("kill {}/{container} --signal KILL", self.target(pod));
        let killed = self.run(&line);
        assert_eq!(killed.code, Some(0), "{killed:?}");
        until(&format!("{container} of {pod} runs anew"), || self.restarts(pod, container) == 1);
    }
}

pub(crate) fn pods_are_cut_skewed_and_frozen_by_their_uid_whatever_their_containers_do(
    site: &Site,
) {
    let space = site.space("by-uid");
    let kubectl = &space.kubectl;
    let [here, there] = site.nodes();
    for pod in [clocks::pod("left", here), hosted("hosted", here)] {
        kubectl.apply(&pod.to_string()).unwrap();
    }
    kubectl.apply(&web::pod("near", here)).unwrap();
    kubectl.apply(&web::pod("far", there)).unwrap();
    agents::start(site, here);
    let ready = "wait --for=condition=Ready pod/left pod/near pod/far pod/hosted --timeout=120s";
    kubectl.run(ready).unwrap();
    let estate = Estate { kubectl, node: site.node(here), agent: agents::of(kubectl, here) };

    what_is_there_is_listed_and_what_is_not_is_told(&estate);
    // It comes before everybody of the node, which CAP_SYS_NICE is for.
    let niceness = site.node(here).run("ps", &["-C", "schism-agent", "-o", "ni="]).unwrap();
    assert_eq!(niceness.trim(), "-20");
    a_container_is_found_by_its_id(&estate);
    one_way_is_lost_in_both_families(&estate);
    a_container_that_starts_anew_changes_nothing(&estate);
    one_container_has_another_time(&estate);
    one_container_stands_still(&estate);
    one_container_is_loaded(&estate);
    a_pod_that_is_deleted_takes_its_cut_along(&estate);
}

fn what_is_there_is_listed_and_what_is_not_is_told(estate: &Estate<'_>) {
    let listed = estate.run("targets -o name");
    let left = estate.target("left");
    for name in [left.clone(), format!("{left}/clock"), estate.target("near")] {
        assert!(listed.said.lines().any(|line| line == name), "{name}: {listed:?}");
    }
    assert!(!listed.said.contains(&estate.target("far")), "of another node: {listed:?}");
    let hosted = estate.target("hosted");
    for (target, code, reason) in [
        (format!("pod:{UNKNOWN}"), 5, format!("no process here is in pod {UNKNOWN}")),
        (format!("{left}/other"), 5, "no process here is in the container other of pod".to_owned()),
        (hosted.clone(), 4, format!("{hosted} shares the host's network namespace")),
    ] {
        let ended = estate.run(&format!("cut {target} addr:192.0.2.1 --for 5s"));
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.said.contains(&reason), "{ended:?}");
    }
    // Of processes the host's network is no matter.
    let dry = estate.run(&format!("freeze {hosted}/idle --for 1s --dry-run"));
    assert_eq!(dry.code, Some(0), "{dry:?}");
}

/// By the control group alone, as on a node without Kubernetes.
fn a_container_is_found_by_its_id(estate: &Estate<'_>) {
    let container = web::container(estate.kubectl, "near");
    let [near, far] = ["near", "far"].map(|name| estate.addresses(name)[0]);
    let cut = format!("cut container:{container} addr:{far} --mode initiator --for 120s");
    let cut = estate.begin(&cut, ", seed ");
    assert!(!estate.reaches("near", far));
    // Whom it does not call can still call it, and who shares the node is not concerned.
    assert!(estate.reaches("far", near));
    assert!(estate.reaches("left", far));
    estate.heal(cut);
    assert!(estate.reaches("near", far));
}

fn one_way_is_lost_in_both_families(estate: &Estate<'_>) {
    let (left, near) = (estate.target("left"), estate.target("near"));
    let [lefts, nears, fars] = ["left", "near", "far"].map(|name| estate.addresses(name));
    let for_long = "--mode initiator --for 120s";

    // On one node by both names, so that both families are cut at once.
    let cut = estate.begin(&format!("cut {left} {near} {for_long}"), ", seed ");
    assert_eq!(estate.reaches_both("left", nears), [false; 2]);
    assert_eq!(estate.reaches_both("near", lefts), [true; 2]);
    assert!(estate.reaches("left", fars[0]), "nobody else is cut");
    estate.heal(cut);

    // Over two nodes the other end is addresses: one family out, the other one in.
    let out = format!("cut {left} addr:{} {for_long}", fars[0]);
    let out = estate.begin(&out, ", seed ");
    assert_eq!(estate.reaches_both("left", fars), [false, true]);
    assert!(estate.reaches("far", lefts[0]));
    estate.heal(out);
    let into = format!("cut addr:{} {left} {for_long}", fars[1]);
    let into = estate.begin(&into, ", seed ");
    assert_eq!(estate.reaches_both("far", lefts), [true, false]);
    assert!(estate.reaches("left", fars[1]));
    estate.heal(into);
    assert!(estate.reaches("left", fars[0]) && estate.reaches("far", lefts[1]));
    estate.is_clean();
}

fn a_container_that_starts_anew_changes_nothing(estate: &Estate<'_>) {
    let (left, near) = (estate.target("left"), estate.target("near"));
    let [ours, theirs] = ["left", "near"].map(|name| estate.addresses(name)[0]);
    let cut = format!("cut {left}/web {near} --mode initiator --for 120s");
    let cut = estate.begin(&cut, ", seed ");
    assert!(!estate.reaches("left", theirs));
    estate.restart("left", "web");
    assert!(!estate.reaches("left", theirs), "the cut goes on");
    assert!(estate.reaches("near", ours), "the new container is reached as the old one was");
    estate.heal(cut);
    assert!(estate.reaches("left", theirs));
    estate.is_clean();
}

fn one_container_has_another_time(estate: &Estate<'_>) {
    const HOUR: i64 = 3_600;
    let left = estate.target("left");
    let skew = format!("skew {left}/clock +1h --for 180s");
    let skew = estate.begin(&skew, "realtime +1h ±");
    clocks::are_off(estate.kubectl, "left", "clock", HOUR);
    clocks::are_off(estate.kubectl, "left", "sibling", 0);
    // The first process of the new container begins with the true time, and is found.
    estate.restart("left", "clock");
    clocks::are_off(estate.kubectl, "left", "clock", HOUR);
    clocks::are_off(estate.kubectl, "left", "sibling", 0);
    estate.heal(skew);
    clocks::are_off(estate.kubectl, "left", "clock", 0);
    estate.is_clean();
}

fn one_container_stands_still(estate: &Estate<'_>) {
    let left = estate.target("left");
    let freeze = format!("freeze {left}/clock --for 120s");
    let freeze = estate.begin(&freeze, " still, in ");
    let shown = |container: &str| {
        let line = ["exec", "left", "-c", container, "--", "cat", "/tmp/clock"];
        estate.kubectl.run_with(&line).unwrap()
    };
    // `cat` is in the container, too, and is found by a look a second later: it has ended by then.
    let (still, goes_on) = (shown("clock"), shown("sibling"));
    until("the sibling's clock goes on", || shown("sibling") != goes_on);
    assert_eq!(shown("clock"), still);
    estate.heal(freeze);
    until("the clock goes on", || shown("clock") != still);
}

fn one_container_is_loaded(estate: &Estate<'_>) {
    let left = estate.target("left");
    let refused = estate.run(&format!("stress {left} --cpu 1 --for 2s"));
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.said.contains(&format!("name one of them: {left}/clock")), "{refused:?}");
    let loaded = estate.run(&format!("stress {left}/clock --cpu 1 --for 2s -o json"));
    assert_eq!(loaded.code, Some(0), "{loaded:?}");
    // A load keeps no container from starting anew.
    let long = estate.begin(&format!("stress {left}/sibling --cpu 1@20% --for 180s"), " CPU in ");
    estate.restart("left", "sibling");
    estate.heal(long);
    let took = loaded.document()["faults"][0]["measured"]["stress"]["cpu"].as_f64();
    assert!(took.is_some_and(|took| took > 0.2), "{loaded:?}");
    estate.is_clean();
}

fn a_pod_that_is_deleted_takes_its_cut_along(estate: &Estate<'_>) {
    let (left, near) = (estate.target("left"), estate.target("near"));
    let cut = format!("cut {left} {near} --for 300s");
    let cut = estate.begin(&cut, ", seed ");
    estate.kubectl.run("delete pod left --wait=true --timeout=60s").unwrap();
    let ended = cut.ended();
    assert!(ended.said.contains("gone"), "{ended:?}");
    let status = estate.run("status -o json");
    let stands = status.document()["faults"].as_array().map_or(0, Vec::len);
    assert_eq!(stands, 0, "{status:?}");
    estate.is_clean();
}

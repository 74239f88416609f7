//! Cuts over nodes by role, through a controller.

use std::time::Duration;

use lab::clock::BootTime;
use lab::topology::{BRIDGE, Family};
use lab::traffic::Pinger;
use nix::sys::signal::Signal;

use crate::estate::Estate;
use crate::running::{Ended, PATIENCE};

const TRIO: [&str; 3] = ["m0", "m1", "m2"];

fn lost(stdout: &str) -> u64 {
    let report: serde_json::Value = serde_json::from_str(stdout).unwrap();
    let parts = report["intents"][0]["parts"].as_array().unwrap();
    parts.iter().map(|part| part["faults"][0]["effect"]["lost"].as_u64().unwrap()).sum()
}

#[test]
fn a_leader_is_cut_off_by_its_role() {
    let estate = Estate::of(&TRIO, "");
    let leader = estate.leader();
    let plan = estate.run_as("eve", "cut etcd:leader one:etcd:follower --dry-run");
    assert_eq!(plan.code, Some(0), "{plan:?}");
    let targets = estate.run_as("eve", "targets -o wide etcd:leader");
    assert_eq!(targets.code, Some(0), "{targets:?}");
    assert!(targets.stdout.contains(&format!("etcd:leader is {leader}, host:{leader}@")));

    let cut = estate.run_as("ada", "cut etcd:leader all:etcd:follower --for 3s -o json");
    assert_eq!(cut.code, Some(0), "{cut:?}");
    assert!(
        cut.stderr.contains(&format!("etcd:leader is {leader}, host:{leader}@{leader}")),
        "{cut:?}"
    );
    assert!(cut.stderr.contains(", begun within "), "{cut:?}");
    assert!(lost(&cut.stdout) > 0, "{cut:?}");
    let report: serde_json::Value = serde_json::from_str(&cut.stdout).unwrap();
    let evidence = report["intents"][0]["ends"][0]["evidence"][0].as_str().unwrap();
    assert!(evidence.contains("says leader") && evidence.contains("revision"), "{evidence}");

    let refused = estate.run_as("eve", "cut etcd:leader one:etcd:follower");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(estate.audit().contains("schism://user/eve/viewer"), "{}", estate.audit());

    // Whoever leads now is found anew, and so is who does not exist.
    let nobody = estate.run("cut etcd:member/m9 etcd:leader");
    assert_eq!(nobody.code, Some(5), "{nobody:?}");
    assert!(nobody.stderr.contains("etcd has no member m9; it has m0, m1, m2"), "{nobody:?}");
    let many = estate.run("cut etcd:member etcd:leader");
    assert_eq!(many.code, Some(2), "{many:?}");
}

/// Whether no guard refused: what two members send each other in a second is etcd's affair.
fn is_admitted(ended: &Ended) -> bool {
    matches!(ended.code, Some(0 | 3)) && ended.stderr.contains(" active on ")
}

#[test]
fn a_majority_is_kept_unless_it_is_asked_for() {
    let estate = Estate::of(&TRIO, "[names]\nboth = [\"etcd:member/m0\", \"etcd:member/m1\"]\n");
    let first =
        estate.begin("cut --preset isolate all:etcd:member --around etcd:member/m2 --for 60s");
    first.says(", seed ");
    let second = estate.run("cut etcd:member/m0 etcd:member/m1 --for 60s");
    assert_eq!(second.code, Some(4), "{second:?}");
    assert!(second.stderr.contains("etcd:etcd would lose its majority"), "{second:?}");
    let named = estate.run("cut --preset isolate both --for 1s --dry-run");
    assert_eq!(named.code, Some(4), "{named:?}");
    let asked = estate.run("cut etcd:member/m0 etcd:member/m1 --for 1s --allow-quorum-loss");
    assert!(is_admitted(&asked), "{asked:?}");

    first.signal(Signal::SIGINT);
    let first = first.ended();
    assert_eq!(first.code, Some(130), "{first:?}");
    assert!(first.stderr.contains("m2"), "the matrix is shown: {first:?}");
    let healthy = estate.run("cut both etcd:member/m2 --for 1s");
    assert!(is_admitted(&healthy), "{healthy:?}");
    let unknown = estate.run("cut nobody etcd:member/m2");
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("schism.toml gives no such name"), "{unknown:?}");
}

/// Has the leader give its place to another member, which it does at once.
fn transfer(estate: &Estate, from: usize, to: usize) {
    let member = estate.etcd.status(to).unwrap().member;
    let leader = estate.etcd.node(from).v4;
    let mut etcdctl = estate.lab.hub_node().unwrap().namespace.exec("etcdctl");
    etcdctl.env("ETCDCTL_API", "3").arg(format!("--endpoints=http://{leader}:2379"));
    let output = etcdctl.arg("move-leader").arg(format!("{member:x}")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_cut_goes_with_a_leader_that_has_moved() {
    let estate = Estate::of(&TRIO, "");
    let (leader, _) = estate.etcd.wait_leader(1, PATIENCE).unwrap();
    let others: Vec<usize> = (0..TRIO.len()).filter(|member| *member != leader).collect();
    let [cut_off, next] = [others[0], others[1]].map(|member| &estate.etcd.node(member).label);
    // Of a port that nobody uses: the members themselves are to notice nothing.
    let line = format!("cut etcd:leader etcd:member/{cut_off} --port 9 --for 8s --follow -o json");
    let cut = estate.begin(&line);
    cut.says(", seed ");
    transfer(&estate, leader, others[1]);
    cut.says(" goes with the roles:");
    let ended = cut.ended();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let intents = report["intents"].as_array().unwrap();
    let who = |intent: &serde_json::Value| intent["ends"][0]["member"].as_str().map(String::from);
    let moved: Vec<Option<String>> = intents.iter().map(who).collect();
    let names = [&estate.etcd.node(leader).label, next].map(|name| Some(name.clone()));
    assert_eq!(moved, names, "{ended:?}");
    let status = estate.run("status");
    assert!(status.stdout.contains("no fault is active"), "{status:?}");
}

#[test]
fn a_controller_that_is_killed_finds_its_faults_again() {
    let mut estate = Estate::of(&TRIO, "");
    let cut = estate.run("cut etcd:leader one:etcd:follower --for 60s --lease 6s --detach -o name");
    assert_eq!(cut.code, Some(0), "{cut:?}");
    estate.kill_controller();
    estate.start_controller();
    estate.await_agents(3);
    let status = estate.run("status -o json");
    assert_eq!(status.code, Some(0), "{status:?}");
    let report: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(report["intents"].as_array().unwrap().len(), 1, "{status:?}");
    assert_eq!(report["intents"][0]["stage"], "active", "{status:?}");
    let halted = estate.run("halt");
    assert_eq!(halted.code, Some(0), "{halted:?}");
    let refused = estate.run("cut etcd:leader one:etcd:follower");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("the brake is on"), "{refused:?}");
    assert_eq!(estate.run("resume").code, Some(0));
    let after = estate.run("status");
    assert!(after.stdout.contains("no fault is active"), "{after:?}");
}

/// What m0 sends to m1 goes through the hub, which puts its own address in place of m0's.
fn masquerade(estate: &Estate) {
    let hub = estate.lab.hub_node().unwrap();
    let (from, to) = (&estate.lab["m0"], &estate.lab["m1"]);
    hub.namespace.sysctl("net/ipv4/ip_forward", "1").unwrap();
    for device in ["all", BRIDGE] {
        hub.namespace.sysctl(&format!("net/ipv4/conf/{device}/send_redirects"), "0").unwrap();
    }
    let rule = format!(
        "add table ip nat; add chain ip nat out {{ type nat hook postrouting priority 100; }}; \
         add rule ip nat out ip saddr {} ip daddr {} masquerade",
        from.v4, to.v4
    );
    let added = hub.namespace.exec("nft").arg(rule).status().unwrap();
    assert!(added.success());
    from.namespace.batch(&format!("route add {}/32 via {}\n", to.v4, hub.v4)).unwrap();
}

/// What a cut of datagrams from m0 to m1 came to, of which there are always some.
fn cut_datagrams(estate: &Estate, more: &str) -> Ended {
    let (from, to) = (&estate.lab["m0"], &estate.lab["m1"]);
    let pinger = Pinger::start(from, to, Family::V4, Duration::from_millis(10)).unwrap();
    assert!(pinger.wait_arrival(BootTime::now(), PATIENCE).is_some(), "nothing arrives");
    let cut = format!("cut host:m0@m0 host:m1@m1 --proto udp --for 2s -o json{more}");
    let ended = estate.run(&cut);
    drop(pinger.finish());
    ended
}

#[test]
fn behind_a_masquerading_router_the_senders_side_finds_it_unasked() {
    let estate = Estate::of(&TRIO, "");
    masquerade(&estate);
    let receiver = cut_datagrams(&estate, " --enforce receiver");
    assert_eq!(receiver.code, Some(3), "m1 knows m0 by another address: {receiver:?}");
    let both = cut_datagrams(&estate, "");
    assert_eq!(both.code, Some(0), "{both:?}");
    assert!(lost(&both.stdout) > 50, "{both:?}");
}

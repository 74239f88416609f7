//! Real etcd clusters in namespaces. Needs root and etcd 3.4, and fails without.

use std::{path::Path, time::Duration};

use lab::{
    clock::BootTime,
    etcd::{CLIENT_PORT, Cluster, Options, Route, Writer},
    topology::{Family, Topology},
};

const SOON: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_millis(300);

#[test]
fn a_killed_leader_is_replaced_and_comes_back() {
    let topology = Topology::hub(&["m0", "m1", "m2"]).unwrap();
    let mut cluster = Cluster::start(&topology, 3).unwrap();
    let (leader, term) = cluster.wait_leader(1, SOON).unwrap();
    assert_eq!(cluster.leader(), Some(leader));
    assert!(cluster.statuses().iter().all(Option::is_some));

    let writer = Writer::start(&cluster, Route::Any, EVERY, LIMIT);
    assert!(writer.wait_acknowledged(BootTime::now(), SOON).is_some());
    let killed = BootTime::now();
    cluster.kill(leader).unwrap();
    let (successor, new_term) = cluster.wait_leader(term + 1, SOON).unwrap();
    assert_ne!(successor, leader);
    assert!(writer.wait_acknowledged(BootTime::now(), SOON).is_some());
    let writes = writer.finish();
    let during = writes.between(killed, BootTime::now());
    // Followers wait for an election timeout of 1 s at least.
    assert!(during.longest_gap() >= Duration::from_millis(500), "{:?}", during.longest_gap());
    assert!(writes.failed() > 0);

    cluster.restart(leader).unwrap();
    assert!(cluster.term() >= new_term);
    // What was acknowledged is there, on the member too that was away.
    let last = writes.attempts.iter().rev().find(|attempt| attempt.result.is_ok()).unwrap();
    let value = cluster.client(leader).get(&format!("schism/{}", last.number), SOON).unwrap();
    assert_eq!(value.as_deref(), Some("written"));
    println!("no write for {:?}", during.longest_gap());
}

#[test]
fn members_are_reached_over_both_families_from_every_node() {
    let topology = Topology::hub(&["m0", "m1", "m2"]).unwrap();
    let options = Options { peers: Family::V6, ..Options::default() };
    let cluster = Cluster::start_with(&topology, 3, &options).unwrap();
    for family in Family::ALL {
        for (number, from) in topology.nodes().iter().enumerate() {
            let mut client = cluster.client_from(from, (number + 1) % 3, family);
            let revision = client.put("key", &format!("{family:?}{number}"), SOON).unwrap();
            assert!(revision > 1);
            let value = client.get("key", SOON).unwrap();
            assert_eq!(value, Some(format!("{family:?}{number}")));
        }
    }
    assert_eq!(cluster.client(0).get("nothing", SOON).unwrap(), None);
    let address = topology["m1"].socket_address(Family::V6, CLIENT_PORT);
    assert!(address.is_ipv6());
}

#[test]
fn members_count_what_they_send() {
    let topology = Topology::hub(&["m0", "m1", "m2"]).unwrap();
    let cluster = Cluster::start(&topology, 3).unwrap();
    let (leader, _) = cluster.wait_leader(1, SOON).unwrap();
    let other = (leader + 1) % 3;
    let id = format!("{:x}", cluster.status(other).unwrap().member);
    let sent = || {
        let metrics = cluster.metrics(leader).unwrap();
        metrics.labelled("etcd_network_peer_sent_bytes_total", "To", &id)
    };
    let before = sent();
    cluster.client(leader).put("key", "value", SOON).unwrap();
    assert!(sent() > before);
    let changes = cluster.metrics(other).unwrap().sum("etcd_server_leader_changes_seen_total");
    assert!(changes >= 1.0, "{changes}");
}

#[test]
fn a_cluster_of_five_leaves_nothing() {
    let topology = Topology::hub(&["m0", "m1", "m2", "m3", "m4"]).unwrap();
    let cluster = Cluster::start(&topology, 5).unwrap();
    let pids: Vec<u32> = (0..5).map(|member| cluster.pid(member).unwrap()).collect();
    assert!(cluster.log(0).unwrap().contains("m0"));
    let namespace = topology["m0"].namespace.path();
    drop(cluster);
    drop(topology);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid}");
    }
    assert!(!namespace.exists());
    let own = format!("schism-{}-", std::process::id());
    let left = std::fs::read_dir(std::env::temp_dir())
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&own))
        .filter(|entry| entry.path().join("m4").exists());
    assert_eq!(left.count(), 0);
}

#[test]
fn what_can_not_work_is_said() {
    let topology = Topology::pair().unwrap();
    let error = Cluster::start(&topology, 3).unwrap_err().to_string();
    assert!(error.contains("needs as many nodes"), "{error}");
    let options = Options { arguments: vec!["--name=stranger".to_owned()], ..Options::default() };
    let error = Cluster::start_with(&topology, 1, &options).unwrap_err().to_string();
    assert!(error.contains("ended by itself") && error.contains("stranger"), "{error}");
}

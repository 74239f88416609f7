//! The etcd provider against real clusters in namespaces. Needs root and etcd 3.4, and fails without.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::time::{Duration, Instant};

use controller::provider::etcd::{AskError, Etcd, EtcdView, RoleError, SelectError};
use fault::EtcdRole;
use lab::{
    etcd::{CLIENT_PORT, Cluster, Options},
    topology::{Family, Node, Topology},
};

const SOON: Duration = Duration::from_secs(20);

/// Asks from the hub; only this member is configured, by this family.
fn view(topology: &Topology, through: &Node, family: Family) -> Result<EtcdView, AskError> {
    let url = format!("http://{}", through.socket_address(family, CLIENT_PORT));
    let etcd = Etcd::new(vec![url.parse().unwrap()], None).unwrap();
    let hub = topology.hub_node().unwrap();
    let asked = hub.namespace.inside(|| {
        // Threads of the runtime are inside, too.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(etcd.view())
    });
    asked.unwrap()
}

/// The evidence's beginning, as etcd itself says it through the lab.
fn says(cluster: &Cluster, member: usize, leader: usize) -> String {
    let term = cluster.status(member).unwrap().term;
    let (member, leader) = (&cluster.node(member).label, &cluster.node(leader).label);
    format!("{member} says leader {leader} (term {term}, revision ")
}

#[test]
fn roles_are_those_of_the_cluster() {
    let topology = Topology::hub(&["m0", "m1", "m2"]).unwrap();
    let options = Options { peers: Family::V6, ..Options::default() };
    let cluster = Cluster::start_with(&topology, 3, &options).unwrap();
    let (leader, term) = cluster.wait_leader(1, SOON).unwrap();
    cluster.client(leader).put("key", "value", SOON).unwrap();

    for (through, family) in topology.nodes().iter().zip(Family::ALL.into_iter().cycle()) {
        let view = view(&topology, through, family).unwrap();
        let roles = view.roles().unwrap();
        let name = |member: usize| cluster.node(member).label.parse().unwrap();
        assert_eq!((&roles.leader, roles.term), (&name(leader), term));
        let followers: Vec<_> = (0..3).filter(|member| *member != leader).map(name).collect();
        assert_eq!(roles.followers, followers);
        assert_eq!(view.group().unwrap().voters().len(), 3);

        let found = view.select(&EtcdRole::Leader).unwrap();
        assert_eq!(found.len(), 1);
        // Members talk to each other over IPv6 here, clients to them over IPv4.
        let both = Family::ALL.map(|family| cluster.node(leader).address(family));
        assert_eq!(found[0].addresses, both.into());
        for (member, evidence) in found[0].evidence.iter().take(3).enumerate() {
            assert!(evidence.starts_with(&says(&cluster, member, leader)), "{evidence}");
        }
        let answers = view.members.iter().map(|member| member.answer.clone().unwrap());
        assert!(answers.into_iter().all(|answer| answer.revision >= 2 && answer.raft_index > 0));
    }
}

#[test]
fn who_is_gone_is_told_and_counts() {
    let topology = Topology::hub(&["m0", "m1", "m2"]).unwrap();
    let mut cluster = Cluster::start(&topology, 3).unwrap();
    let (first, term) = cluster.wait_leader(1, SOON).unwrap();
    cluster.kill(first).unwrap();
    let (leader, _) = cluster.wait_leader(term + 1, SOON).unwrap();
    let last = 3 - first - leader;
    // The new leader leads before the other one says that it follows.
    let follows = |status: lab::etcd::Status| status.leader.is_some();
    let began = Instant::now();
    while !cluster.status(last).is_ok_and(follows) {
        assert!(began.elapsed() < SOON, "the other one follows nobody");
    }

    let through = cluster.node(leader).clone();
    let asked = view(&topology, &through, Family::V4).unwrap();
    let roles = asked.roles().unwrap();
    assert_eq!(roles.leader.as_str(), through.label);
    assert_eq!(roles.followers.len(), 2);
    assert_eq!(asked.group().unwrap().voters().len(), 3);
    let gone = format!("{} says nothing: no connection: ", cluster.node(first).label);
    let evidence = asked.select(&EtcdRole::Leader).unwrap().remove(0).evidence;
    assert!(evidence.iter().any(|line| line.starts_with(&gone)), "{evidence:?}");

    // Without a majority nobody leads, or it cannot be known.
    cluster.kill(last).unwrap();
    let asked = view(&topology, &through, Family::V4).unwrap();
    let refused = asked.select(&EtcdRole::Leader).unwrap_err();
    assert!(
        matches!(
            refused,
            SelectError::Role(
                RoleError::NoLeader(_) | RoleError::Minority { .. } | RoleError::Disagreement(_)
            )
        ),
        "{refused}"
    );
    let member = EtcdRole::Member(cluster.node(first).label.parse().unwrap());
    assert_eq!(asked.select(&member).unwrap().len(), 1);

    cluster.kill(leader).unwrap();
    let refused = view(&topology, &through, Family::V4).unwrap_err();
    assert!(matches!(refused, AskError::Silent(_)), "{refused}");
}

use std::collections::BTreeMap;

use fault::{ZeebeMembers, ZeebeRole};
use zeebe::{Broker, GatewayError, Health, OwnPartition, Role, Topology};

use super::*;
use crate::provider::zeebe::{SelectError, ZeebeBroker, ZeebeGateway, view::BrokerSilence};

fn number(partition: u32) -> PartitionNumber {
    PartitionNumber::new(partition).unwrap()
}

fn own(role: RaftRole) -> OwnPartition {
    OwnPartition {
        role,
        processed_position: Some(42),
        stream_processor_phase: None,
        exporter_phase: None,
        exported_position: None,
    }
}

/// A broker that says this of partitions 1, 2, …: `l`, `f`, `c` or `-` for one that it has not; or nothing.
fn broker(id: u8, says: &str) -> (NodeId, ZeebeBroker) {
    let role = |letter: char| match letter {
        'l' => Some(RaftRole::Leader),
        'f' => Some(RaftRole::Follower),
        'c' => Some(RaftRole::Candidate),
        _ => None,
    };
    let partitions = PartitionId::first(8192).zip(says.chars());
    let answer = partitions.filter_map(|(partition, letter)| Some((partition, own(role(letter)?))));
    let answer = match says {
        "mute" => Err(BrokerSilence::Place("mute".to_owned())),
        _ => Ok(answer.collect()),
    };
    let addresses = [std::net::Ipv4Addr::new(10, 0, 0, id).into()].into();
    (NodeId::new(id.into()), ZeebeBroker { addresses, astray: Vec::new(), answer })
}

/// A gateway that has heard of these leaders of partition 1, 2, …
fn gateway(size: u32, leaders: &[u32]) -> ZeebeGateway {
    let partitions = |id: u32| -> BTreeMap<_, _> {
        let heard = PartitionId::first(8192).zip(leaders);
        let role = |leader: u32| if leader == id { Role::Leader } else { Role::Follower };
        heard.map(|(partition, leader)| (partition, (role(*leader), Health::Healthy))).collect()
    };
    let broker = |id: u32| {
        let (host, version) = (format!("10.0.0.{id}"), "8.5.8".to_owned());
        (NodeId::new(id), Broker { host, port: 26501, version, partitions: partitions(id) })
    };
    ZeebeGateway {
        name: "gateway-1".parse().unwrap(),
        at: "gw".parse().unwrap(),
        addresses: [std::net::Ipv4Addr::new(10, 0, 1, 1).into()].into(),
        astray: Vec::new(),
        answer: Ok(Topology {
            brokers: (0..size).map(broker).collect(),
            cluster_size: size,
            partitions: 3,
            replication_factor: 3,
            gateway_version: "8.5.8".to_owned(),
        }),
    }
}

fn view(says: &[&str], heard: &[u32]) -> ZeebeView {
    let brokers = (0_u8..).zip(says).map(|(id, says)| broker(id, says)).collect();
    let size = u32::try_from(says.len()).unwrap();
    ZeebeView { partitions: 3, brokers, gateways: vec![gateway(size, heard)] }
}

const HEALTHY: [&str; 3] = ["lff", "flf", "ffl"];

#[test]
fn each_partition_has_a_leader_of_its_own() {
    let view = view(&HEALTHY, &[0, 1, 2]);
    for (partition, leader) in [(1, 0), (2, 1), (3, 2)] {
        let roles = view.roles(number(partition)).unwrap();
        assert_eq!(roles.leader, NodeId::new(leader));
        assert_eq!(roles.followers.len(), 2);
        let says = format!("broker-{leader} says leader of partition {partition} (position 42)");
        assert!(roles.said.contains(&says), "{:?}", roles.said);
        assert!(roles.said.contains(&format!("gateway-1 has heard that broker-{leader} leads")));
    }
    let absent = view.roles(number(4));
    assert!(matches!(absent, Err(RoleError::NoSuchPartition { count: 3, .. })));
}

#[test]
fn disagreement_is_told_and_not_averaged() {
    let two = view(&["lff", "llf", "ffl"], &[0, 1, 2]).roles(number(1)).unwrap_err();
    assert!(matches!(two, RoleError::Disagreement { .. }), "{two}");
    assert!(two.to_string().contains("broker-1 says leader of partition 1"), "{two}");
    // The one that does not answer may lead still.
    let hidden = view(&["mute", "llf", "ffl"], &[0, 1, 2]).roles(number(1)).unwrap_err();
    assert!(matches!(hidden, RoleError::Disagreement { .. }), "{hidden}");
    // A gateway behind: the broker that it names says itself that it follows.
    let behind = view(&["fff", "llf", "ffl"], &[0, 1, 2]).roles(number(1)).unwrap();
    assert_eq!(behind.leader, NodeId::new(1));
    assert!(behind.said.contains(&"gateway-1 has heard that broker-0 leads".to_owned()));
}

#[test]
fn without_a_leader_or_a_majority_nobody_is_named() {
    let none = view(&["cff", "flf", "ffl"], &[0, 1, 2]).roles(number(1)).unwrap_err();
    assert!(matches!(none, RoleError::NoLeader { .. }), "{none}");
    let few = view(&["lff", "mute", "mute"], &[0, 1, 2]).roles(number(1)).unwrap_err();
    assert!(matches!(few, RoleError::Minority { answers: 1, replicas: 3, .. }), "{few}");
    let enough = view(&["lff", "flf", "mute"], &[0, 1, 0]);
    assert_eq!(enough.roles(number(1)).unwrap().leader, NodeId::new(0));
}

#[test]
fn where_one_is_silent_an_old_leader_is_not_taken_at_its_own_word() {
    // Broker 2 may lead since.
    let silent = || view(&["lff", "flf", "mute"], &[0, 1, 0]);
    let told = silent().roles(number(1)).unwrap();
    assert!(told.said.iter().any(|line| line.contains("gateways may be behind")), "{told:?}");
    let mut nobody = silent();
    nobody.gateways[0].answer = Err(GatewayError::Late("no answer".to_owned()));
    let error = nobody.roles(number(1)).unwrap_err();
    assert!(matches!(error, RoleError::Minority { answers: 2, replicas: 3, .. }), "{error}");
    let mut none = silent();
    none.gateways.clear();
    assert!(matches!(none.roles(number(1)), Err(RoleError::Minority { .. })));
    // One gateway that has heard of nobody, or of a follower, beside one that has heard the same.
    for heard in [vec![9], vec![1]] {
        let mut two = silent();
        two.gateways.push(gateway(3, &heard));
        let error = two.roles(number(1)).unwrap_err();
        assert!(matches!(error, RoleError::Minority { .. }), "{error}");
    }
    // Where all answer, nobody else can lead, whatever gateways have heard.
    let mut all = view(&HEALTHY, &[0, 1, 2]);
    all.gateways.clear();
    assert_eq!(all.roles(number(1)).unwrap().leader, NodeId::new(0));
}

#[test]
fn only_those_that_have_a_partition_count_for_it() {
    // Five brokers, three replicas: partition 1 is on 0 to 2.
    let mut view = view(&["l--", "fl-", "ffl", "-ff", "--f"], &[0, 1, 2]);
    view.gateways.clear();
    let group = |partition: u32| {
        let groups = view.groups().unwrap();
        let id = PartitionId::new(partition).unwrap();
        let (_, group) = groups.into_iter().find(|(one, _)| *one == id).unwrap();
        group.voters().into_iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(group(1), ["broker-0", "broker-1", "broker-2"]);
    assert_eq!(group(3), ["broker-2", "broker-3", "broker-4"]);
    // Of whom nobody says what it has, it is taken to have everything.
    view.brokers.extend([broker(3, "mute")]);
    let groups = view.groups().unwrap();
    assert!(groups.iter().all(|(_, group)| group.voters().contains(&"broker-3".parse().unwrap())));
}

#[test]
fn roles_lead_to_members() {
    let eleven: Vec<String> =
        (0..11).map(|id| if id == 10 { "lll" } else { "fff" }.to_owned()).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    let view = view(&eleven, &[10, 10, 10]);
    let select = |text: &str| {
        let members: ZeebeMembers = text.parse().unwrap();
        let found = view.select(&members.role)?;
        Ok::<_, SelectError>(
            found.into_iter().map(|one| one.member.to_string()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(select("partition/1/leader").unwrap(), ["broker-10"]);
    assert_eq!(select("partition/1/follower").unwrap().len(), 10);
    assert_eq!(select("broker/2").unwrap(), ["broker-2"]);
    assert_eq!(select("broker").unwrap().len(), 11);
    assert_eq!(select("gateway").unwrap(), ["gateway-1"]);
    assert!(matches!(select("broker/11"), Err(SelectError::NoSuchBroker { number: 11, .. })));
    assert!(matches!(select("partition/9/leader"), Err(SelectError::Role(_))));
}

#[test]
fn a_member_that_is_nowhere_cannot_be_hit() {
    let mut view = view(&HEALTHY, &[0, 1, 2]);
    view.gateways[0].answer = Err(GatewayError::Late("no answer".to_owned()));
    let first = view.brokers.get_mut(&NodeId::new(0)).unwrap();
    (first.addresses, first.astray) =
        (Default::default(), vec!["b0 means whoever asks".to_owned()]);
    let error = view.select(&ZeebeRole::Broker(0)).unwrap_err();
    assert!(error.to_string().ends_with("b0 means whoever asks"), "{error}");
    assert!(view.select(&ZeebeRole::Broker(1)).is_ok());
}

#[test]
fn what_keeps_a_cluster_from_being_ready_is_told() {
    assert_eq!(view(&HEALTHY, &[0, 1, 2]).troubles(), Vec::<String>::new());
    let troubles = |says: &[&str], heard: &[u32]| view(says, heard).troubles().join("; ");
    let silent = troubles(&["mute", "flf", "ffl"], &[0, 1, 2]);
    assert!(
        silent.contains("broker-0 says nothing") && silent.contains("partition 1 has no leader")
    );
    let two = troubles(&["lff", "llf", "ffl"], &[0, 1, 2]);
    assert!(two.contains("partition 1 is led by broker-0 and by broker-1"), "{two}");
    let behind = troubles(&["fff", "llf", "ffl"], &[0, 1, 2]);
    assert!(behind.contains("gateway-1 has heard that broker-0 leads partition 1"), "{behind}");
    let wants = troubles(&["lff", "flc", "ffl"], &[0, 1, 2]);
    assert!(wants.contains("broker-1 is candidate of partition 3"), "{wants}");
    // However well everybody is by his own word: one that a gateway has heard to be sick is told.
    let mut sick = view(&HEALTHY, &[0, 1, 2]);
    let topology = sick.gateways[0].answer.as_mut().unwrap();
    let third = topology.brokers.get_mut(&NodeId::new(2)).unwrap();
    third.partitions.insert(PartitionId::new(1).unwrap(), (Role::Follower, Health::Unhealthy));
    let sick = sick.troubles();
    assert_eq!(sick, ["gateway-1 has heard that partition 1 is not healthy on broker-2"]);
    let mut few = view(&HEALTHY, &[0, 1, 2]);
    few.gateways[0].answer.as_mut().unwrap().brokers.remove(&NodeId::new(1));
    let few = few.troubles().join("; ");
    assert!(few.contains("gateway-1 has heard of 2 of 3 brokers"), "{few}");
}

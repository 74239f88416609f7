use std::net::Ipv4Addr;

use fault::{
    Chance, Cut, FlowAge, IntentId, LeaseTerms, Limits, Mode, NamespaceCookie, OwnAddress, Scheme,
    Standing, Verdict,
};

use super::*;
use crate::admit::{AdmitError, admit};
use crate::cut::specimen;
use crate::planning::{Direction, plan};
use crate::provider::etcd::{ClusterId, EtcdAnswer, EtcdMember, MemberId, Silence};
use crate::provider::kubernetes::Unusable;
use crate::spec::{Between, Loss, QuorumLoss, Spec, Ways, What};

/// Whether a member of the test's cluster answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Voice {
    Says,
    Mute,
}

fn member_name(number: u8) -> MemberName {
    format!("m{number}").parse().unwrap()
}

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, number).into()
}

fn node(number: u8) -> NodeName {
    NodeName::new(&format!("n{number}")).unwrap()
}

fn target(number: u8) -> Target {
    let own = OwnAddress { address: address(number), length: 24, interface: 2 };
    let identity = specimen::identity(number.into(), None);
    let target = specimen::target(&format!("netns:db{number}"), identity);
    Target { addresses: vec![own], ..target }
}

/// Members `m1`, `m2`, … each on a node of its own; `m1` leads.
fn cluster(voices: &[Voice]) -> Cluster {
    let member = |(number, voice): (u8, &Voice)| EtcdMember {
        name: member_name(number),
        id: MemberId(number.into()),
        standing: Standing::Voter,
        peer_urls: Vec::new(),
        client_urls: Vec::new(),
        addresses: [address(number)].into(),
        astray: Vec::new(),
        answer: match voice {
            Voice::Mute => Err(Silence::Malformed("mute".to_owned())),
            Voice::Says => Ok(EtcdAnswer {
                leader: Some(MemberId(1)),
                term: 4,
                revision: 9,
                raft_index: 9,
                standing: Standing::Voter,
            }),
        },
    };
    let members: Vec<EtcdMember> = (1..).zip(voices).map(member).collect();
    let owner = |number: u8| (member_name(number), vec![(node(number), target(number))]);
    let owners = (1..).take(voices.len()).map(owner).collect();
    Cluster { view: View::Etcd(EtcdView { cluster: ClusterId(7), members }), owners, homes: None }
}

fn group(name: &str) -> GroupName {
    GroupName { system: System::Etcd, path: name.parse().unwrap() }
}

fn sight(voices: &[Voice]) -> Sight {
    Sight { clusters: [(group("etcd"), Ok(cluster(voices)))].into(), ..Sight::default() }
}

fn found(sight: &Sight, text: &str) -> Result<Vec<End>, SightError> {
    let selector: Selector = text.parse().unwrap();
    let Scheme::Etcd(members) = selector.scheme.clone() else { panic!("{text} is of etcd") };
    let players = sight.players(&selector, Members::Etcd(&members))?;
    Ok(players.into_iter().map(|player| player.end).collect())
}

fn names(ends: &[End]) -> Vec<String> {
    ends.iter().map(|end| end.member.as_ref().unwrap().to_string()).collect()
}

const ALL_SAY: [Voice; 3] = [Voice::Says; 3];

#[test]
fn a_role_leads_to_targets() {
    let sight = sight(&ALL_SAY);
    let table = [
        ("etcd:leader", vec!["m1"]),
        ("all:etcd:follower", vec!["m2", "m3"]),
        ("all:etcd:etcd/member", vec!["m1", "m2", "m3"]),
        ("etcd:member/m2", vec!["m2"]),
    ];
    for (text, expected) in table {
        let ends = found(&sight, text).unwrap();
        assert_eq!(names(&ends), expected, "{text}");
        for end in &ends {
            let Place::Target(node, target) = &end.place else { panic!("no target") };
            let member = end.member.as_ref().unwrap().as_str();
            assert_eq!(node.as_str().strip_prefix('n'), member.strip_prefix('m'));
            let last = end.evidence.last().unwrap();
            assert_eq!(*last, format!("the agent of {node} has it as {}", target.selector));
            assert!(end.evidence.iter().any(|line| line.contains("term 4, revision 9")));
        }
    }
}

#[test]
fn where_nothing_is_certain_nothing_is_named() {
    let named = |name: &str| (group(name), Ok(cluster(&ALL_SAY)));
    let two = Sight { clusters: [named("a"), named("b")].into(), ..Sight::default() };
    assert!(matches!(found(&two, "etcd:leader"), Err(SightError::Unnamed { .. })));
    assert_eq!(names(&found(&two, "etcd:b/leader").unwrap()), ["m1"]);
    assert!(matches!(found(&two, "etcd:c/leader"), Err(SightError::Unknown { .. })));
    let none = Sight::default();
    assert_eq!(found(&none, "etcd:leader"), Err(SightError::NoCluster(System::Etcd)));

    let mut unowned = sight(&ALL_SAY);
    unowned.silent.insert(node(1), "no answer in time".to_owned());
    let owners = &mut unowned.clusters.values_mut().next().unwrap().as_mut().unwrap().owners;
    owners.insert(member_name(1), Vec::new());
    let error = found(&unowned, "etcd:leader").unwrap_err().to_string();
    let expected =
        "no agent has the member m1, which is at 10.0.0.1; n1 did not say: no answer in time";
    assert_eq!(error, expected);

    let mut owned = sight(&ALL_SAY);
    let owners = &mut owned.clusters.values_mut().next().unwrap().as_mut().unwrap().owners;
    owners.get_mut(&member_name(1)).unwrap().push((node(2), target(9)));
    let error = found(&owned, "etcd:leader").unwrap_err().to_string();
    let expected = "the member m1 is at 10.0.0.1, which is of netns:db1@n1 and of netns:db9@n2";
    assert_eq!(error, expected);

    let silent = sight(&[Voice::Mute; 3]);
    assert!(matches!(found(&silent, "etcd:leader"), Err(SightError::Select(_))));
}

fn spec(verdict: Verdict) -> Spec {
    let any: Vec<Selector> = vec!["all:etcd:member".parse().unwrap()];
    let between = Between::Pair { from: any.clone(), to: any, ways: Ways::One };
    let cut = Cut {
        mode: Mode::Packet,
        protocol: None,
        port: None,
        flows: FlowAge::All,
        loss: Chance::CERTAIN,
        seed: 1,
        verdict,
        side: Side::Ingress,
    };
    let loss = Loss { cut, enforcement: Some(fault::Enforcement::Receiver) };
    Spec {
        what: What::Cut(between, loss),
        seed: 1,
        terms: LeaseTerms::new(
            std::time::Duration::from_secs(3),
            std::time::Duration::from_secs(60),
        )
        .unwrap(),
        quorum_loss: QuorumLoss::Refused,
        restarts: None,
    }
}

/// The faults that lose what one member sends to another, each by its number.
fn faults(cuts: &[(u8, u8)], verdict: Verdict) -> Vec<(NodeName, Fault)> {
    let all = found(&sight(&ALL_SAY), "all:etcd:member").unwrap();
    let place = |number: u8| usize::from(number) - 1;
    let directions =
        cuts.iter().map(|(from, to)| Direction { from: place(*from), to: place(*to) }).collect();
    let id = IntentId::from_random(1);
    let spec = spec(verdict);
    let What::Cut(_, loss) = &spec.what else { panic!("made as a cut") };
    plan(id, &spec, loss, &all, &directions, &BTreeSet::new()).unwrap().faults
}

/// The faults that freeze members, each by its number.
fn freezes(members: &[u8]) -> Vec<(NodeName, Fault)> {
    let all = found(&sight(&ALL_SAY), "all:etcd:member").unwrap();
    let ends: Vec<End> =
        members.iter().map(|number| all[usize::from(*number) - 1].clone()).collect();
    let (id, terms) = (IntentId::from_random(2), spec(Verdict::Drop).terms);
    crate::planning::in_processes(id, Kind::Freeze(fault::Freeze::default()), terms, &ends)
        .unwrap()
        .faults
}

#[test]
fn a_frozen_member_counts_as_one_that_cannot_talk() {
    let sight = sight(&ALL_SAY);
    let lost = Err("quorum of etcd:etcd".to_owned());
    assert_eq!(admitted(&sight, &freezes(&[1]), &[], ""), Ok(()));
    assert_eq!(admitted(&sight, &freezes(&[1, 2]), &[], ""), lost);
    assert_eq!(admitted(&sight, &freezes(&[2]), &freezes(&[1]), ""), lost, "one acts already");
    let cut = faults(&[(2, 3)], Verdict::Drop);
    assert_eq!(admitted(&sight, &cut, &freezes(&[1]), ""), lost, "the others must talk");
}

fn admitted(
    sight: &Sight,
    asked: &[(NodeName, Fault)],
    active: &[(NodeName, Fault)],
    limits: &str,
) -> Result<(), String> {
    let limits: Limits = toml::from_str(limits).unwrap();
    let groups: Result<Vec<Known>, Unseen> = sight.known(asked, active).into_iter().collect();
    let groups = groups.map_err(|error| error.to_string())?;
    // Overlaps have tables of their own; here the active ones are of other targets or none.
    admit(asked, &[], &groups, &limits, QuorumLoss::Refused).map_err(|error| match &error {
        AdmitError::Quorum { group, .. } => format!("quorum of {group}"),
        AdmitError::Unseen(_)
        | AdmitError::Budget(_)
        | AdmitError::Blast(_)
        | AdmitError::Overlap { .. } => error.to_string(),
    })
}

#[test]
fn a_group_keeps_a_majority_that_can_talk() {
    let whole = sight(&ALL_SAY);
    let one_down = sight(&[Voice::Says, Voice::Says, Voice::Mute]);
    let lose = |cuts: &[(u8, u8)]| faults(cuts, Verdict::Drop);
    let refused = Err("quorum of etcd:etcd".to_owned());
    // One of three may be cut off; not two, whenever the first was cut.
    assert_eq!(admitted(&whole, &lose(&[(1, 2)]), &[], ""), Ok(()));
    assert_eq!(admitted(&whole, &lose(&[(1, 2), (1, 3)]), &[], ""), Ok(()));
    assert_eq!(admitted(&whole, &lose(&[(1, 2), (2, 3), (3, 1)]), &[], ""), refused);
    assert_eq!(admitted(&whole, &lose(&[(1, 2), (3, 1)]), &lose(&[(2, 3)]), ""), refused);
    // Who does not answer cannot be part of a majority.
    assert_eq!(admitted(&one_down, &lose(&[(1, 2)]), &[], ""), refused);
    assert_eq!(admitted(&one_down, &lose(&[(1, 3)]), &[], ""), Ok(()));
    // A shadow loses nothing.
    let shadow = faults(&[(1, 2), (2, 3), (3, 1)], Verdict::Count);
    assert_eq!(admitted(&whole, &shadow, &[], ""), Ok(()));
}

#[test]
fn what_does_not_touch_a_group_does_not_ask_for_it() {
    let broken = sight(&[Voice::Says, Voice::Mute, Voice::Mute]);
    let mut elsewhere = faults(&[(1, 2)], Verdict::Drop);
    elsewhere[0].1.target.namespace = NamespaceCookie::new(99);
    assert_eq!(admitted(&broken, &elsewhere, &[], ""), Ok(()));
    // Towards a stranger nothing of the group is lost.
    let mut outwards = faults(&[(1, 2)], Verdict::Drop);
    outwards[0].1.peers.fixed = vec!["192.0.2.0/24".parse().unwrap()];
    assert_eq!(admitted(&broken, &outwards, &[], ""), Ok(()));
}

#[test]
fn a_group_that_cannot_be_seen_is_not_risked() {
    let name = group("etcd");
    let silent = AskError::from(etcd::AskError::Silent(Vec::new()));
    let unseen = Sight { clusters: [(name, Err(silent))].into(), ..Sight::default() };
    let refused = admitted(&unseen, &faults(&[(1, 2)], Verdict::Drop), &[], "").unwrap_err();
    assert!(refused.starts_with("whether etcd:etcd would keep its majority cannot be told"));
}

/// Three members in pods; of the third nobody says which target it is.
fn of_namespace(voices: &[Voice], third: Result<Located, Excluded>) -> Sight {
    let located = |number: u8| Located {
        pod: PodName { namespace: "prod".to_owned(), name: format!("etcd-{number}") },
        uid: format!("uid-{number}"),
        node: node(number),
        addresses: [address(number)].into(),
        labels: BTreeMap::new(),
    };
    let pods = [Ok(located(1)), Ok(located(2)), third];
    let home =
        |(number, pod): (u8, _)| Home { addresses: vec![address(number)], pod, container: None };
    let homes = Homes::new((1..).zip(pods).map(home).collect());
    let mut cluster = Cluster { homes: Some(homes), ..cluster(voices) };
    cluster.owners.remove(&member_name(3));
    let name = GroupName { system: System::Etcd, path: "prod".parse().unwrap() };
    Sight { housed: [(name, Ok(cluster))].into(), ..Sight::default() }
}

#[test]
fn a_member_that_nobody_finds_is_not_taken_for_whole() {
    let pod = PodName { namespace: "prod".to_owned(), name: "etcd-3".to_owned() };
    let excluded = |node: Option<&str>| {
        let (pod, node) = (pod.clone(), node.map(ToOwned::to_owned));
        Excluded { pod, node, why: Unusable::Terminating }
    };
    let located = || Located {
        pod: pod.clone(),
        uid: "uid-3".to_owned(),
        node: node(3),
        addresses: [address(3)].into(),
        labels: BTreeMap::new(),
    };
    let unknown = "whether etcd:prod would keep its majority cannot be told: what is done to m3 is not known: ";
    let leaving = Err(format!("{unknown}of pod prod/etcd-3 it is said that it is terminating"));
    let unfound = Err(format!("{unknown}the agent of node n3 does not find pod prod/etcd-3"));
    // Something acts on its node, and would have to be known as done to it.
    for (third, expected) in [
        (Err(excluded(Some("n3"))), &leaving),
        (Err(excluded(None)), &leaving),
        (Ok(located()), &unfound),
    ] {
        let sight = of_namespace(&ALL_SAY, third);
        assert_eq!(admitted(&sight, &freezes(&[1]), &freezes(&[3]), ""), *expected);
        assert_eq!(admitted(&sight, &freezes(&[3]), &[], ""), *expected);
    }
    // Nothing does.
    for third in [Err(excluded(Some("n3"))), Ok(located())] {
        let sight = of_namespace(&ALL_SAY, third);
        assert_eq!(admitted(&sight, &freezes(&[1]), &[], ""), Ok(()));
        let lost = Err("quorum of etcd:prod".to_owned());
        assert_eq!(admitted(&sight, &freezes(&[1, 2]), &[], ""), lost);
    }
    // What does not answer counts as lost already.
    let mute = of_namespace(&[Voice::Says, Voice::Says, Voice::Mute], Err(excluded(Some("n3"))));
    assert_eq!(admitted(&mute, &freezes(&[3]), &[], ""), Ok(()));
    assert_eq!(
        admitted(&mute, &freezes(&[1]), &freezes(&[3]), ""),
        Err("quorum of etcd:prod".to_owned())
    );
    // Its node says nothing, which is told as that.
    let mut silent = of_namespace(&ALL_SAY, Ok(located()));
    silent.silent.insert(node(3), "no answer in time".to_owned());
    let refused = admitted(&silent, &freezes(&[3]), &[], "").unwrap_err();
    assert!(refused.ends_with("n3 does not say which members are its own: no answer in time"));
    // By its address it is a peer all the same.
    let sight = of_namespace(&ALL_SAY, Err(excluded(Some("n3"))));
    let cuts = faults(&[(3, 1), (2, 1)], Verdict::Drop);
    let on_others: Vec<_> = cuts.into_iter().filter(|(at, _)| *at != node(3)).collect();
    let known = sight.known(&on_others, &[]).remove(0).unwrap();
    assert_eq!(known.impairments.len(), 2, "{:?}", known.impairments);
}

#[test]
fn a_share_counts_members_whose_targets_are_hit() {
    let whole = sight(&ALL_SAY);
    let lose = |cuts: &[(u8, u8)]| faults(cuts, Verdict::Drop);
    let third = "max-share = \"34%\"";
    assert_eq!(admitted(&whole, &lose(&[(2, 1), (3, 1)]), &[], third), Ok(()));
    let refused = admitted(&whole, &lose(&[(1, 2)]), &lose(&[(1, 3)]), third).unwrap_err();
    assert_eq!(
        refused,
        "2 of 3 members of etcd:etcd would be hit at once, and max-share, 34%, allows 1"
    );
}

#[test]
fn addresses_are_peers_as_well() {
    let whole = sight(&ALL_SAY);
    let mut wide = faults(&[(2, 1)], Verdict::Drop);
    wide[0].1.peers.fixed = vec!["10.0.0.0/24".parse().unwrap()];
    let group = whole.known(&wide, &[]).remove(0).unwrap();
    let lost: Vec<String> = group
        .impairments
        .iter()
        .map(|impairment| match impairment {
            Impairment::Loss { link, .. } => format!("{} {}", link.from, link.to),
            Impairment::Stop { member, .. } => panic!("{member} runs"),
        })
        .collect();
    assert_eq!(lost, ["m2 m1", "m3 m1"]);
}

/// Brokers 1 to 3; all have partition 1, and only the third has partition 2.
fn of_zeebe() -> Sight {
    use ::zeebe::{NodeId, OwnPartition, PartitionId, RaftRole};
    let own = |role| OwnPartition {
        role,
        processed_position: None,
        stream_processor_phase: None,
        exporter_phase: None,
        exported_position: None,
    };
    let broker = |number: u8| {
        let role = if number == 1 { RaftRole::Leader } else { RaftRole::Follower };
        let partitions = PartitionId::first(if number == 3 { 2 } else { 1 });
        let answer = Ok(partitions.map(|partition| (partition, own(role))).collect());
        let addresses = [address(number)].into();
        let broker = zeebe::ZeebeBroker { addresses, astray: Vec::new(), answer };
        (NodeId::new(number.into()), broker)
    };
    let owner = |number: u8| {
        let name = format!("broker-{number}").parse().unwrap();
        (name, vec![(node(number), target(number))])
    };
    let brokers = (1..=3).map(broker).collect();
    let view = View::Zeebe(ZeebeView { partitions: 2, brokers, gateways: Vec::new() });
    let cluster = Cluster { view, owners: (1..=3).map(owner).collect(), homes: None };
    let name = GroupName { system: System::Zeebe, path: "zeebe".parse().unwrap() };
    Sight { clusters: [(name, Ok(cluster))].into(), ..Sight::default() }
}

#[test]
fn each_partition_of_zeebe_keeps_a_majority_of_its_own() {
    let sight = of_zeebe();
    let lost = |partition: u8| Err(format!("quorum of zeebe:zeebe/partition/{partition}"));
    assert_eq!(admitted(&sight, &freezes(&[1]), &[], ""), Ok(()));
    assert_eq!(admitted(&sight, &freezes(&[1, 2]), &[], ""), lost(1));
    assert_eq!(admitted(&sight, &freezes(&[3]), &[], ""), lost(2));
    assert_eq!(admitted(&sight, &faults(&[(1, 3)], Verdict::Drop), &[], ""), Ok(()));
}

#[test]
fn roles_of_zeebe_lead_to_targets_of_their_own_clusters_only() {
    let mut sight = of_zeebe();
    let found = |sight: &Sight, text: &str| {
        let selector: Selector = text.parse().unwrap();
        let Scheme::Zeebe(members) = selector.scheme.clone() else { panic!("{text} is of Zeebe") };
        let players = sight.players(&selector, Members::Zeebe(&members))?;
        Ok(players.into_iter().map(|player| player.end).collect::<Vec<_>>())
    };
    assert_eq!(names(&found(&sight, "zeebe:partition/1/leader").unwrap()), ["broker-1"]);
    let followers = found(&sight, "all:zeebe:zeebe/partition/1/follower").unwrap();
    assert_eq!(names(&followers), ["broker-2", "broker-3"]);
    assert!(matches!(found(&sight, "zeebe:partition/2/leader"), Err(SightError::Select(_))));
    let other = found(&sight, "zeebe:other/broker");
    assert!(matches!(other, Err(SightError::Unknown { .. })));
    sight.clusters = [(group("etcd"), Ok(cluster(&ALL_SAY)))].into();
    assert_eq!(found(&sight, "zeebe:broker"), Err(SightError::NoCluster(System::Zeebe)));
}

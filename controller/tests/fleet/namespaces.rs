//! Groups that are found in a namespace: an API server that has pods, members that answer at their addresses, and
//! agents that have them.

pub(crate) mod etcd;
pub(crate) mod space;

use controller::control::{AskError, ControlError, ResolveError};
use fault::{IntentId, Limits, Selector, Share};
use proto::agent as agent_wire;
use proto::control as wire;
use proto::control::Stage;

use self::etcd::Members;
use self::space::{Space, uid};
use crate::rig::{Fleet, soon, spec};

/// Three nodes, with a member of one etcd in a pod on each.
async fn estate(space: &Space, members: &Members) -> Fleet {
    let clusters = space.clusters(members.port).await;
    let fleet = Fleet::with(clusters, &["a", "b", "c"]).await;
    for (number, node) in (0..3).zip(["a", "b", "c"]) {
        fleet.nodes[node].kernel.node(|node| {
            let pod = node.add_pod(&uid(number), &space::addresses(number));
            node.spawn(100, pod, Some("pause"));
            node.spawn(101, pod, Some("etcd"));
        });
    }
    fleet
}

fn killing(target: &str) -> wire::Spec {
    let selector: Selector = target.parse().unwrap();
    let kill = agent_wire::Kill {
        extent: agent_wire::Extent::Named.into(),
        signal: agent_wire::Signal::Kill.into(),
        grace_ns: None,
    };
    let what = wire::Kill { targets: vec![(&selector).into()], kill: Some(kill) };
    let what = Some(wire::spec::What::Kill(what));
    wire::Spec { what, cut: None, ..spec("netns:a", "netns:b") }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_lead_to_the_pods_of_a_namespace_without_any_setting() {
    let members = Members::start().await;
    let space = Space::with_etcd(3);
    let fleet = estate(&space, &members).await;
    let cut = fleet.cut(1, "etcd:prod/leader", "etcd:prod/member/m2").await.unwrap();
    assert_eq!(cut.stage(), Stage::Active, "{cut:?}");
    let found: Vec<(&str, &str, &str)> = cut
        .ends
        .iter()
        .map(|end| (end.member.as_str(), end.pod.as_str(), end.node.as_str()))
        .collect();
    assert_eq!(found, [("m0", "prod/etcd-0", "a"), ("m2", "prod/etcd-2", "c")]);
    assert!(format!("{:?}", cut.ends).contains("it is pod prod/etcd-0"), "{:?}", cut.ends);
    // Lost where the second receives, and nowhere else.
    let acting =
        [&fleet.nodes["a"], &fleet.nodes["b"], &fleet.nodes["c"]].map(|node| node.acting());
    assert_eq!(futures(acting).await, [0, 0, 1]);
    // One list of pods, and each node once.
    let calls = space.calls();
    assert_eq!(calls.len(), 4, "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_majority_of_a_namespace_is_kept_whatever_a_second_request_says() {
    let members = Members::start().await;
    let space = Space::with_etcd(3);
    let fleet = estate(&space, &members).await;
    fleet.cut(1, "etcd:prod/leader", "etcd:prod/member/m2").await.unwrap();
    let refused = fleet.ask(2, killing("etcd:prod/member/m1")).await.unwrap_err();
    let AskError::Admit(error) = &refused else { panic!("{refused}") };
    assert!(error.to_string().contains("etcd:prod would lose its majority"), "{error}");
    // By the name of its pod as well.
    let refused = fleet.ask(2, killing("k8s:prod/pod/etcd-1/etcd")).await.unwrap_err();
    let AskError::Admit(error) = &refused else { panic!("{refused}") };
    assert!(error.to_string().contains("etcd:prod/store would lose its majority"), "{error}");
    let allowed = wire::Spec { allow_quorum_loss: true, ..killing("etcd:prod/member/m1") };
    let killed = fleet.ask(3, allowed).await.unwrap();
    assert!(matches!(killed.stage(), Stage::Active | Stage::Expired), "{killed:?}");
    fleet.comes_to(3, Stage::Expired).await;
    // Its container, and not what keeps the pod's network.
    fleet.nodes["b"].kernel.node(|node| {
        let left: Vec<u32> = [100, 101].into_iter().filter(|pid| node.runs(*pid)).collect();
        assert_eq!(left, [100]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_a_group_counts_whatever_may_become_of_its_majority() {
    let members = Members::start().await;
    let space = Space::with_etcd(3);
    let fleet = estate(&space, &members).await;
    fleet.cut(1, "etcd:prod/leader", "etcd:prod/member/m2").await.unwrap();
    let third = Limits { max_share: Share::new(34).ok(), ..Limits::default() };
    let id = IntentId::from_random(2);
    for target in ["etcd:prod/member/m1", "k8s:prod/pod/etcd-1/etcd"] {
        let asked = wire::Spec { allow_quorum_loss: true, ..killing(target) };
        let asked = fleet.control.request(id, asked, "a test", &third);
        let refused = soon(asked).await.unwrap_err().to_string();
        assert!(refused.starts_with("2 of 3 members of etcd:prod"), "{target}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_pods_is_kept_by_kills() {
    let members = Members::start().await;
    let space = Space::with_etcd(3);
    let fleet = estate(&space, &members).await;
    space.budget(0);
    for target in ["etcd:prod/leader", "k8s:prod/pod/etcd-0/etcd"] {
        let refused = fleet.ask(1, killing(target)).await.unwrap_err();
        let AskError::Admit(error) = &refused else { panic!("{refused}") };
        let said = "PodDisruptionBudget prod/keep lets 0 more of its pods be down, and 1 would be: prod/etcd-0";
        assert_eq!(error.to_string(), said);
    }
    // What ends nobody is no disruption.
    fleet.cut(2, "etcd:prod/leader", "etcd:prod/member/m2").await.unwrap();
    fleet.heal(2).await;
    space.budget(1);
    fleet.ask(3, killing("etcd:prod/leader")).await.unwrap();
    fleet.comes_to(3, Stage::Expired).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_kills_at_once_a_budget_lets_one() {
    let members = Members::start().await;
    let space = Space::with_etcd(3);
    let fleet = estate(&space, &members).await;
    space.budget(1);
    // Both are looked at before either is written: each by itself would be let in.
    let draft = async |id: u64, target: &str| {
        let id = IntentId::from_random(id);
        let limits = Limits::default();
        soon(fleet.control.draft(id, killing(target), "a test", &limits)).await.unwrap()
    };
    let first = draft(1, "etcd:prod/member/m0").await;
    let second = draft(2, "k8s:prod/pod/etcd-1/etcd").await;
    let all = async { tokio::join!(fleet.control.apply(first), fleet.control.apply(second)) };
    let (first, second) = soon(all).await;
    let refused: Vec<String> = [first, second]
        .into_iter()
        .filter_map(|one| match one {
            Ok(_) => None,
            Err(ControlError::Admit(error)) => Some(error.to_string()),
            Err(error) => panic!("{error}"),
        })
        .collect();
    let said = "PodDisruptionBudget prod/keep lets 1 more of its pods be down, and 2 would be: prod/etcd-0, prod/etcd-1";
    assert_eq!(refused, [said]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_said_before_anything_is_touched() {
    let members = Members::start().await;
    let mut space = Space::with_etcd(3);
    space.add("stage", "etcd-0", "blue", "10.9.0.1");
    space.add("stage", "etcd-1", "green", "10.9.0.2");
    space.pending("idle", "etcd-0");
    let fleet = estate(&space, &members).await;
    let table = [
        (
            "etcd:empty/leader",
            "namespace empty has no pods of etcd, which are known by app.kubernetes.io/name=etcd",
        ),
        ("etcd:prud/leader", "there is no namespace prud"),
        ("etcd:stage/leader", "namespace stage has several of etcd: blue, green"),
        (
            "etcd:stage/red/leader",
            "namespace stage has no etcd of installation red; it has blue, green",
        ),
        (
            "etcd:idle/leader",
            "no pod of etcd in namespace idle can be asked: etcd-0: it is pending",
        ),
        ("etcd:kube-system/leader", "namespace kube-system is the cluster's own"),
        ("zeebe:prod/broker/0", "namespace prod has no pods of zeebe"),
        ("etcd:prod/member/m7", "etcd has no member m7"),
        ("etcd:leader", "this controller knows no cluster of etcd"),
    ];
    for (selector, said) in table {
        let refused = fleet.cut(1, selector, "addr:192.0.2.1").await.unwrap_err();
        assert!(refused.to_string().contains(said), "{selector}: {refused}");
        let AskError::Resolve(ResolveError::Sight { .. } | ResolveError::Pods { .. }) = refused
        else {
            panic!("{selector}: {refused}")
        };
    }
    // One that does not answer is not known to lead, and is found by its name all the same.
    members.hush(2);
    let cut = fleet.cut(2, "addr:192.0.2.1", "etcd:prod/member/m2").await.unwrap();
    assert_eq!(cut.ends[1].troubles.len(), 1, "{:?}", cut.ends);
    fleet.heal(2).await;
    // One whose pod goes cannot be hit.
    space.leave("etcd-2");
    let refused = fleet.cut(3, "addr:192.0.2.1", "etcd:prod/member/m2").await.unwrap_err();
    assert!(
        refused.to_string().contains("pod prod/etcd-2 cannot be hit: it is terminating"),
        "{refused}"
    );
}

async fn futures<const N: usize>(all: [impl Future<Output = usize>; N]) -> [usize; N] {
    let found = soon(futures_util::future::join_all(all)).await;
    found.try_into().unwrap()
}

//! A kernel that refuses, and limits.

use agent::fake::{Call, Trouble};
use agent::kernel::Step;
use fault::{Drift, State};
use proto::agent as wire;
use proto::agent::error_detail::Kind as Detail;
use tonic::Code;

use crate::rig::{Rig, address, detail, id, slot};

fn refused(call: &str, errno: i32) -> Detail {
    Detail::KernelRefused(wire::KernelRefused { call: call.to_owned(), errno })
}

#[tokio::test]
async fn an_agent_without_memory_for_a_map_says_so_and_leaves_nothing() {
    let rig = Rig::frozen().await;
    let call = "bpf(BPF_MAP_CREATE)";
    rig.kernel.trouble(Trouble::errno(call, libc::ENOMEM, |call| {
        matches!(call, Call::Step(_, Step::Load))
    }));
    let status = rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(detail(&status), refused(call, libc::ENOMEM));
    assert!(rig.is_clean());
    assert!(rig.list().await.is_empty());
    // What failed may be tried again under the same id.
    rig.kernel.calm();
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
}

#[tokio::test]
async fn whichever_step_fails_nothing_is_left() {
    let rig = Rig::frozen().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    let steps = rig.kernel.performed().len();
    rig.heal(&[1]).await.unwrap();
    for failing in 0..steps {
        let call = "bpf(BPF_MAP_UPDATE_ELEM)";
        let any = |call: &Call<'_>| matches!(call, Call::Step(..));
        rig.kernel.trouble(Trouble::errno(call, libc::EPERM, any).after(failing).once());
        let status = rig.prepare(&[rig.cut(2, "netns:a", "netns:b")]).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "step {failing}");
        assert_eq!(detail(&status), refused(call, libc::EPERM));
        assert!(rig.is_clean(), "step {failing}");
        rig.kernel.calm();
    }
}

#[tokio::test]
async fn a_cut_of_the_agents_own_network_is_refused_and_what_it_sends_may_be_cut_elsewhere() {
    let rig = Rig::frozen().await;
    rig.kernel.node(|node| {
        let own = node.named("b").unwrap();
        node.keep_agent_in(own);
    });
    let faults = [rig.cut(1, "netns:a", "netns:c"), rig.cut(2, "netns:a", "netns:b")];
    let status = rig.prepare(&faults).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        matches!(detail(&status), Detail::Refused(refused) if refused.replaceable.is_none()
            && refused.reason == "netns:b has the agent's own network namespace"),
        "{status:?}"
    );
    assert!(rig.is_clean(), "neither of them is in");
    let begun = rig.begin(&rig.cut(3, "netns:b", "netns:a")).await;
    assert_eq!(begun.state, State::Active);
}

#[tokio::test]
async fn of_several_faults_all_come_in_or_none() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let before = rig.kernel.snapshot();
    // The replayed one acts already and is none of those that are taken out again.
    let faults = [
        rig.cut(1, "netns:a", "netns:b"),
        rig.cut(2, "netns:a", "netns:c"),
        rig.cut(3, "netns:c", "netns:b"),
        rig.cut(4, "netns:b", "netns:b"),
    ];
    let status = rig.prepare(&faults).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(rig.state(1).await, Some(State::Active));
    assert_eq!(rig.kernel.snapshot(), before);
}

#[tokio::test]
async fn a_sixty_fifth_fault_is_refused_and_a_healed_one_makes_room() {
    let rig = Rig::frozen().await;
    let faults: Vec<_> = (0..64).map(|part| rig.cut(part, "netns:a", "netns:b")).collect();
    rig.prepare(&faults).await.unwrap();
    assert_eq!(rig.loaded("b").unwrap().rules.len(), 64);
    let status = rig.prepare(&[rig.cut(64, "netns:a", "netns:b")]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let limit = wire::Limit { what: "faults on one target".to_owned(), most: 64 };
    assert_eq!(detail(&status), Detail::Limit(limit));
    rig.prepare(&[rig.cut(64, "netns:a", "netns:c")]).await.unwrap();
    rig.heal(&[7]).await.unwrap();
    rig.prepare(&[rig.cut(65, "netns:a", "netns:b")]).await.unwrap();
    let request = wire::HealRequest { ids: Vec::new(), all: true };
    rig.client.clone().heal(request).await.unwrap();
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_slot_in_which_something_stayed_is_not_given_again() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    rig.begin(&rig.cut(2, "netns:c", "netns:b")).await;
    let removes = |call: &Call<'_>| matches!(call, Call::Step(_, Step::RemovePeers(_)));
    rig.kernel.trouble(Trouble::errno("bpf(BPF_MAP_DELETE_ELEM)", libc::EIO, removes).once());
    let failed = rig.heal(&[1]).await.unwrap();
    assert_eq!(failed[0].state, State::Failed);
    assert!(matches!(failed[0].drifts[..], [Drift::NotTakenOut(_)]), "{:?}", failed[0].drifts);
    assert_eq!(rig.lease("b", 0), None);

    rig.begin(&rig.cut(3, "netns:a", "netns:b")).await;
    let loaded = rig.loaded("b").unwrap();
    assert_eq!(loaded.rules.keys().copied().collect::<Vec<_>>(), [slot(1), slot(2)]);
    // The last one takes everything with it, and then the slot is good again.
    rig.heal(&[2, 3]).await.unwrap();
    assert!(rig.is_clean());
    rig.begin(&rig.cut(4, "netns:a", "netns:b")).await;
    assert!(rig.loaded("b").unwrap().rules.contains_key(&slot(0)));
}

#[tokio::test]
async fn the_control_path_of_every_fault_is_exempt_for_the_host_alone() {
    let rig = Rig::frozen().await;
    let first = "192.0.2.1:7000".parse().unwrap();
    let second = "192.0.2.2:7000".parse().unwrap();
    let cut =
        |part, to, end| fault::Fault { control_path: vec![end], ..rig.cut(part, "netns:a", to) };
    rig.begin(&cut(1, "host:fake", first)).await;
    rig.begin(&cut(2, "host:fake", second)).await;
    rig.begin(&cut(3, "netns:b", first)).await;
    let host = rig.kernel.loaded(agent::fake::HOST).unwrap();
    assert_eq!(host.control_path, [first, second].into());
    assert!(rig.loaded("b").unwrap().control_path.is_empty());
}

#[tokio::test]
async fn a_target_without_devices_or_peers_is_refused_with_a_reason() {
    let rig = Rig::frozen().await;
    rig.kernel.node(|node| {
        let bare = node.add_namespace("bare", &[]);
        node.remove_device(bare, 2);
        node.add_namespace("mute", &[]);
        node.add_namespace("twin", &[address("10.0.0.1")]);
    });
    for (from, to) in [("netns:a", "netns:bare"), ("netns:mute", "netns:b")] {
        let status = rig.prepare(&[rig.cut(1, from, to)]).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{from} {to}");
        assert!(matches!(detail(&status), Detail::Refused(_)), "{from} {to}");
    }
    assert!(rig.is_clean());
    // The shared address is left out, and that is said.
    let prepared = rig.prepare(&[rig.cut(1, "netns:a", "netns:twin")]).await.unwrap();
    assert_eq!((prepared.faults[0].peers.len(), prepared.faults[0].notes.len()), (1, 1));
    assert_eq!(prepared.faults[0].id, Some(id(1).into()));
}

#[tokio::test]
async fn what_is_not_on_this_node_is_absent_and_not_refused() {
    let rig = Rig::frozen().await;
    let resolve = async |selector: &str, aspect: wire::Aspect| {
        let selector: fault::Selector = selector.parse().unwrap();
        let aspect = aspect.into();
        let request = wire::ResolveRequest { selector: Some((&selector).into()), aspect };
        rig.client.clone().resolve(request).await.unwrap_err()
    };
    for aspect in [wire::Aspect::Unspecified, wire::Aspect::Processes] {
        let nobody = resolve("host:nobody", aspect).await;
        assert_eq!(nobody.code(), Code::NotFound, "{nobody}");
        assert!(nobody.message().contains("not nobody"), "{nobody}");
        assert!(matches!(detail(&nobody), Detail::TargetGone(_)), "{nobody}");
        let role = resolve("etcd:leader", aspect).await;
        assert_eq!(role.code(), Code::Unimplemented, "{role}");
        assert!(matches!(detail(&role), Detail::Unsupported(_)), "{role}");
    }
}

#[tokio::test]
async fn everything_that_can_be_named_is_listed() {
    let rig = Rig::frozen().await;
    let listed = rig.client.clone().targets(wire::TargetsRequest {}).await.unwrap().into_inner();
    let names = listed.targets.into_iter().map(|target| {
        let target = fault::Target::try_from(target).unwrap();
        target.selector.to_string()
    });
    let names: Vec<String> = names.collect();
    assert!(names[0].starts_with("host:"), "{names:?}");
    assert_eq!(names[1..], ["netns:a", "netns:b", "netns:c"], "{names:?}");
    assert_eq!((listed.left_off, listed.unseen.len()), (0, 0));
}

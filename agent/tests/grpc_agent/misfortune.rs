//! Targets and peers that change or vanish under a fault.

use std::time::Duration;

use agent::fake::{Call, World};
use agent::kernel::{Attachment, Stir};
use fault::{BootTime, Drift, Fault, Gone, Side, State};
use proto::agent as wire;
use proto::agent::error_detail::Kind as Detail;
use tonic::Code;

use crate::rig::{Rig, address, detail, slot, soon};

const ETH0: Attachment = Attachment { interface: 2, side: Side::Ingress };

#[tokio::test]
async fn a_target_that_is_gone_at_commit_is_not_touched() {
    let rig = Rig::frozen().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    let b = rig.cookie("b");
    // Another namespace has the name by now: it must not be hit.
    let status = rig
        .commit_while(1, |node| {
            node.add_namespace("b", &[address("10.0.0.2")]);
        })
        .await;
    assert!(rig.kernel.loaded(b).is_none_or(|loaded| loaded.leases.is_empty()));
    assert!(is_refusal(&status), "{status:?}");
    assert_eq!(rig.heal(&[1]).await.unwrap()[0].state, State::Gone(Gone::Namespace));
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_target_that_was_replaced_before_prepare_is_refused() {
    let rig = Rig::frozen().await;
    let fault = rig.cut(1, "netns:a", "netns:b");
    rig.kernel.node(|node| node.add_namespace("b", &[address("10.0.0.2")]));
    let status = rig.prepare(&[fault]).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let scheme = Some(wire::selector::Scheme::Netns("b".to_owned()));
    let selector = Some(wire::Selector { scheme });
    assert_eq!(detail(&status), Detail::TargetGone(wire::TargetGone { selector }));
    assert!(rig.kernel.performed().is_empty());
}

#[tokio::test]
async fn a_target_that_goes_during_the_cut_ends_it() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let mut watch = rig.watch();
    rig.kernel.node(|node| node.remove_namespace("b"));
    watch.state(1, State::Gone(Gone::Namespace)).await;
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_peer_that_goes_ends_the_cut() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let mut watch = rig.watch();
    rig.kernel.node(|node| node.remove_namespace("a"));
    watch.state(1, State::Gone(Gone::Peer)).await;
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_process_that_ends_ends_its_fault_and_no_other_of_its_namespace() {
    let rig = Rig::frozen().await;
    let b = rig.cookie("b");
    rig.kernel.node(|node| node.spawn(4711, b, None));
    // The first one gives the target its first way in.
    rig.begin(&rig.cut(1, "netns:a", "pid:4711")).await;
    rig.begin(&rig.cut(2, "netns:c", "netns:b")).await;
    let mut watch = rig.watch();
    rig.kernel.node(|node| node.kill(4711));
    watch.state(1, State::Gone(Gone::Process)).await;
    rig.kernel.tell(Stir::Anywhere);
    rig.kernel.node(|node| node.add_veth(b, 3, "eth1"));
    watch.until(2, |status| status.drifts.contains(&Drift::DeviceJoined(3))).await;
    assert_eq!(rig.state(2).await, Some(State::Active));
}

#[tokio::test]
async fn a_pid_in_use_by_another_process_is_not_hit() {
    let rig = Rig::frozen().await;
    let (b, c) = (rig.cookie("b"), rig.cookie("c"));
    rig.kernel.node(|node| node.spawn(4711, b, None));
    rig.prepare(&[rig.cut(1, "netns:a", "pid:4711")]).await.unwrap();
    let status = rig
        .commit_while(1, |node| {
            node.spawn(4711, c, None);
        })
        .await;
    assert!(is_refusal(&status), "{status:?}");
    assert_eq!(rig.heal(&[1]).await.unwrap()[0].state, State::Gone(Gone::Process));
    assert!(rig.is_clean());
}

/// Whatever goes and changes at the same moment, each fault comes to its end.
#[tokio::test]
async fn an_end_and_a_correction_in_one_comparison_both_happen() {
    let rig = Rig::frozen().await;
    let b = rig.cookie("b");
    rig.kernel.node(|node| node.spawn(4711, b, None));
    rig.begin(&rig.cut(1, "netns:a", "pid:4711")).await;
    rig.begin(&rig.cut(2, "netns:c", "netns:b")).await;
    rig.begin(&rig.cut(3, "netns:a", "netns:b")).await;
    let (mut watch, mut other) = (rig.watch(), rig.watch());
    rig.kernel.node(|node| {
        node.kill(4711);
        node.remove_namespace("a");
        node.add_veth(b, 3, "eth1");
        let c = node.named("c").unwrap();
        node.add_address(c, 2, address("10.0.0.33"));
    });
    watch.state(1, State::Gone(Gone::Process)).await;
    other.state(3, State::Gone(Gone::Peer)).await;
    rig.agent_has_compared(2).await;
    let loaded = rig.loaded("b").unwrap();
    assert_eq!(loaded.rules.keys().copied().collect::<Vec<_>>(), [slot(1)]);
    let joined = Attachment { interface: 3, side: Side::Ingress };
    assert!(loaded.links.contains_key(&ETH0) && loaded.links.contains_key(&joined));
    assert_eq!(rig.heal(&[2]).await.unwrap()[0].state, State::Healed);
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_program_before_ours_shadows_the_fault_until_it_leaves() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let b = rig.cookie("b");
    let mut watch = rig.watch();
    rig.kernel.node(|node| node.put_before(b, 2, Side::Ingress, &[77]));
    rig.kernel.tell(Stir::Anywhere);
    let shadowed = watch.state(1, State::Shadowed).await;
    let by = Drift::ShadowedBy { interface: 2, side: Side::Ingress, programs: vec![77] };
    assert_eq!(shadowed.drifts, [by]);
    rig.kernel.node(|node| node.put_before(b, 2, Side::Ingress, &[]));
    rig.kernel.tell(Stir::Anywhere);
    assert!(watch.state(1, State::Active).await.drifts.is_empty());
}

#[tokio::test]
async fn a_fault_committed_behind_a_foreign_program_is_shadowed_at_once() {
    let rig = Rig::frozen().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    let b = rig.cookie("b");
    rig.kernel.node(|node| node.put_before(b, 2, Side::Ingress, &[77]));
    assert_eq!(rig.commit(&[1]).await.unwrap()[0].state, State::Shadowed);
}

#[tokio::test]
async fn the_cut_follows_the_peers_addresses_and_heals_all_of_them() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    rig.begin(&rig.cut(2, "netns:c", "netns:b")).await;
    let a = rig.cookie("a");
    let mut watch = rig.watch();
    rig.kernel.node(|node| {
        node.add_address(a, 2, address("10.0.0.77"));
        node.remove_address(a, address("10.0.0.1"));
    });
    let has = |text: &str, status: &fault::Status| status.peers.contains(&address(text).into());
    watch.until(1, |status| has("10.0.0.77", status) && !has("10.0.0.1", status)).await;
    let peers = &rig.loaded("b").unwrap().peers[&(slot(0), Side::Ingress)];
    assert_eq!(peers.len(), 2);
    assert!(peers.iter().any(|peer| peer.prefix == address("10.0.0.77").into()));
    rig.heal(&[1]).await.unwrap();
    let left: Vec<_> = rig.loaded("b").unwrap().peers.into_keys().collect();
    assert_eq!(left, [(slot(1), Side::Ingress)]);
}

#[tokio::test]
async fn a_device_that_moves_away_is_let_go_of_and_a_renamed_one_is_kept() {
    let rig = Rig::frozen().await;
    let (b, c) = (rig.cookie("b"), rig.cookie("c"));
    rig.kernel.node(|node| node.add_veth(b, 3, "eth1"));
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    assert_eq!(rig.loaded("b").unwrap().links.len(), 2);
    let kept = rig.loaded("b").unwrap().links[&ETH0];
    let mut watch = rig.watch();
    rig.kernel.node(|node| {
        node.rename_device(b, 2, "renamed");
        node.move_device(b, 3, c);
    });
    watch.until(1, |status| status.drifts.contains(&Drift::DeviceLeft(3))).await;
    rig.kernel.tell(Stir::Anywhere);
    rig.agent_has_compared(1).await;
    assert_eq!(rig.loaded("b").unwrap().links, [(ETH0, kept)].into());
}

#[tokio::test]
async fn a_device_made_anew_under_the_same_index_is_cut_again() {
    let rig = Rig::frozen().await;
    let b = rig.cookie("b");
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let old = rig.loaded("b").unwrap().links[&ETH0];
    let mut watch = rig.watch();
    rig.kernel.node(|node| {
        node.remove_device(b, 2);
        node.add_veth(b, 2, "eth0");
        node.add_address(b, 2, address("10.0.0.2"));
    });
    watch.until(1, |status| status.drifts.contains(&Drift::Detached(2))).await;
    rig.agent_has_compared(1).await;
    assert_ne!(rig.loaded("b").unwrap().links[&ETH0], old);
}

#[tokio::test]
async fn a_lease_that_somebody_moves_is_told_and_a_renewed_one_is_not() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let mut watch = rig.watch();
    let far = BootTime::from_nanos(u64::MAX);
    rig.kernel.tamper(rig.cookie("b"), slot(0), (rig.list().await[0].now, far));
    rig.kernel.tell(Stir::Anywhere);
    let differs =
        |drift: &Drift| matches!(drift, Drift::LeaseDiffers { found, .. } if *found == far);
    watch.until(1, |status| status.drifts.iter().any(differs)).await;
    rig.kernel.advance(Duration::from_secs(5));
    rig.agent.renew(vec![crate::rig::id(1)], None).await.unwrap();
    rig.kernel.tell(Stir::Anywhere);
    watch.until(1, |status| status.drifts.is_empty()).await;
}

#[tokio::test]
async fn a_target_that_shares_the_hosts_namespace_is_refused() {
    let rig = Rig::frozen().await;
    rig.kernel.node(|node| node.spawn(1, agent::fake::HOST, None));
    let selector: fault::Selector = "pid:1".parse().unwrap();
    let request = wire::ResolveRequest {
        selector: Some((&selector).into()),
        ..wire::ResolveRequest::default()
    };
    let status = rig.client.clone().resolve(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(matches!(detail(&status), Detail::Refused(_)));
}

#[tokio::test]
async fn a_role_is_refused_since_a_controller_resolves_it() {
    let rig = Rig::frozen().await;
    let selector: fault::Selector = "etcd:leader".parse().unwrap();
    let request = wire::ResolveRequest {
        selector: Some((&selector).into()),
        ..wire::ResolveRequest::default()
    };
    let status = rig.client.clone().resolve(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(matches!(detail(&status), Detail::Unsupported(_)));
}

/// A comparison may find out before the commit does.
fn is_refusal(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::NotFound | Code::Aborted)
}

impl Rig {
    /// Changes the node after a commit was asked for and before the target is looked at for it.
    async fn commit_while(&self, part: u16, change: impl FnOnce(&mut World)) -> tonic::Status {
        let gate = self.kernel.gate(|call| matches!(call, Call::Look(_)));
        let (rig, committed) = (self, async { self.commit(&[part]).await.unwrap_err() });
        let changed = async move {
            soon(gate.reached(1)).await;
            rig.kernel.node(change);
            gate.open();
        };
        tokio::join!(committed, changed).0
    }

    /// Comparisons are over when one that was asked for after them is: this one puts a program before
    /// ours on a device of its own and waits for the word of it.
    async fn agent_has_compared(&self, part: u16) {
        let fault: Fault =
            self.list().await.into_iter().find(|s| s.fault.id.part == part).unwrap().fault;
        let target = fault.target.namespace;
        let mut watch = self.watch();
        for (programs, state) in [(&[99][..], State::Shadowed), (&[][..], State::Active)] {
            self.kernel.node(|node| node.put_before(target, 2, Side::Ingress, programs));
            self.kernel.tell(Stir::Anywhere);
            watch.state(part, state).await;
        }
    }
}

//! Skews over the wire, beside cuts, on processes that come and go.

use std::time::Duration;

use agent::fake::{Call, Trouble};
use agent::kernel::{Kernel, Step, Stir};
use fault::{
    Aspect, ClockEffect, Clocks, Ending, Extent, Fault, Gone, Kind, LeaseTerms, Measured, Offset,
    Peers, ProcessIdentity, Shape, Skew, State, Status,
};
use proto::agent as wire;
use proto::agent::error_detail::Kind as Detail;

use crate::rig::{Rig, detail, id, soon};

const HOUR: i64 = 3_600_000_000_000;

fn skew() -> Skew {
    Skew {
        shape: Shape::Offset(Offset::from_nanos(HOUR).unwrap()),
        clocks: Clocks::REALTIME,
        ending: Ending::Step,
        extent: Extent::Named,
    }
}

fn spawn(rig: &Rig, pid: u32, name: &str) -> ProcessIdentity {
    let cookie = rig.cookie(name);
    rig.kernel.node(|node| node.spawn(pid, cookie, None))
}

fn skewing(rig: &Rig, part: u16, selector: &str) -> Fault {
    let selector = selector.parse().unwrap();
    let target = rig.kernel.resolve(&selector, Aspect::Processes).unwrap().remove(0);
    let (lease, total) = (Duration::from_secs(15), Duration::from_secs(60));
    Fault {
        id: id(part),
        selector,
        target: target.identity,
        kind: Kind::Skew(skew()),
        peers: Peers::default(),
        terms: LeaseTerms::new(lease, total).unwrap(),
        control_path: Vec::new(),
    }
}

fn effect(status: &Status) -> &ClockEffect {
    match &status.measured {
        Some(Measured::Clock(effect)) => effect,
        Some(Measured::Freeze(_) | Measured::Kill(_) | Measured::Stress(_)) | None => {
            panic!("nothing was measured: {status:?}")
        }
    }
}

#[tokio::test]
async fn a_skew_is_measured_by_its_commit_and_remembered_after_its_heal() {
    let rig = Rig::frozen().await;
    let process = spawn(&rig, 7, "a");
    let status = rig.begin(&skewing(&rig, 1, "pid:7")).await;
    assert_eq!(status.state, State::Active);
    assert!(status.happened() && !status.effect.happened(), "{status:?}");
    let reading = effect(&status).readings[0];
    assert_eq!((reading.process, reading.offset), (process, HOUR));
    assert!(rig.is_clean(), "no program is loaded for it");
    let healed = rig.heal(&[1]).await.unwrap().remove(0);
    assert_eq!(healed.state, State::Healed);
    assert_eq!(effect(&healed), effect(&status));
    assert!(rig.kernel.skewed().is_empty());
}

#[tokio::test]
async fn a_commit_that_could_not_be_told_is_the_end_of_its_fault() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    rig.prepare(&[skewing(&rig, 1, "pid:7")]).await.unwrap();
    let begins = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Begin { .. }));
    rig.kernel.trouble(Trouble::errno("write", libc::EIO, begins).once());
    let mut watch = rig.watch();
    rig.commit(&[1]).await.unwrap_err();
    watch.state(1, State::Failed).await;
    assert!(rig.kernel.skewed().is_empty(), "what was told may arrive late");
    let again = rig.commit(&[1]).await.unwrap_err();
    assert!(matches!(detail(&again), Detail::Refused(_)), "{again}");
}

#[tokio::test]
async fn a_lease_is_renewed_in_every_process_or_it_ends() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    let mut watch = rig.watch();
    let fault = skewing(&rig, 1, "pid:7");
    let before = rig.begin(&fault).await.lease.unwrap().end;
    rig.kernel.advance(Duration::from_secs(10));
    let renewed = soon(rig.agent.renew(vec![id(1)], None)).await.unwrap();
    assert_eq!(renewed.renewed, [id(1)]);
    let skewed = rig.kernel.skewed().into_values().next().unwrap();
    assert_eq!(skewed.lease.unwrap().1, before + Duration::from_secs(10));
    rig.kernel.advance(Duration::from_secs(16));
    let ended = watch.state(1, State::Expired).await;
    assert!(ended.happened() && rig.kernel.skewed().is_empty());
}

#[tokio::test]
async fn a_cut_and_a_skew_of_one_target_come_and_go_by_themselves() {
    for first in [1, 2] {
        let rig = Rig::frozen().await;
        spawn(&rig, 7, "b");
        rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
        rig.begin(&skewing(&rig, 2, "netns:b")).await;
        assert!(rig.loaded("b").is_some() && rig.kernel.skewed().len() == 1);
        assert_eq!(rig.heal(&[first]).await.unwrap()[0].state, State::Healed);
        assert_eq!(rig.loaded("b").is_some(), first == 2, "programs are for the cut");
        assert_eq!(rig.kernel.skewed().len(), usize::from(first == 1));
        let other = 3 - first;
        assert_eq!(rig.state(other).await, Some(State::Active));
        assert_eq!(rig.heal(&[other]).await.unwrap()[0].state, State::Healed);
        assert!(rig.is_clean() && rig.kernel.skewed().is_empty());
    }
}

#[tokio::test]
async fn who_comes_is_covered_and_who_leaves_is_let_go_of() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    let mut watch = rig.watch();
    rig.begin(&skewing(&rig, 1, "netns:a")).await;
    spawn(&rig, 8, "a");
    spawn(&rig, 9, "b");
    rig.kernel.tell(Stir::Anywhere);
    watch.until(1, |status| effect(status).covered == 2).await;
    rig.kernel.node(|node| node.kill(7));
    rig.kernel.tell(Stir::Anywhere);
    watch.until(1, |status| effect(status).covered == 1).await;
    let covers = rig.kernel.performed();
    assert!(covers.iter().any(|(_, step)| matches!(step, Step::Cover { .. })));
}

#[tokio::test]
async fn a_process_that_ends_takes_its_skew_along() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    let mut watch = rig.watch();
    rig.begin(&skewing(&rig, 1, "pid:7")).await;
    rig.kernel.node(|node| node.kill(7));
    rig.kernel.tell(Stir::Anywhere);
    watch.state(1, State::Gone(Gone::Process)).await;
    assert!(rig.kernel.skewed().is_empty());
}

#[tokio::test]
async fn a_second_skew_and_one_of_the_node_are_refused() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    rig.begin(&skewing(&rig, 1, "pid:7")).await;
    for again in ["pid:7", "netns:a"] {
        let refused = rig.prepare(&[skewing(&rig, 2, again)]).await.unwrap_err();
        assert!(matches!(detail(&refused), Detail::Refused(_)), "{refused}");
        assert!(refused.message().contains("has moved clocks of this target already"));
    }
    assert_eq!(rig.kernel.skewed().len(), 1);
    let selector = "host:fake".parse().unwrap();
    let host = Fault { selector, ..skewing(&rig, 3, "netns:a") };
    let refused = rig.prepare(&[host]).await.unwrap_err();
    let Detail::InvalidField(field) = detail(&refused) else { panic!("{refused}") };
    assert_eq!(field.field, "faults[0].selector");
}

#[tokio::test]
async fn a_process_of_the_host_is_a_target_of_a_skew_and_of_no_cut() {
    let rig = Rig::frozen().await;
    rig.kernel.node(|node| node.spawn(7, agent::fake::HOST, None));
    let selector: fault::Selector = "pid:7".parse().unwrap();
    let request = |aspect: Aspect| wire::ResolveRequest {
        selector: Some((&selector).into()),
        aspect: wire::Aspect::from(aspect).into(),
    };
    let mut client = rig.client.clone();
    let refused = soon(client.resolve(request(Aspect::Network))).await.unwrap_err();
    assert!(refused.message().contains("shares the host's network namespace"), "{refused}");
    let found = soon(client.resolve(request(Aspect::Processes))).await.unwrap().into_inner();
    assert_eq!(found.targets.len(), 1);
    assert!(rig.begin(&skewing(&rig, 1, "pid:7")).await.happened());
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_written_and_writes_nothing() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    let faults = vec![(&skewing(&rig, 1, "pid:7")).into()];
    let request = wire::PrepareRequest { faults, dry_run: true, holder: None };
    let planned = soon(rig.client.clone().prepare(request)).await.unwrap().into_inner();
    let expected = "put a detour for realtime into the vDSO of the target's processes";
    assert_eq!(planned.faults[0].steps, [expected]);
    assert!(rig.kernel.skewed().is_empty());
}

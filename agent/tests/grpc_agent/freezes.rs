//! Freezes over the wire, beside cuts and skews, on processes that come and go.

use std::time::Duration;

use agent::kernel::{Kernel, Stir};
use fault::{
    Aspect, Drift, Extent, Fault, Freeze, Gone, Kind, LeaseTerms, Measured, Peers, State, Status,
};
use proto::agent::error_detail::Kind as Detail;

use crate::rig::{Rig, detail, id, soon};

fn spawn(rig: &Rig, pid: u32, name: &str) {
    let cookie = rig.cookie(name);
    rig.kernel.node(|node| node.spawn(pid, cookie, None));
}

fn freezing(rig: &Rig, part: u16, selector: &str) -> Fault {
    let selector = selector.parse().unwrap();
    let target = rig.kernel.resolve(&selector, Aspect::Processes).unwrap().remove(0);
    let (lease, total) = (Duration::from_secs(15), Duration::from_secs(60));
    Fault {
        id: id(part),
        selector,
        target: target.identity,
        kind: Kind::Freeze(Freeze { extent: Extent::Named }),
        peers: Peers::default(),
        terms: LeaseTerms::new(lease, total).unwrap(),
        control_path: Vec::new(),
    }
}

fn stopped(status: &Status) -> usize {
    match &status.measured {
        Some(Measured::Freeze(effect)) => effect.stopped,
        Some(_) | None => panic!("nothing was measured: {status:?}"),
    }
}

#[tokio::test]
async fn a_freeze_is_seen_by_its_commit_renewed_and_remembered_after_its_heal() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    let status = rig.begin(&freezing(&rig, 1, "netns:a")).await;
    assert!(status.state == State::Active && status.happened() && stopped(&status) == 1);
    rig.kernel.advance(Duration::from_secs(10));
    assert_eq!(soon(rig.agent.renew(vec![id(1)], None)).await.unwrap().renewed, [id(1)]);
    let frozen = rig.kernel.engaged().into_values().next().unwrap();
    assert_eq!(frozen.lease.unwrap().1, status.lease.unwrap().end + Duration::from_secs(10));
    let healed = rig.heal(&[1]).await.unwrap().remove(0);
    assert!(healed.state == State::Healed && stopped(&healed) == 1);
    assert!(rig.kernel.engaged().is_empty() && rig.is_clean());
}

#[tokio::test]
async fn a_cut_tells_nothing_that_an_earlier_freeze_measured() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "b");
    rig.begin(&freezing(&rig, 1, "netns:b")).await;
    rig.heal(&[1]).await.unwrap();
    let cut = rig.begin(&rig.cut(2, "netns:a", "netns:b")).await;
    let healed = rig.heal(&[2]).await.unwrap().remove(0);
    assert_eq!((cut.measured, healed.measured), (None, None));
}

#[tokio::test]
async fn a_holder_that_ends_before_its_time_fails_its_freeze_and_no_other_fault() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "b");
    let mut watch = rig.watch();
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    rig.begin(&freezing(&rig, 2, "netns:b")).await;
    rig.kernel.release();
    let ended = watch.state(2, State::Failed).await;
    assert_eq!(ended.drifts, [Drift::HolderEnded]);
    assert_eq!(rig.state(1).await, Some(State::Active));
    assert!(rig.kernel.engaged().is_empty() && rig.loaded("b").is_some());
}

#[tokio::test]
async fn who_comes_is_held_and_an_end_of_the_process_ends_the_freeze() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    let mut watch = rig.watch();
    rig.begin(&freezing(&rig, 1, "netns:a")).await;
    spawn(&rig, 8, "a");
    rig.kernel.tell(Stir::Anywhere);
    watch.until(1, |status| stopped(status) == 2).await;
    rig.heal(&[1]).await.unwrap();
    rig.begin(&freezing(&rig, 2, "pid:7")).await;
    rig.kernel.node(|node| node.kill(7));
    rig.kernel.tell(Stir::Anywhere);
    watch.state(2, State::Gone(Gone::Process)).await;
    assert!(rig.kernel.engaged().is_empty());
}

#[tokio::test]
async fn a_second_freeze_of_a_process_is_refused() {
    let rig = Rig::frozen().await;
    spawn(&rig, 7, "a");
    rig.begin(&freezing(&rig, 1, "pid:7")).await;
    for again in ["pid:7", "netns:a"] {
        let refused = rig.prepare(&[freezing(&rig, 2, again)]).await.unwrap_err();
        assert!(matches!(detail(&refused), Detail::Refused(_)), "{refused}");
        assert!(refused.message().contains("has frozen this target already"), "{refused}");
    }
}

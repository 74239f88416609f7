//! What overtakes what: slow targets, ends of faults that are still on their way in.

use agent::fake::{Call, Trouble};
use agent::kernel::{Kernel, Step};
use fault::{NamespaceCookie, State};
use tonic::Code;

use crate::rig::{Rig, slot, soon};

fn looks_at(target: NamespaceCookie) -> impl Fn(&Call<'_>) -> bool + Send + Sync {
    move |call| matches!(call, Call::Look(place) if place.identity.namespace == target)
}

fn writes_a_rule(call: &Call<'_>) -> bool {
    matches!(call, Call::Step(_, Step::Rule { .. }))
}

#[tokio::test]
async fn a_heal_overtakes_what_waits_for_its_target_and_delays_no_other() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let gate = rig.kernel.gate(looks_at(rig.cookie("b")));
    let second = rig.preparing(&rig.cut(2, "netns:a", "netns:b"));
    soon(gate.reached(1)).await;
    let mut watch = rig.watch();
    let third = rig.preparing(&rig.cut(3, "netns:c", "netns:b"));
    // The worker has heard of it when it lists it.
    while rig.state(3).await.is_none() {
        tokio::task::yield_now().await;
    }
    let healing = rig.healing(1);
    watch.state(1, State::Healing).await;
    assert_eq!(rig.lease("b", 0), None, "it acts no more, however slow the target is");
    assert!(!healing.is_finished());

    rig.begin(&rig.cut(4, "netns:a", "netns:c")).await;
    rig.heal(&[4]).await.unwrap();

    gate.open();
    assert_eq!(healing.await.unwrap().unwrap()[0].state, State::Healed);
    second.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    let performed = rig.kernel.performed();
    let at = |wanted: &dyn Fn(&Step) -> bool| {
        performed.iter().rposition(|(cookie, step)| *cookie == rig.cookie("b") && wanted(step))
    };
    let cleared = at(&|step| *step == Step::Clear { slot: slot(0) }).unwrap();
    let third = at(&|step| matches!(step, Step::Rule { .. })).unwrap();
    assert!(cleared < third, "{performed:?}");
    rig.heal(&[2, 3]).await.unwrap();
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_fault_healed_while_it_waits_never_comes_in() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let gate = rig.kernel.gate(looks_at(rig.cookie("b")));
    let second = rig.preparing(&rig.cut(2, "netns:a", "netns:b"));
    soon(gate.reached(1)).await;
    let fault = rig.cut(3, "netns:c", "netns:b");
    let third = rig.preparing(&fault);
    while rig.state(3).await.is_none() {
        tokio::task::yield_now().await;
    }
    // It needs no answer of the target.
    assert_eq!(rig.heal(&[3]).await.unwrap()[0].state, State::Healed);
    assert_eq!(third.await.unwrap().unwrap_err().code(), Code::Aborted);
    gate.open();
    second.await.unwrap().unwrap();
    assert_eq!(rig.loaded("b").unwrap().rules.len(), 2);
    assert_eq!(rig.prepare(&[fault]).await.unwrap_err().code(), Code::Aborted);
    rig.heal(&[1, 2]).await.unwrap();
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_fault_healed_while_its_target_is_looked_at_never_comes_in() {
    let rig = Rig::frozen().await;
    let gate = rig.kernel.gate(looks_at(rig.cookie("b")));
    let preparing = rig.preparing(&rig.cut(1, "netns:a", "netns:b"));
    soon(gate.reached(1)).await;
    let mut watch = rig.watch();
    let healing = rig.healing(1);
    watch.state(1, State::Healing).await;
    gate.open();
    assert_eq!(healing.await.unwrap().unwrap()[0].state, State::Healed);
    assert_eq!(preparing.await.unwrap().unwrap_err().code(), Code::Aborted);
    assert!(!rig.kernel.performed().iter().any(|(_, step)| *step == Step::Load));
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_fault_healed_while_it_is_put_in_is_taken_out_then() {
    let rig = Rig::frozen().await;
    let gate = rig.kernel.gate(writes_a_rule);
    let preparing = rig.preparing(&rig.cut(1, "netns:a", "netns:b"));
    soon(gate.reached(1)).await;
    let mut watch = rig.watch();
    let healing = rig.healing(1);
    watch.state(1, State::Healing).await;
    let replay = rig.preparing(&rig.cut(1, "netns:a", "netns:b"));
    gate.open();
    assert_eq!(healing.await.unwrap().unwrap()[0].state, State::Healed);
    preparing.await.unwrap().unwrap();
    // It may have come before or after the end, and has an answer in each case.
    replay.await.unwrap().unwrap();
    assert_eq!(rig.commit(&[1]).await.unwrap_err().code(), Code::Aborted);
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_fault_healed_while_it_fails_stays_ended() {
    let rig = Rig::frozen().await;
    let gate = rig.kernel.gate(writes_a_rule);
    rig.kernel.trouble(Trouble::errno("bpf(BPF_MAP_UPDATE_ELEM)", libc::ENOMEM, writes_a_rule));
    let fault = rig.cut(1, "netns:a", "netns:b");
    let preparing = rig.preparing(&fault);
    soon(gate.reached(1)).await;
    let mut watch = rig.watch();
    let healing = rig.healing(1);
    watch.state(1, State::Healing).await;
    gate.open();
    assert_eq!(preparing.await.unwrap().unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(healing.await.unwrap().unwrap()[0].state, State::Healed);
    rig.kernel.calm();
    assert_eq!(rig.prepare(&[fault]).await.unwrap_err().code(), Code::Aborted);
    assert!(rig.is_clean());
}

#[tokio::test]
async fn what_expires_while_it_waits_never_comes_in() {
    let rig = Rig::frozen().await;
    let gate = rig.kernel.gate(looks_at(rig.cookie("b")));
    let first = rig.preparing(&rig.cut(1, "netns:a", "netns:b"));
    soon(gate.reached(1)).await;
    let second = rig.preparing(&rig.cut(2, "netns:a", "netns:b"));
    while rig.state(2).await.is_none() {
        tokio::task::yield_now().await;
    }
    let mut watch = rig.watch();
    rig.kernel.advance(std::time::Duration::from_secs(31));
    watch.state(2, State::Expired).await;
    gate.open();
    assert_eq!(first.await.unwrap().unwrap_err().code(), Code::Aborted);
    assert_eq!(second.await.unwrap().unwrap_err().code(), Code::Aborted);
    watch.state(1, State::Expired).await;
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_drain_answers_everybody_who_waits() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let gate = rig.kernel.gate(looks_at(rig.cookie("b")));
    let looking = rig.preparing(&rig.cut(2, "netns:a", "netns:b"));
    soon(gate.reached(1)).await;
    let waiting = rig.preparing(&rig.cut(3, "netns:c", "netns:b"));
    while rig.state(3).await.is_none() {
        tokio::task::yield_now().await;
    }
    let agent = rig.agent.clone();
    let drain = tokio::spawn(async move { agent.drain().await });
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(rig.lease("b", 0), None);
    assert!(!drain.is_finished());
    gate.open();
    soon(drain).await.unwrap();
    assert_eq!(looking.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(rig.is_clean());
    soon(rig.agent.drain()).await;
}

#[tokio::test]
async fn a_commit_that_waits_for_a_stuck_target_finds_the_fault_healed() {
    let rig = Rig::frozen().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    let gate = rig.kernel.gate(looks_at(rig.cookie("b")));
    let mut client = rig.client.clone();
    let request =
        proto::agent::CommitRequest { ids: crate::rig::ids(&[1]), start: 0, holder: None };
    let commit = tokio::spawn(async move { client.commit(request).await });
    soon(gate.reached(1)).await;
    let mut watch = rig.watch();
    let healing = rig.healing(1);
    watch.state(1, State::Healing).await;
    assert_eq!(rig.kernel.lease(rig.cookie("b"), slot(0)), None);
    gate.open();
    let status = soon(commit).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(healing.await.unwrap().unwrap()[0].state, State::Healed);
    assert!(!rig.kernel.performed().iter().any(|(_, step)| matches!(step, Step::Begin { .. })));
    assert!(rig.is_clean());
}

#[tokio::test]
async fn what_the_last_fault_left_for_one_that_never_came_is_taken_out() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let gate = rig.kernel.gate(looks_at(rig.cookie("b")));
    let looking = rig.preparing(&rig.cut(2, "netns:b", "netns:b"));
    soon(gate.reached(1)).await;
    let waiting = rig.preparing(&rig.cut(3, "netns:b", "netns:b"));
    while rig.state(3).await.is_none() {
        tokio::task::yield_now().await;
    }
    let mut watch = rig.watch();
    let healing = rig.healing(1);
    watch.state(1, State::Healing).await;
    gate.open();
    healing.await.unwrap().unwrap();
    // Two sides with the same addresses cannot be told apart.
    assert_eq!(looking.await.unwrap().unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::FailedPrecondition);
    soon(rig.agent.drain()).await;
    assert!(rig.is_clean());
}

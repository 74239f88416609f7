//! From prepare to the end, once and repeated.

use std::time::Duration;

use agent::kernel::Kernel;
use fault::{BootTime, Effect, Fault, Hook, LeaseTerms, Side, State};
use proto::agent as wire;
use proto::agent::error_detail::Kind as Detail;
use proto::agent::event::Kind as Event;
use tonic::Code;

use crate::rig::{Rig, detail, id, ids, slot, soon, statuses};
use crate::session::Session;

#[tokio::test]
async fn a_fault_is_prepared_committed_listed_and_healed() {
    let rig = Rig::frozen().await;
    let prepared = rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    assert_eq!(prepared.faults[0].id, Some(id(1).into()));
    assert_eq!(prepared.faults[0].peers.len(), 2);
    let loaded = rig.loaded("b").unwrap();
    assert_eq!((loaded.rules.len(), loaded.links.len()), (1, 1));
    assert!(!loaded.acts(slot(0), rig.kernel.now()));
    assert_eq!(rig.state(1).await, Some(State::Prepared));

    let active = rig.commit(&[1]).await.unwrap();
    assert_eq!(active[0].state, State::Active);
    let now = rig.kernel.now();
    assert_eq!(rig.lease("b", 0), Some((now, now + Duration::from_secs(15))));
    assert!(rig.loaded("b").unwrap().acts(slot(0), now));
    let effect = Effect { matched: 9, lost: 9, ..Effect::default() };
    rig.kernel.count(rig.cookie("b"), slot(0), effect);
    rig.kernel.pass(rig.cookie("b"), Side::Ingress, Hook { seen: 20, unparsable: 1 });
    assert_eq!(rig.list().await[0].effect, effect);

    let healed = rig.heal(&[1]).await.unwrap();
    assert_eq!((healed[0].state, healed[0].effect), (State::Healed, effect));
    assert_eq!(healed[0].hook, Hook { seen: 20, unparsable: 1 });
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_touches_nothing() {
    let rig = Rig::frozen().await;
    let faults = vec![(&rig.cut(1, "netns:a", "netns:b")).into()];
    let request = wire::PrepareRequest { faults, dry_run: true, holder: None };
    let prepared = rig.client.clone().prepare(request).await.unwrap().into_inner();
    assert!(prepared.faults[0].steps.iter().any(|step| step.starts_with("attach")));
    assert_eq!(prepared.faults[0].target.as_ref().unwrap().addresses.len(), 2);
    assert!(rig.kernel.performed().is_empty());
    assert!(rig.list().await.is_empty());
    assert_eq!(rig.commit(&[1]).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_repeated_request_has_the_same_result() {
    let rig = Rig::frozen().await;
    let fault = rig.cut(1, "netns:a", "netns:b");
    let first = rig.prepare(std::slice::from_ref(&fault)).await.unwrap();
    let performed = rig.kernel.performed();
    assert_eq!(rig.prepare(std::slice::from_ref(&fault)).await.unwrap(), first);
    assert_eq!(rig.kernel.performed(), performed);

    let committed = rig.commit(&[1]).await.unwrap();
    rig.kernel.advance(Duration::from_secs(1));
    let again = rig.commit(&[1]).await.unwrap();
    assert_eq!(again[0].lease, committed[0].lease);
    assert_eq!(rig.prepare(std::slice::from_ref(&fault)).await.unwrap(), first);

    let healed = rig.heal(&[1]).await.unwrap();
    let performed = rig.kernel.performed();
    assert_eq!(rig.heal(&[1]).await.unwrap()[0].state, healed[0].state);
    // What was healed does not come back because an old request does.
    assert_eq!(rig.prepare(std::slice::from_ref(&fault)).await.unwrap(), first);
    assert_eq!(rig.commit(&[1]).await.unwrap()[0].state, State::Healed);
    assert_eq!(rig.kernel.performed(), performed);
    assert!(rig.is_clean());
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_conflict() {
    let rig = Rig::frozen().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    let before = rig.kernel.snapshot();
    let other = rig.prepare(&[rig.cut(1, "netns:c", "netns:b")]).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists);
    assert_eq!(detail(&other), Detail::Conflict(wire::Conflict { with: Some(id(1).into()) }));
    assert_eq!(rig.kernel.snapshot(), before);
}

#[tokio::test]
async fn an_unknown_fault_is_neither_committed_nor_healed() {
    let rig = Rig::frozen().await;
    let unknown = Detail::UnknownFault(wire::UnknownFault { id: Some(id(9).into()) });
    for status in [rig.commit(&[9]).await.unwrap_err(), rig.heal(&[9]).await.unwrap_err()] {
        assert_eq!((status.code(), detail(&status)), (Code::NotFound, unknown.clone()));
    }
}

#[tokio::test]
async fn what_is_never_committed_is_taken_out() {
    let rig = Rig::frozen().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    rig.kernel.advance(Duration::from_secs(29));
    assert_eq!(rig.state(1).await, Some(State::Prepared));
    let mut watch = rig.watch();
    rig.kernel.advance(Duration::from_secs(2));
    watch.state(1, State::Expired).await;
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_lease_ends_by_this_machines_clock() {
    let rig = Rig::running().await;
    let short = Duration::from_millis(200);
    let fault =
        Fault { terms: LeaseTerms::new(short, short).unwrap(), ..rig.cut(1, "netns:a", "netns:b") };
    let mut watch = rig.watch();
    assert_eq!(rig.begin(&fault).await.state, State::Active);
    let expired = watch.state(1, State::Expired).await;
    assert!(expired.now >= expired.lease.unwrap().deadline);
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_start_far_ahead_is_refused() {
    let rig = Rig::frozen().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    for start in [rig.kernel.now() + Duration::from_secs(3600), BootTime::from_nanos(u64::MAX)] {
        let request = wire::CommitRequest { ids: ids(&[1]), start: start.nanos(), holder: None };
        assert!(rig.client.clone().commit(request).await.is_err());
    }
    assert_eq!(rig.lease("b", 0), None);
    let start = rig.kernel.now() + Duration::from_secs(1);
    let request = wire::CommitRequest { ids: ids(&[1]), start: start.nanos(), holder: None };
    rig.client.clone().commit(request).await.unwrap();
    assert!(!rig.loaded("b").unwrap().acts(slot(0), rig.kernel.now()));
    assert!(rig.loaded("b").unwrap().acts(slot(0), start));
}

#[tokio::test]
async fn a_commit_for_a_start_that_is_near_is_answered_once_it_acts() {
    let rig = Rig::running().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    let start = rig.kernel.now() + Duration::from_millis(50);
    let request = wire::CommitRequest { ids: ids(&[1]), start: start.nanos(), holder: None };
    let committed = soon(rig.client.clone().commit(request)).await.unwrap().into_inner();
    let status = statuses(committed.faults).pop().unwrap();
    assert_eq!(status.lease.unwrap().start, start);
    assert!(status.now >= start, "{status:?}");
    assert_eq!(status.standing(), State::Active);
}

#[tokio::test]
async fn a_session_renews_what_acts_and_refuses_what_ended() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let mut session = Session::open(&rig).await;
    rig.kernel.advance(Duration::from_secs(10));
    let renewed = session.renew(&[1, 9]).await;
    assert_eq!((renewed.ids, renewed.refused), (ids(&[1]), ids(&[9])));
    let end = rig.kernel.now() + Duration::from_secs(15);
    assert_eq!(rig.lease("b", 0).unwrap().1, end);

    // Renewed again and again it ends at its deadline nevertheless.
    for _ in 0..4 {
        rig.kernel.advance(Duration::from_secs(10));
        assert_eq!(session.renew(&[1]).await.ids, ids(&[1]));
    }
    rig.kernel.advance(Duration::from_secs(10));
    assert_eq!(session.renew(&[1]).await.refused, ids(&[1]));
    let mut watch = rig.watch();
    if rig.state(1).await != Some(State::Expired) {
        watch.state(1, State::Expired).await;
    }
    assert_eq!(session.renew(&[1]).await.refused, ids(&[1]));
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_lost_session_renews_nothing() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let mut session = Session::open(&rig).await;
    session.renew(&[1]).await;
    drop(session);
    assert_eq!(rig.state(1).await, Some(State::Active));
    let mut watch = rig.watch();
    rig.kernel.advance(Duration::from_secs(16));
    watch.state(1, State::Expired).await;
    assert!(rig.is_clean());
}

#[tokio::test]
async fn a_session_reports_effects_and_the_end_of_the_agent() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    let mut session = Session::open(&rig).await;
    let every = Duration::from_millis(50);
    let report_every_ns = u64::try_from(every.as_nanos()).unwrap();
    let wish = wire::Heartbeat { watch: ids(&[1]), report_every_ns, ..wire::Heartbeat::default() };
    session.heartbeats.send(wish).await.unwrap();
    rig.kernel.count(rig.cookie("b"), slot(0), Effect { matched: 5, ..Effect::default() });
    let status = |event| match event {
        Event::Status(status) => Some(status),
        Event::Renewed(_) | Event::Draining(_) | Event::Braked(_) => None,
    };
    let counted = |event| status(event).filter(|s| s.effect.is_some_and(|e| e.matched == 5));
    session.until(counted).await;

    soon(rig.agent.drain()).await;
    let draining = |event| matches!(event, Event::Draining(_)).then_some(());
    session.until(draining).await;
    assert!(rig.is_clean());
    let refused = rig.prepare(&[rig.cut(2, "netns:a", "netns:b")]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(detail(&refused), Detail::Draining(wire::Draining {}));
    assert_eq!(rig.state(1).await, Some(State::Healed));
}

#[tokio::test]
async fn a_commit_that_comes_late_is_recorded_as_of_when_it_came() {
    let rig = Rig::frozen().await;
    let commit = async |part: u16, late: Duration| {
        rig.prepare(&[rig.cut(part, "netns:a", "netns:b")]).await.unwrap();
        let start = rig.kernel.now();
        rig.kernel.advance(late);
        let request = wire::CommitRequest { ids: ids(&[part]), start: start.nanos(), holder: None };
        rig.client.clone().commit(request).await
    };
    commit(1, Duration::from_millis(40)).await.unwrap();
    let now = rig.kernel.now();
    let told = rig.list().await[0].lease.unwrap();
    assert_eq!((told.start, told.end), (now, now + Duration::from_secs(15)));
    let late = Duration::from_millis(40);
    assert_eq!(told.deadline + late, now + Duration::from_secs(60), "it ends when it was to end");
    // Of what would be over by now nothing is begun.
    let refused = commit(2, Duration::from_secs(15)).await.unwrap_err();
    assert!(refused.message().contains("ended before it acted"), "{refused}");
}

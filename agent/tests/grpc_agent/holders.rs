//! Whose word counts: two lives of one controller, two controllers, commands on the node.

use std::time::Duration;

use agent::kernel::Kernel;
use fault::{ControllerId, Holder, State, Status};
use proto::agent as wire;
use proto::agent::error_detail::Kind as Detail;
use tonic::Code;

use crate::rig::{Rig, detail, id, ids, statuses};
use crate::session::Session;

const OLD: Option<Holder> = holder(1, 4);
const NEW: Option<Holder> = holder(1, 5);
const OTHER: Option<Holder> = holder(2, 9);

const fn holder(controller: u8, epoch: u64) -> Option<Holder> {
    Some(Holder { controller: ControllerId::new([controller; 16]), epoch })
}

fn held_by(controller: u8) -> Detail {
    Detail::Held(wire::Held { by_controller: vec![controller; 16].into() })
}

const SUPERSEDED: Detail = Detail::Superseded(wire::Superseded { by_epoch: 5 });

impl Rig {
    async fn prepare_for(&self, part: u16, asker: Option<Holder>) -> Result<(), tonic::Status> {
        let faults = vec![(&self.cut(part, "netns:a", "netns:b")).into()];
        let holder = asker.map(Into::into);
        let request = wire::PrepareRequest { faults, dry_run: false, holder };
        self.client.clone().prepare(request).await.map(drop)
    }

    async fn commit_for(
        &self,
        part: u16,
        asker: Option<Holder>,
    ) -> Result<Vec<Status>, tonic::Status> {
        let holder = asker.map(Into::into);
        let request = wire::CommitRequest { ids: ids(&[part]), start: 0, holder };
        Ok(statuses(self.client.clone().commit(request).await?.into_inner().faults))
    }

    async fn begin_for(&self, part: u16, asker: Option<Holder>) {
        self.prepare_for(part, asker).await.unwrap();
        assert_eq!(self.commit_for(part, asker).await.unwrap()[0].holder, asker);
    }

    async fn holder_of(&self, part: u16) -> Option<Holder> {
        let found = self.list().await.into_iter().find(|status| status.fault.id == id(part));
        found.unwrap().holder
    }
}

fn assert_refused(status: &tonic::Status, with: &Detail) {
    assert_eq!((status.code(), &detail(status)), (Code::FailedPrecondition, with));
}

#[tokio::test]
async fn a_later_life_is_obeyed_at_once_and_the_former_refused() {
    let rig = Rig::frozen().await;
    rig.begin_for(1, OLD).await;
    rig.prepare_for(2, OLD).await.unwrap();
    rig.prepare_for(3, NEW).await.unwrap();
    let before = rig.kernel.snapshot();
    assert_refused(&rig.prepare_for(4, OLD).await.unwrap_err(), &SUPERSEDED);
    assert_refused(&rig.commit_for(2, OLD).await.unwrap_err(), &SUPERSEDED);
    assert_eq!(rig.kernel.snapshot(), before);
    assert_eq!(rig.holder_of(1).await, OLD);
    // The same requests again, by the later life, have the same results and are its own now.
    rig.commit_for(2, NEW).await.unwrap();
    rig.prepare_for(1, NEW).await.unwrap();
    assert_eq!(rig.holder_of(1).await, NEW);
}

#[tokio::test]
async fn a_heartbeat_of_a_later_life_takes_its_faults_over() {
    let rig = Rig::frozen().await;
    rig.begin_for(1, OLD).await;
    rig.kernel.advance(Duration::from_secs(5));
    let mut session = Session::open(&rig).await;
    let renewed = session.renew_for(&[1], NEW).await;
    assert_eq!((renewed.ids, renewed.refused), (ids(&[1]), vec![]));
    assert_eq!(rig.holder_of(1).await, NEW);
    let mut former = Session::open(&rig).await;
    former.renew_for(&[], OLD).await;
    former.beat(&[1], OLD).await;
    assert_refused(&former.end().await, &SUPERSEDED);
    let end = rig.lease("b", 0).unwrap().1;
    rig.kernel.advance(Duration::from_secs(1));
    session.renew_for(&[], NEW).await;
    assert_eq!(rig.lease("b", 0).unwrap().1, end, "who names nothing renews nothing");
}

#[tokio::test]
async fn another_controller_waits_until_the_first_ones_faults_have_ended() {
    let rig = Rig::frozen().await;
    rig.begin_for(1, NEW).await;
    assert_refused(&rig.prepare_for(2, OTHER).await.unwrap_err(), &held_by(1));
    assert_refused(&rig.commit_for(1, OTHER).await.unwrap_err(), &held_by(1));
    let end = rig.lease("b", 0).unwrap().1;
    rig.kernel.advance(Duration::from_secs(5));
    let mut session = Session::open(&rig).await;
    for asker in [OTHER, None] {
        assert_eq!(session.renew_for(&[1], asker).await.refused, ids(&[1]));
    }
    assert_eq!(rig.lease("b", 0).unwrap().1, end);
    // Whoever sees a fault may end it.
    assert_eq!(rig.heal(&[1]).await.unwrap()[0].state, State::Healed);
    rig.begin_for(2, OTHER).await;
    let renewed = session.renew_for(&[2], OTHER).await;
    assert_eq!((renewed.ids, renewed.number), (ids(&[2]), 3));
    assert_eq!(renewed.now, rig.kernel.now().nanos());
}

#[tokio::test]
async fn a_command_on_the_node_asks_nobody_and_renews_its_own_alone() {
    let rig = Rig::frozen().await;
    rig.begin_for(1, NEW).await;
    rig.begin_for(2, None).await;
    let mut session = Session::open(&rig).await;
    let local = session.renew_for(&[1, 2], None).await;
    assert_eq!((local.ids, local.refused), (ids(&[2]), ids(&[1])));
    let theirs = session.renew_for(&[1, 2], NEW).await;
    assert_eq!((theirs.ids, theirs.refused), (ids(&[1]), ids(&[2])));
    // Its faults are in nobody's way.
    rig.heal(&[1]).await.unwrap();
    rig.begin_for(3, OTHER).await;
}

#[tokio::test]
async fn the_same_id_of_another_holder_is_a_conflict() {
    let rig = Rig::frozen().await;
    rig.begin_for(1, None).await;
    let status = rig.prepare_for(1, NEW).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(rig.holder_of(1).await, None);
}

#[tokio::test]
async fn a_holder_that_means_nothing_is_refused_by_its_field() {
    let rig = Rig::frozen().await;
    let holder = Some(wire::Holder { controller: vec![1, 2].into(), epoch: 1 });
    let faults = vec![(&rig.cut(1, "netns:a", "netns:b")).into()];
    let request = wire::PrepareRequest { faults, dry_run: false, holder };
    let status = rig.client.clone().prepare(request).await.unwrap_err();
    let field = "holder.controller".to_owned();
    assert_eq!(detail(&status), Detail::InvalidField(wire::InvalidField { field }));
}

#[tokio::test]
async fn a_dry_run_and_reading_are_anybodys() {
    let rig = Rig::frozen().await;
    rig.begin_for(1, NEW).await;
    for asker in [OLD, OTHER] {
        let faults = vec![(&rig.cut(2, "netns:a", "netns:b")).into()];
        let holder = asker.map(Into::into);
        let request = wire::PrepareRequest { faults, dry_run: true, holder };
        rig.client.clone().prepare(request).await.unwrap();
    }
    assert_eq!(rig.list().await.len(), 1);
}

//! The brake: by request and by hand, with and without a disk.

use std::fs;
use std::path::PathBuf;

use agent::brake::Brake;
use agent::fake::FakeKernel;
use fault::{ControllerId, Holder, NodeName, State};
use proto::agent as wire;
use proto::agent::error_detail::Kind as Detail;
use proto::agent::event::Kind as Event;
use tempfile::TempDir;
use tonic::Code;

use crate::rig::{Rig, detail, ids, soon, statuses};
use crate::session::Session;

/// A directory as an agent has one, which outlives the agent.
struct Node {
    directory: TempDir,
    kernel: FakeKernel,
}

impl Node {
    fn new() -> Self {
        let kernel = FakeKernel::frozen(NodeName::new("fake").unwrap());
        Self { directory: tempfile::tempdir().unwrap(), kernel }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("halt")
    }

    async fn rig(&self) -> Rig {
        let brake = Brake::beside(&self.directory.path().join("agent.sock"));
        Rig::braked(self.kernel.clone(), brake).await
    }
}

impl Rig {
    async fn halt(&self, reason: &str) -> Result<Vec<fault::Status>, tonic::Status> {
        let request = wire::HaltRequest { reason: reason.to_owned() };
        Ok(statuses(soon(self.client.clone().halt(request)).await?.into_inner().faults))
    }

    async fn resume(&self) {
        soon(self.client.clone().resume(wire::ResumeRequest {})).await.unwrap();
    }

    async fn halted(&self) -> String {
        let described = self.client.clone().describe(wire::DescribeRequest {}).await.unwrap();
        described.into_inner().halted
    }

    async fn assert_halted(&self, part: u16, expected: &str) {
        let status = self.prepare(&[self.cut(part, "netns:a", "netns:b")]).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let Detail::Halted(halted) = detail(&status) else { panic!("{status:?}") };
        assert!(halted.reason.contains(expected), "{halted:?}");
    }
}

#[tokio::test]
async fn halt_heals_all_and_refuses_new_faults_until_resume() {
    let node = Node::new();
    let rig = node.rig().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    rig.prepare(&[rig.cut(2, "netns:a", "netns:c")]).await.unwrap();
    let healed = rig.halt("storm").await.unwrap();
    let states: Vec<_> = healed.iter().map(|status| (status.fault.id.part, status.state)).collect();
    assert_eq!(states, [(1, State::Healed), (2, State::Healed)]);
    assert!(rig.is_clean());
    assert_eq!(fs::read_to_string(node.file()).unwrap(), "storm");
    assert_eq!(rig.halted().await, "storm");
    rig.assert_halted(3, "storm").await;
    assert_eq!(rig.commit(&[2]).await.unwrap_err().code(), Code::FailedPrecondition);
    // What reads and what heals goes on, and the same request again finds nothing to heal.
    assert_eq!(rig.heal(&[1]).await.unwrap()[0].state, State::Healed);
    assert_eq!(rig.list().await.len(), 2);
    assert!(rig.halt("storm").await.unwrap().is_empty());
    rig.resume().await;
    rig.resume().await;
    assert!(!node.file().exists());
    assert_eq!(rig.halted().await, "");
    rig.begin(&rig.cut(3, "netns:a", "netns:b")).await;
}

#[tokio::test]
async fn the_brake_outlives_the_agent() {
    let node = Node::new();
    node.rig().await.halt("").await.unwrap();
    let again = node.rig().await;
    again.assert_halted(1, "no reason given").await;
    again.resume().await;
    again.begin(&again.cut(1, "netns:a", "netns:b")).await;
}

/// Nobody is connected, and nothing is asked: the file alone does it.
#[tokio::test]
async fn a_file_made_by_hand_heals_within_moments() {
    let node = Node::new();
    let rig = node.rig().await;
    for (first, second, content) in [(1, 2, ""), (3, 4, "by hand")] {
        rig.begin(&rig.cut(first, "netns:a", "netns:b")).await;
        let mut watch = rig.watch();
        fs::write(node.file(), content).unwrap();
        watch.state(first, State::Healed).await;
        assert!(rig.is_clean());
        rig.assert_halted(second, content).await;
        assert_ne!(rig.halted().await, "");
        fs::remove_file(node.file()).unwrap();
        rig.begin(&rig.cut(second, "netns:a", "netns:b")).await;
        rig.heal(&[second]).await.unwrap();
    }
}

#[tokio::test]
async fn who_listens_is_told_at_once_that_somebody_has_put_it_on_or_taken_it_off() {
    let node = Node::new();
    let rig = node.rig().await;
    let mut session = Session::open(&rig).await;
    // It listens from then on.
    session.renew(&[]).await;
    let mut told = async || {
        let braked = |event| matches!(event, Event::Braked(_)).then_some(());
        session.until(braked).await;
        session.renew(&[]).await.halted.unwrap()
    };
    // Complete at once, as a file that is written in place is not.
    let ready = node.directory.path().join("ready");
    fs::write(&ready, "by hand").unwrap();
    fs::rename(&ready, node.file()).unwrap();
    assert_eq!(told().await, "by hand");
    fs::remove_file(node.file()).unwrap();
    assert_eq!(told().await, "");
    rig.halt("storm").await.unwrap();
    assert_eq!(told().await, "storm");
    rig.resume().await;
    assert_eq!(told().await, "");
}

#[tokio::test]
async fn a_file_that_comes_between_prepare_and_commit_is_obeyed() {
    let node = Node::new();
    let rig = node.rig().await;
    rig.prepare(&[rig.cut(1, "netns:a", "netns:b")]).await.unwrap();
    fs::write(node.file(), "by hand").unwrap();
    let status = rig.commit(&[1]).await.unwrap_err();
    let reason = "by hand".to_owned();
    assert_eq!(detail(&status), Detail::Halted(wire::Halted { reason }));
    assert_eq!(rig.heal(&[1]).await.unwrap()[0].state, State::Healed);
    assert!(rig.is_clean());
}

#[tokio::test]
async fn what_cannot_be_read_counts_and_says_why() {
    let node = Node::new();
    fs::create_dir(node.file()).unwrap();
    let rig = node.rig().await;
    rig.assert_halted(1, "cannot be read").await;
    let status = rig.client.clone().resume(wire::ResumeRequest {}).await.unwrap_err();
    let errno = libc::EISDIR;
    let refused = wire::KernelRefused { call: "remove".to_owned(), errno };
    assert_eq!(detail(&status), Detail::KernelRefused(refused));
}

#[tokio::test]
async fn without_a_disk_all_is_healed_and_the_brake_holds_as_long_as_the_agent() {
    let node = Node::new();
    let rig = node.rig().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    fs::remove_dir(node.directory.path()).unwrap();
    let status = rig.halt("storm").await.unwrap_err();
    assert!(matches!(detail(&status), Detail::KernelRefused(_)), "{status:?}");
    assert_eq!(rig.state(1).await, Some(State::Healed));
    rig.assert_halted(2, "storm").await;
    fs::create_dir(node.directory.path()).unwrap();
    rig.resume().await;
    rig.begin(&rig.cut(3, "netns:a", "netns:b")).await;
}

#[tokio::test]
async fn the_brake_is_nobodys_and_a_dry_run_goes_on() {
    let node = Node::new();
    let rig = node.rig().await;
    let holder = Holder { controller: ControllerId::new([1; 16]), epoch: 1 };
    rig.agent.hear(holder).await.unwrap();
    rig.halt("storm").await.unwrap();
    let faults = vec![(&rig.cut(1, "netns:a", "netns:b")).into()];
    let request = wire::PrepareRequest { faults, dry_run: true, holder: None };
    rig.client.clone().prepare(request).await.unwrap();
    let request = wire::CommitRequest { ids: ids(&[1]), start: 0, holder: Some(holder.into()) };
    let status = rig.client.clone().commit(request).await.unwrap_err();
    assert!(matches!(detail(&status), Detail::Halted(_)));
}

#[tokio::test]
async fn a_reason_that_is_too_long_is_refused_and_brakes_nothing() {
    let node = Node::new();
    let rig = node.rig().await;
    let status = rig.halt(&"x".repeat(4097)).await.unwrap_err();
    let field = "reason".to_owned();
    assert_eq!(detail(&status), Detail::InvalidField(wire::InvalidField { field }));
    rig.halt(&"x".repeat(4096)).await.unwrap();
}

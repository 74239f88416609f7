//! Skews that cannot be taken back when they end, and processes that are gone by then.

use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

use fault::{Drift, Extent, Skew, State};
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;

use crate::node::{Node, effect};
use crate::rig::{HOUR, ahead, nanos, now};
use crate::witness::Witness;

/// Traces a process until it is dropped: the kernel lets go of it with the thread.
pub(crate) struct Tracer(
    #[expect(dead_code, reason = "it ends what waits for it")] mpsc::Sender<()>,
);

impl Tracer {
    pub(crate) fn of(pid: u32) -> Self {
        let (ends, end) = mpsc::channel::<()>();
        let (says, seized) = mpsc::channel();
        std::thread::spawn(move || {
            let pid = Pid::from_raw(pid.cast_signed());
            says.send(ptrace::seize(pid, Options::empty())).unwrap();
            // Nothing is ever sent.
            let _ = end.recv();
        });
        seized.recv().unwrap().unwrap();
        Self(ends)
    }
}

/// A shell that is killed and reaped with its handle.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_traced_at_the_end_gets_its_bytes_back_when_the_tracer_has_left() {
    let node = Node::start();
    let mut witness = Witness::start(1, nanos(HOUR), &[]);
    let selector = format!("pid:{}", witness.pid());
    let id = node.begin(node.fault(&selector, ahead(HOUR))).await.fault.id;
    let tracer = Tracer::of(witness.pid());
    let failed = node.heal(id).await;
    assert_eq!(failed.state, State::Failed, "{failed:?}");
    let goes_on =
        |drift: &Drift| matches!(drift, Drift::Inert(why) if why.contains("goes on trying"));
    assert!(failed.drifts.iter().any(goes_on), "{failed:?}");
    assert!(failed.is_inert(), "{failed:?}");
    witness.assert_offset(Duration::ZERO);
    let records = node.rig.records().all().unwrap();
    assert!(matches!(records.as_slice(), [record] if record.left), "{records:?}");
    drop(tracer);
    let until = now() + Duration::from_secs(30);
    while !node.rig.records().all().unwrap().is_empty() {
        assert!(now() < until, "it has not its own bytes again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.rig.assert_untouched(witness.pid());
    witness.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_one_skew_is_not_in_the_way_of_the_next() {
    let node = Node::start();
    let mut witness = Witness::start(1, nanos(HOUR), &[]);
    let selector = format!("pid:{}", witness.pid());
    let id = node.begin(node.fault(&selector, ahead(HOUR))).await.fault.id;
    let tracer = Tracer::of(witness.pid());
    assert_eq!(node.heal(id).await.state, State::Failed);
    drop(tracer);
    // That the kernel has let go of it makes no event.
    let until = now() + Duration::from_secs(10);
    while traced(witness.pid()) {
        assert!(now() < until, "it is traced still");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let status = node.begin(node.fault(&selector, ahead(HOUR))).await;
    assert!(status.happened(), "{status:?}");
    witness.assert_offset(HOUR);
    assert_eq!(node.heal(status.fault.id).await.state, State::Healed);
    node.rig.assert_untouched(witness.pid());
    witness.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_end_meanwhile_fail_nothing_and_are_counted() {
    let node = Node::start();
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", "while :; do /bin/sleep 0.002; done"]);
    let shell = Shell(shell.spawn().unwrap());
    let selector = format!("pid:{}", shell.0.id());
    let tree = Skew { extent: Extent::Tree, ..ahead(HOUR) };
    for _ in 0..20 {
        let status = node.begin(node.fault(&selector, tree)).await;
        assert_eq!(status.state, State::Active, "{status:?}");
        let healed = node.heal(status.fault.id).await;
        assert_eq!(healed.state, State::Healed, "{healed:?}");
    }
    let id = node.begin(node.fault(&selector, tree)).await.fault.id;
    node.until(id, |status| effect(status).escaped > 0).await;
    assert_eq!(node.heal(id).await.state, State::Healed);
    drop(shell);
    assert!(node.rig.records().all().unwrap().is_empty());
}

fn traced(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    !status.contains("TracerPid:\t0\n")
}

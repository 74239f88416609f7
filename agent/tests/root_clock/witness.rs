//! A process that watches its own clocks: this test program again, started by other tests.

use std::process::Command;
use std::time::{Duration, Instant};

use fault::ProcessIdentity;
pub(crate) use lab::soak::witness::Testimony;
use lab::soak::witness::{self, ERROR};

/// How long its threads may take to come to a processor.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
#[ignore = "a process that other tests start"]
fn testify() {
    witness::serve();
}

/// A handle to such a process. It ends with its handle.
pub(crate) struct Witness(witness::Witness);

impl Witness {
    /// Starts one, behind a command such as `unshare` if one is given.
    pub(crate) fn start(threads: usize, offset: i64, before: &[&str]) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut command = match before.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&own);
                command
            }
            None => Command::new(&own),
        };
        command.args(["witness::testify", "--exact", "--ignored", "--nocapture"]);
        Self(witness::Witness::start(command, threads, offset).unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn process(&self) -> ProcessIdentity {
        self.0.process().unwrap()
    }

    /// What it sees now.
    pub(crate) fn ask(&mut self) -> Testimony {
        self.0.ask().unwrap()
    }

    /// Asserts how far its clock is off.
    pub(crate) fn assert_offset(&mut self, offset: Duration) {
        let seen = self.ask().offset;
        let expected = i64::try_from(offset.as_nanos()).unwrap();
        assert!((seen - expected).abs() < ERROR, "off by {seen} ns instead of {expected}");
    }

    /// Asks until its busy threads have seen a moved clock, too: beside others they have to come to a processor.
    pub(crate) fn wait_for_skewed(&mut self) {
        let began = Instant::now();
        while self.ask().skewed == 0 {
            assert!(began.elapsed() < PATIENCE, "no busy thread has seen it");
        }
    }

    /// Ends it, and asserts that it never saw anything wrong.
    pub(crate) fn finish(self) {
        self.0.finish().unwrap();
    }

    /// For those who need no more than the process itself.
    pub(crate) fn into_inner(self) -> witness::Witness {
        self.0
    }
}

//! What is done in a container: shells that run there, and how many there are.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use crate::container::Group;
use crate::container::PATIENCE;

impl Group {
    /// Runs a shell in it.
    pub(crate) fn shell(&self, script: &str) -> Victim {
        // It waits until it is where it should be.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("read go; {script}")]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        self.admit(child.id());
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        Victim(child)
    }

    /// Waits until so many are in it.
    pub(crate) fn until(&self, count: usize) {
        let began = Instant::now();
        while self.members().len() != count {
            assert!(began.elapsed() < PATIENCE, "{:?}, not {count}", self.members());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A process that something is done to. Killed and reaped with its handle.
pub(crate) struct Victim(pub(crate) Child);

impl Victim {
    pub(crate) fn selector(&self) -> String {
        format!("pid:{}", self.0.id())
    }

    pub(crate) fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

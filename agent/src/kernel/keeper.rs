//! A child of ours for one fault: told by a line of JSON, answering by one, and over when it is killed.
//!
//! It dies with the thread that starts it, which has to live as long as the fault.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::clock::holder::COMMAND;

/// How long the end of one that was killed is waited for (2 s): it ends at once, unless it waits for a device.
const LAST_MOMENTS: Duration = Duration::from_secs(2);

/// It could not be started or spoken to.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeeperError {
    /// The kernel's error.
    #[error("{what} a process of the agent: {source}")]
    Process {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It has ended, and does nothing any more.
    #[error("the process of the agent that acts has ended")]
    Ended,
    /// It was killed, and waits in the kernel for a device; it ends when that answers.
    #[error("process {0} of the agent was killed and does not end: it waits for a device")]
    Stuck(u32),
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> KeeperError {
    move |source| KeeperError::Process { what, source }
}

/// The child. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    pid: u32,
    hands: Mutex<Hands>,
}

#[derive(Debug)]
struct Hands {
    child: Child,
    stdin: ChildStdin,
    orders: u64,
}

impl Keeper {
    /// Starts a program that knows [`COMMAND`] in one of its roles. Each of its answers goes to `heard`, and
    /// nothing when it has ended.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start<R: DeserializeOwned>(
        program: &Path,
        role: &str,
        mut heard: impl FnMut(Option<R>) + Send + 'static,
    ) -> Result<Self, KeeperError> {
        let mut child = Command::new(program)
            .args([COMMAND, role])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(failed("start"))?;
        let pid = child.id();
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else { return Err(KeeperError::Ended) };
        // One that is stopped reads nothing: nobody waits for that.
        fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| failed("speak to")(errno.into()))?;
        let keeper = Self { pid, hands: Mutex::new(Hands { child, stdin, orders: 0 }) };
        let listen = move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if let Ok(report) = serde_json::from_slice(&line) {
                    heard(Some(report));
                }
            }
            heard(None);
        };
        thread::Builder::new()
            .name("schism-keeper".to_owned())
            .spawn(listen)
            .map_err(failed("listen to"))?;
        Ok(keeper)
    }

    /// Its number.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells it; waits for nobody. The number of the order comes back, counted from 1.
    ///
    /// # Errors
    /// It has ended, or has too much to read already.
    pub(super) fn tell(&self, order: &impl Serialize) -> Result<u64, KeeperError> {
        let mut line = serde_json::to_vec(order).map_err(|e| failed("tell")(e.into()))?;
        line.push(b'\n');
        let mut hands = self.hands();
        hands.stdin.write_all(&line).map_err(|error| {
            let ended = error.kind() == io::ErrorKind::BrokenPipe;
            if ended { KeeperError::Ended } else { failed("tell")(error) }
        })?;
        hands.orders += 1;
        Ok(hands.orders)
    }

    /// Ends it by SIGKILL. Waits for nobody.
    pub(super) fn kill(&self) {
        // One that has ended needs none.
        let _ = self.hands().child.kill();
    }

    /// Waits for its end, but not for a device that it waits for.
    ///
    /// # Errors
    /// It is no child any more, or [`KeeperError::Stuck`].
    pub(super) fn wait(&self) -> Result<(), KeeperError> {
        let wait = || self.hands().child.try_wait().map_err(failed("wait for"));
        if wait()?.is_some() {
            return Ok(());
        }
        // A child that was not waited for keeps its number.
        let number = Pid::from_raw(self.pid.cast_signed()).ok_or(KeeperError::Ended)?;
        let descriptor = pidfd_open(number, PidfdFlags::empty());
        let descriptor = descriptor.map_err(|errno| failed("watch")(errno.into()))?;
        let mut awaited = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
        let until = Instant::now() + LAST_MOMENTS;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Interrupted or not, what came of it is read off the child.
            let _ = poll(&mut awaited, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
            if wait()?.is_some() {
                return Ok(());
            }
            if left.is_zero() {
                return Err(KeeperError::Stuck(self.pid));
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.kill();
        // It is dead or about to be; otherwise it would be listed until we end. One that waits for a device
        // is waited for by nobody: it has to be able to go on without us.
        let _ = self.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_does_not_end_is_not_waited_for_for_ever() {
        let keeper = Keeper::start(Path::new("/usr/bin/yes"), "role", |_: Option<u8>| {}).unwrap();
        let began = Instant::now();
        let stuck = keeper.wait();
        assert!(matches!(stuck, Err(KeeperError::Stuck(pid)) if pid == keeper.pid()), "{stuck:?}");
        assert!(began.elapsed() >= LAST_MOMENTS);
        keeper.kill();
        keeper.wait().unwrap();
    }
}

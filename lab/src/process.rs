//! Processes that we started, and nobody else's.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use thiserror::Error;

use crate::warden;

/// How long a process may take to end after SIGTERM before it is killed.
pub const GRACE: Duration = Duration::from_secs(5);

/// Has a process of this one's killed that is no [`Process`], should this one be gone before it.
pub fn entrust(pid: u32) {
    warden::watch_process(pid);
}

/// Why a process could not be started or reached.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// It did not start.
    #[error("`{program}` could not be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A signal could not be sent.
    #[error("{signal} could not be sent to {program} ({pid}): {source}")]
    Signal {
        /// The program.
        program: String,
        /// Its process id.
        pid: Pid,
        /// What was to be sent.
        signal: Signal,
        /// Why.
        source: Errno,
    },
    /// Its exit status could not be read.
    #[error("the end of {program} could not be awaited: {source}")]
    Wait {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

/// A child process that is ended with its handle: SIGTERM, [`GRACE`], SIGKILL.
///
/// Its pid is never re-used while the handle lives, because only the handle reaps it.
#[derive(Debug)]
pub struct Process {
    program: String,
    child: Child,
    ended: Arc<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Process {
    /// Starts a command in a process group of its own, so that Ctrl-C reaches only its owner.
    ///
    /// # Errors
    /// When the program can't be started.
    pub fn start(command: &mut Command) -> Result<Self, ProcessError> {
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        words.extend(command.get_args().take(5).map(|word| word.to_string_lossy().into_owned()));
        let program = words.join(" ");
        let child = match command.process_group(0).stdin(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(source) => return Err(ProcessError::Start { program, source }),
        };
        warden::watch_process(child.id());
        let ended = Arc::new(Ended::default());
        let process = Self { program, child, ended: Arc::clone(&ended) };
        let pid = process.pid();
        thread::spawn(move || {
            // WNOWAIT leaves the zombie: the pid stays ours until the handle reaps it.
            while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
                == Err(Errno::EINTR)
            {}
            *ended.flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
            ended.changed.notify_all();
        });
        Ok(process)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it says, once, if its standard error was piped.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends it a signal; a process that has ended is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        self.send(self.pid(), signal)
    }

    /// Sends a signal to it and to what it has started; of processes that have ended it is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal_all(&self, signal: Signal) -> Result<(), ProcessError> {
        self.send(Pid::from_raw(-self.pid().as_raw()), signal)
    }

    fn send(&self, pid: Pid, signal: Signal) -> Result<(), ProcessError> {
        let program = || self.program.clone();
        kill(pid, signal).map_err(|source| ProcessError::Signal {
            program: program(),
            pid,
            signal,
            source,
        })
    }

    /// Waits until it has ended, at most for this long, and says whether it has.
    #[must_use]
    pub fn wait_end(&self, limit: Duration) -> bool {
        let flag = self.ended.flag.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.changed.wait_timeout_while(flag, limit, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Ends it and what it has started with SIGTERM, or it with SIGKILL after [`GRACE`], and reaps it.
    ///
    /// # Errors
    /// When a signal can't be sent or the process can't be awaited.
    pub fn stop(mut self) -> Result<ExitStatus, ProcessError> {
        self.end()
    }

    /// Ends it with SIGKILL and reaps it.
    ///
    /// # Errors
    /// When the signal can't be sent or the process can't be awaited.
    pub fn kill(mut self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::SIGKILL)?;
        self.reap()
    }

    fn end(&mut self) -> Result<ExitStatus, ProcessError> {
        if !self.wait_end(Duration::ZERO) {
            // Its group as well: `unshare`, which has made another pid namespace, passes nothing on.
            self.signal_all(Signal::SIGTERM)?;
            // A stopped process acts on SIGTERM only when it goes on.
            self.signal_all(Signal::SIGCONT)?;
            if !self.wait_end(GRACE) {
                self.signal(Signal::SIGKILL)?;
            }
        }
        self.reap()
    }

    fn reap(&mut self) -> Result<ExitStatus, ProcessError> {
        self.child
            .wait()
            .map_err(|source| ProcessError::Wait { program: self.program.clone(), source })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // `wait` remembers a status that it got, so a reaped pid is never signalled.
        let reaped = matches!(self.child.try_wait(), Ok(Some(_)));
        if !reaped && let Err(error) = self.end() {
            eprintln!("lab: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, time::Instant};

    use super::*;

    #[test]
    fn an_end_is_an_event() {
        let process = Process::start(&mut Command::new("true")).unwrap();
        assert!(process.wait_end(Duration::from_secs(10)));
        assert!(process.stop().unwrap().success());
    }

    #[test]
    fn sigterm_comes_first() {
        let process = Process::start(Command::new("sleep").arg("60")).unwrap();
        let began = Instant::now();
        assert_eq!(process.stop().unwrap().signal(), Some(Signal::SIGTERM as i32));
        assert!(began.elapsed() < GRACE);
    }

    #[test]
    fn a_stopped_process_is_ended_too() {
        let process = Process::start(Command::new("sleep").arg("60")).unwrap();
        process.signal(Signal::SIGSTOP).unwrap();
        let began = Instant::now();
        drop(process);
        assert!(began.elapsed() < GRACE);
    }
}

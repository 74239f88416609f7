//! Which process is meant, even after its pid was given to another.

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::warden::start_time;

/// A process by its pid and its start, which together no other process of this boot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its pid.
    pub pid: Pid,
    /// When it was started, in clock ticks since boot: field 22 of proc_pid_stat(5).
    pub start: u64,
}

impl Identity {
    /// The process that has a pid now; `None` where none has.
    #[must_use]
    pub fn of(pid: Pid) -> Option<Self> {
        let start = start_time(u32::try_from(pid.as_raw()).ok()?)?;
        Some(Self { pid, start })
    }

    /// Whether it is there still.
    #[must_use]
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends it a signal, unless it is gone: whoever has its pid then gets none.
    ///
    /// # Errors
    /// ESRCH where it is gone; EPERM.
    pub fn signal(self, signal: Signal) -> Result<(), Errno> {
        if self.lives() { kill(self.pid, signal) } else { Err(Errno::ESRCH) }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn whoever_has_the_pid_of_another_gets_no_signal() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let one = Identity::of(Pid::from_raw(child.id().cast_signed())).unwrap();
        let other = Identity { start: one.start - 1, ..one };
        assert!(one.lives() && !other.lives());
        assert_eq!(other.signal(Signal::SIGKILL), Err(Errno::ESRCH));
        assert_eq!(child.try_wait().unwrap(), None);
        one.signal(Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(!one.lives());
    }
}

//! What the kernel says that a process has taken.

use std::fs;
use std::time::Duration;

/// Ticks in a second of what /proc counts in them: USER_HZ, which is 100 wherever Linux runs.
const USER_HZ: u64 = 100;

/// What a process has taken so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Processor time.
    pub(super) cpu: Duration,
    /// Memory of its own that is resident now (bytes); 0 after its end.
    pub(super) memory: u64,
    /// What it made the kernel write to and read from disks (bytes).
    pub(super) written: u64,
    pub(super) read: u64,
}

impl Account {
    /// Of a process that was not reaped yet; `None` of any other.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let cpu = cpu(&read("stat").ok()?)?;
        let memory = field(&read("status").unwrap_or_default(), "RssAnon:");
        let io = read("io").unwrap_or_default();
        Some(Self {
            cpu,
            memory: memory.unwrap_or_default() << 10,
            written: field(&io, "write_bytes:").unwrap_or_default(),
            read: field(&io, "read_bytes:").unwrap_or_default(),
        })
    }
}

/// Fields 14 and 15 (utime, stime) of proc_pid_stat(5).
fn cpu(stat: &str) -> Option<Duration> {
    let (_, tail) = stat.rsplit_once(')')?;
    let mut fields = tail.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_millis(ticks.checked_mul(1_000 / USER_HZ)?))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_of_a_process_with_an_odd_name() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 90 0 0 0 250 50 0 0 20 0 1 0 9";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("7 (a) R 1"), None);
    }

    #[test]
    fn a_process_that_works_has_taken_something() {
        let own = Account::of(std::process::id()).unwrap();
        assert!(own.memory > 0);
        assert_eq!(field("RssAnon:\t  12 kB\n", "RssAnon:"), Some(12));
    }
}

//! Before whom this program's threads run.

use std::fs;
use std::sync::OnceLock;

use rustix::process::{Pid, getpriority_process, setpriority_process};

use super::clock::hold;

/// Of what must be done in time and is little, as some of the kernel's own workers have it.
const AGENT: i32 = -20;
/// Of everybody.
const ORDINARY: i32 = 0;

/// What this process had before it came first.
static BEFORE: OnceLock<i32> = OnceLock::new();

/// Has all threads of this process, and what they start, come before ordinary ones: a node that is loaded
/// with more than it can do, perhaps by a fault, is where an agent has to keep its times.
///
/// Without the right to it (CAP_SYS_NICE) it goes on as it is.
pub fn come_first() {
    let before = *BEFORE.get_or_init(now);
    // Not even tried without: a sandbox may take the call for an attack.
    if before > AGENT && may() {
        set(AGENT);
    }
}

/// Has all threads of this process, and what they start, come as they did before they came first.
pub fn come_as_before() {
    if let Some(before) = BEFORE.get()
        && now() < *before
    {
        set(*before);
    }
}

/// Has all threads of this process, which an agent has started, come with everybody else.
pub(super) fn come_with_others() {
    if now() < ORDINARY {
        set(ORDINARY);
    }
}

fn now() -> i32 {
    getpriority_process(None).unwrap_or(ORDINARY)
}

/// Whether this process has CAP_SYS_NICE: its bit in the mask of capabilities(7).
fn may() -> bool {
    const SYS_NICE: u32 = 23;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << SYS_NICE) != 0
}

fn set(nice: i32) {
    let threads = hold::threads(std::process::id()).unwrap_or_default();
    for thread in threads.into_iter().filter_map(|thread| Pid::from_raw(thread.as_raw())) {
        // setpriority(2) takes a thread's id on Linux. One that has ended needs none.
        let _ = setpriority_process(Some(thread), nice);
    }
}

//! Before whom this program's threads run.

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
    let before = BEFORE.get_or_init(|| getpriority_process(None).unwrap_or(ORDINARY));
    if *before > AGENT {
        set(AGENT);
    }
}

/// Has all threads of this process, and what they start, come as they did before they came first.
pub fn come_as_before() {
    if let Some(before) = BEFORE.get() {
        set(*before);
    }
}

/// Has all threads of this process, which an agent has started, come with everybody else.
pub(super) fn come_with_others() {
    set(ORDINARY);
}

fn set(nice: i32) {
    let threads = hold::threads(std::process::id()).unwrap_or_default();
    for thread in threads.into_iter().filter_map(|thread| Pid::from_raw(thread.as_raw())) {
        // setpriority(2) takes a thread's id on Linux. One that has ended needs none.
        let _ = setpriority_process(Some(thread), nice);
    }
}

//! Before whom this program's threads run.

use rustix::process::{Pid, setpriority_process};

use super::clock::hold;

/// Of what must be done in time and is little, as some of the kernel's own workers have it.
const AGENT: i32 = -20;
/// Of everybody.
const ORDINARY: i32 = 0;

/// Has all threads of this process, and what they start, come before ordinary ones: a node that is loaded
/// with more than it can do, perhaps by a fault, is where an agent has to keep its times.
///
/// Without the right to it (CAP_SYS_NICE) it goes on as it is.
pub fn come_first() {
    set(AGENT);
}

/// Has all threads of this process, and what they start, come with everybody else again.
pub fn come_with_others() {
    set(ORDINARY);
}

fn set(nice: i32) {
    let threads = hold::threads(std::process::id()).unwrap_or_default();
    for thread in threads.into_iter().filter_map(|thread| Pid::from_raw(thread.as_raw())) {
        // setpriority(2) takes a thread's id on Linux. One that has ended needs none.
        let _ = setpriority_process(Some(thread), nice);
    }
}

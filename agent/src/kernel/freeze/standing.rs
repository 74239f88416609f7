//! Whether threads stand still, by what anybody can see of them in /proc.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::Duration;

use fault::ProcessIdentity;

use crate::kernel::process;

/// How long after the first look the second one is (5 ms): who runs has run by then, or has waited to.
const BETWEEN: Duration = Duration::from_millis(5);

/// What was seen of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// How many there are.
    pub(super) threads: usize,
    /// How many of them stand still, held by ours.
    pub(super) stopped: usize,
}

/// Looks at the threads of processes twice.
pub(super) fn look(processes: &BTreeSet<ProcessIdentity>, holder: u32) -> Standing {
    let first = threads(processes);
    thread::sleep(BETWEEN);
    compare(&first, &threads(processes), holder)
}

/// Whether any thread of these processes is held by that one.
pub(super) fn is_held(processes: &BTreeSet<ProcessIdentity>, holder: u32) -> bool {
    threads(processes).values().any(|seen| seen.tracer == holder)
}

/// A thread as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// `t` is a tracing stop.
    state: char,
    tracer: u32,
    /// How often it has left a processor.
    switches: u64,
}

fn compare(first: &BTreeMap<u32, Seen>, second: &BTreeMap<u32, Seen>, holder: u32) -> Standing {
    let stands = |(thread, seen): &(&u32, &Seen)| {
        seen.state == 't' && seen.tracer == holder && first.get(thread) == Some(*seen)
    };
    Standing { threads: second.len(), stopped: second.iter().filter(stands).count() }
}

fn threads(processes: &BTreeSet<ProcessIdentity>) -> BTreeMap<u32, Seen> {
    let mut seen = BTreeMap::new();
    for process in processes.iter().filter(|process| process::is_alive(**process)) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", process.pid)) else { continue };
        for task in tasks.flatten() {
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            if let Some(thread) = parse(&status).filter(|thread| !matches!(thread.state, 'Z' | 'X'))
            {
                seen.insert(id, thread);
            }
        }
    }
    seen
}

fn parse(status: &str) -> Option<Seen> {
    let mut seen = Seen::default();
    for (name, value) in status.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name {
            "State" => seen.state = value.chars().next()?,
            "TracerPid" => seen.tracer = value.parse().ok()?,
            "voluntary_ctxt_switches" | "nonvoluntary_ctxt_switches" => {
                seen.switches = seen.switches.checked_add(value.parse().ok()?)?;
            }
            _ => {}
        }
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: char, tracer: u32, switches: u64) -> Seen {
        let text = format!(
            "Name:\ta: b\nState:\t{state} (tracing stop)\nTracerPid:\t{tracer}\n\
             voluntary_ctxt_switches:\t{switches}\nnonvoluntary_ctxt_switches:\t2\n"
        );
        parse(&text).unwrap()
    }

    #[test]
    fn only_who_is_held_by_ours_and_does_nothing_stands_still() {
        let table = [
            (status('t', 9, 5), status('t', 9, 5), 1),
            (status('t', 9, 5), status('t', 9, 6), 0),
            (status('t', 8, 5), status('t', 8, 5), 0),
            (status('S', 9, 5), status('S', 9, 5), 0),
            (status('R', 9, 5), status('t', 9, 5), 0),
        ];
        for (first, second, stopped) in table {
            let (first, second) = (BTreeMap::from([(4, first)]), BTreeMap::from([(4, second)]));
            let expected = Standing { threads: 1, stopped };
            assert_eq!(compare(&first, &second, 9), expected, "{first:?} {second:?}");
        }
        let there = BTreeMap::from([(4, status('t', 9, 5))]);
        let expected = Standing { threads: 1, stopped: 0 };
        assert_eq!(compare(&BTreeMap::new(), &there, 9), expected, "it was seen only once");
    }
}

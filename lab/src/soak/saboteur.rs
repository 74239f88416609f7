//! Whoever kills and stops holders.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, gettid};

use super::dice::Dice;

/// Longer than a holder takes before it is let die by its own timers.
const LONGEST_STOP: Duration = Duration::from_millis(60);

/// What happens to a holder, so long after it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Luck {
    Spared,
    Killed(Duration),
    /// And goes on later, or is killed then.
    Stopped {
        after: Duration,
        lasts: Duration,
        then: Signal,
    },
    /// And, if it holds the process just then, is left to the kernel, which has to kill it.
    Left {
        after: Duration,
    },
}

impl Luck {
    /// Something that happens within somewhat more than this.
    pub(super) fn draw(dice: &mut Dice, span: Duration) -> Self {
        let after = dice.time(span + span / 4);
        match dice.below(8) {
            0 => Self::Spared,
            1..5 => Self::Killed(after),
            5 => Self::Left { after },
            side => {
                let then = if side == 6 { Signal::SIGCONT } else { Signal::SIGKILL };
                Self::Stopped { after, lasts: dice.time(LONGEST_STOP), then }
            }
        }
    }
}

/// Watches the children of a thread while that is at work.
pub(super) struct Saboteur;

impl Saboteur {
    /// Works; the first child that it starts meanwhile has this luck. Gives what really happened: `None`
    /// where it came too late.
    ///
    /// `known` is a child of before.
    pub(super) fn beside<T>(known: u32, luck: Luck, work: impl FnOnce() -> T) -> (T, Option<Luck>) {
        let done = AtomicBool::new(false);
        let parent = gettid();
        thread::scope(|scope| {
            let saboteur = scope.spawn(|| sabotage(parent, known, luck, &done));
            let worked = work();
            done.store(true, Ordering::Release);
            (worked, saboteur.join().unwrap_or(None))
        })
    }
}

fn sabotage(parent: Pid, known: u32, luck: Luck, done: &AtomicBool) -> Option<Luck> {
    let (after, signals) = match luck {
        Luck::Spared => return None,
        Luck::Killed(after) => (after, vec![(Duration::ZERO, Signal::SIGKILL)]),
        Luck::Left { after } => {
            (after, vec![(Duration::ZERO, Signal::SIGSTOP), (Duration::ZERO, Signal::SIGKILL)])
        }
        Luck::Stopped { after, lasts, then } => {
            (after, vec![(Duration::ZERO, Signal::SIGSTOP), (lasts, then)])
        }
    };
    let holder = loop {
        if done.load(Ordering::Acquire) {
            return None;
        }
        match child(parent, known) {
            Some(holder) => break holder,
            None => thread::yield_now(),
        }
    };
    let mut happened = None;
    let mut at = Instant::now() + after;
    for (lasts, signal) in signals {
        at += lasts;
        while Instant::now() < at {
            if done.load(Ordering::Acquire) {
                return happened;
            }
            // A moment of chance is no event; to sleep would make it one of the scheduler's.
            thread::yield_now();
        }
        // Its parent reaps it: whoever is not a child any more is somebody else.
        if child(parent, known) != Some(holder) || kill(holder, signal).is_err() {
            return happened;
        }
        if matches!(luck, Luck::Left { .. }) {
            if signal == Signal::SIGSTOP && held(known).is_some() {
                // The kernel does it, and its parent sees it: that ends the work, and so this.
                while !done.load(Ordering::Acquire) && child(parent, known) == Some(holder) {
                    thread::sleep(LONGEST_STOP / 10);
                }
                return Some(luck);
            }
            happened = Some(Luck::Killed(after));
        } else {
            happened = Some(luck);
        }
    }
    happened
}

/// The youngest child of a thread of this process, but for one.
fn child(parent: Pid, known: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/self/task/{parent}/children")).ok()?;
    let mut pids = children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok());
    let pid = pids.rfind(|pid| *pid != known)?;
    i32::try_from(pid).ok().map(Pid::from_raw)
}

/// What keeps a process from running, if anything does.
pub(super) fn held(pid: u32) -> Option<String> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Some("it is not there any more".to_owned());
    };
    threads.flatten().find_map(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
        };
        let (state, tracer) = (field("State:"), field("TracerPid:"));
        let free = tracer == "0" && !state.starts_with(['T', 't']);
        (!free).then(|| format!("{}: {state}, traced by {tracer}", thread.path().display()))
    })
}

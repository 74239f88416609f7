//! What a fault did that is not packets.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{Clock, ProcessIdentity, Stress};

/// What was measured of a fault, by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured {
    /// Of clocks that were moved.
    Clock(ClockEffect),
    /// Of processes that stand still.
    Freeze(FreezeEffect),
    /// Of processes that were to end.
    Kill(KillEffect),
    /// Of a load.
    Stress(StressEffect),
}

/// What a skew did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClockEffect {
    /// How many processes it covers, or covered at its end.
    pub covered: usize,
    /// Processes of the target that it cannot cover; at most [`ClockEffect::NAMED`].
    pub uncovered: Vec<Uncovered>,
    /// What each clock was read as.
    pub readings: Vec<Reading>,
    /// The longest time for which a process was held at a stretch; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub longest_hold: Duration,
    /// The longest time for which a process of the target may have gone uncovered, after it began or
    /// executed another program; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub longest_gap: Duration,
    /// How long the clocks take to come back to the truth after its end; nothing where they come in a step.
    #[serde(serialize_with = "seconds")]
    pub way_back: Duration,
    /// How many processes executed another program and ended before they were covered again: all their time
    /// they had the truth.
    pub escaped: usize,
}

impl ClockEffect {
    /// How many uncovered processes are named.
    pub const NAMED: usize = 64;

    /// Whether every clock that was to move was read, and had moved as it should.
    #[must_use]
    pub fn happened(&self) -> bool {
        !self.readings.is_empty() && self.readings.iter().all(Reading::has_moved)
    }
}

/// What a freeze did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FreezeEffect {
    /// How many processes are held, or were at its end.
    pub processes: usize,
    /// How many threads these have.
    pub threads: usize,
    /// How many of them were seen standing still: traced, and without any work done between two looks.
    pub stopped: usize,
    /// How long it took until all of them stood still; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub reached: Duration,
    /// For how long they have been standing still since then, or did; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub held: Duration,
    /// Processes of the target that it cannot hold; at most [`ClockEffect::NAMED`].
    pub uncovered: Vec<Uncovered>,
}

impl FreezeEffect {
    /// Whether any thread was seen standing still.
    #[must_use]
    pub const fn happened(&self) -> bool {
        self.stopped > 0
    }
}

/// What a kill did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KillEffect {
    /// How many processes it is meant for.
    pub processes: usize,
    /// How many of them were sent the signal.
    pub signalled: usize,
    /// How many of those ignore it, or keep it waiting: it was sent, and does nothing.
    pub unheeded: usize,
    /// How many of those that were sent it have ended.
    pub ended: usize,
    /// How many of them only by SIGKILL, after the time of grace.
    pub forced: usize,
    /// The longest time from the signal to the end; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub longest: Duration,
    /// Processes of the target that are left alone; at most [`ClockEffect::NAMED`].
    pub uncovered: Vec<Uncovered>,
}

impl KillEffect {
    /// Whether all have ended for which it is meant.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.processes > 0 && self.ended == self.processes
    }
}

/// What a load took, as the kernel accounts for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StressEffect {
    /// For how long it has been there; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub lasted: Duration,
    /// Processor time; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub cpu: Duration,
    /// The most memory that was resident (bytes).
    pub memory: u64,
    /// How much memory it is to take (bytes).
    pub memory_asked: u64,
    /// What was written to the file system (bytes).
    pub written: u64,
    /// What was read from it (bytes).
    pub read: u64,
}

impl StressEffect {
    /// Whether something of each was taken that was asked for.
    #[must_use]
    pub const fn happened(&self, asked: &Stress) -> bool {
        (asked.cpu.is_none() || !self.cpu.is_zero())
            && (asked.memory.is_none() || self.memory > 0)
            && (asked.io.is_none() || self.written + self.read > 0)
    }
}

/// A clock as a probe read it through a process's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Which clock.
    pub clock: Clock,
    /// Of which process.
    pub process: ProcessIdentity,
    /// How far it was ahead of the truth (ns).
    pub offset: i64,
    /// By how much that may be wrong, either way (ns).
    pub error: u64,
    /// Whether that is as far as was asked for at that time.
    pub as_asked: bool,
}

impl Reading {
    /// Whether it was off the truth, and as it should be.
    #[must_use]
    pub const fn has_moved(&self) -> bool {
        self.as_asked && self.offset.unsigned_abs() > self.error
    }
}

/// A process of a target whose clocks are left alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Uncovered {
    /// Which.
    pub process: ProcessIdentity,
    /// Its command name.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_was_read_off_the_truth_has_moved() {
        let process = ProcessIdentity { pid: 7, started: 7 };
        let reading = |offset, error, as_asked| Reading {
            clock: Clock::Realtime,
            process,
            offset,
            error,
            as_asked,
        };
        let moved = reading(3_600_000_000_000, 90, true);
        let table = [
            (vec![], false),
            (vec![moved], true),
            (vec![reading(80, 90, true)], false),
            (vec![reading(-80_000, 90, false)], false),
            (vec![moved, reading(0, 90, true)], false),
        ];
        for (readings, happened) in table {
            let effect = ClockEffect { covered: 1, readings, ..ClockEffect::default() };
            assert_eq!(effect.happened(), happened, "{effect:?}");
        }
    }
}

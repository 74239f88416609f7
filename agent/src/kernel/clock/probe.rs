//! Reading a skewed clock without touching its owner's threads.
//!
//! A process of its own joins the target's time namespace, takes over the bytes of the target's vDSO, and
//! reads its clock through them.

use std::fs::File;
use std::ops::Range;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::memory::Memory;
use super::vdso;
use crate::kernel::netns;

/// How often a clock is read; the reading that took the shortest counts.
const READINGS: u32 = 32;

/// Whose clock to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// Which process's.
    pub pid: u32,
    /// Where it has its vDSO.
    pub vdso: Range<u64>,
    /// The clock's number.
    pub clock: i32,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// How far the clock is ahead of the truth (ns).
    pub offset: i64,
    /// By how much that may be wrong, either way (ns).
    pub error: i64,
}

impl Probe {
    /// Reads it. Afterwards this process is good for nothing else.
    pub(super) fn perform(&self) -> Result<Probed, String> {
        let told = |what: &'static str| move |error| format!("{what}: {error}");
        let length = usize::try_from(self.vdso.end - self.vdso.start).unwrap_or(0);
        let memory = Memory::open(self.pid).map_err(told("open the process's memory"))?;
        let bytes = memory.read(self.vdso.start, length).map_err(told("read its vDSO"))?;
        let path = |who: &str| format!("/proc/{who}/ns/time");
        let namespace = File::open(path(&self.pid.to_string())).map_err(told("open its time"))?;
        netns::join_time(&namespace).map_err(told("setns(CLONE_NEWTIME)"))?;

        let (own, original) = vdso::own().map_err(told("read the own vDSO"))?;
        if own.end - own.start != self.vdso.end - self.vdso.start {
            return Err("its vDSO has another size".to_owned());
        }
        let memory = Memory::open(std::process::id()).map_err(told("open the own memory"))?;
        // What is jumped to before what jumps there: this process reads clocks, too.
        let pages = length / 2;
        let half =
            |range: Range<usize>| memory.write(own.start + range.start as u64, &bytes[range]);
        half(pages..length).and_then(|()| half(0..pages)).map_err(told("write the own vDSO"))?;
        let probed = self.read();
        memory.write(own.start, &original).map_err(told("write the own vDSO"))?;
        probed
    }

    fn read(&self) -> Result<Probed, String> {
        let mut best = None;
        for _ in 0..READINGS {
            let before = super::truth::read(self.clock).map_err(|error| error.to_string())?;
            let shown = clock_gettime(ClockId::from_raw(self.clock)).map_err(|e| e.to_string())?;
            let after = super::truth::read(self.clock).map_err(|error| error.to_string())?;
            // Past the year 2262 it has more nanoseconds than 64 bits count; its distance never has.
            let shown = i128::from(shown.tv_sec()) * 1_000_000_000 + i128::from(shown.tv_nsec());
            let error = (after - before) / 2 + 1;
            let offset = shown - i128::from(before + (after - before) / 2);
            let offset = i64::try_from(offset).map_err(|_| "it is more than 292 years off")?;
            let probed = Probed { offset, error };
            if best.is_none_or(|best: Probed| probed.error < best.error) {
                best = Some(probed);
            }
        }
        best.ok_or_else(|| "it was never read".to_owned())
    }
}

//! Skewing a process's clocks, and taking it back.
//!
//! In order: record, the stub and its parameters into unused bytes while the process runs, the jumps while
//! it stands still, all of it read back. From then on one replacement of parameters begins, renews or ends
//! the skew, and stops nobody.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fault::{BootId, BootTime, Ending, ProcessIdentity, Skew};

use super::claim::Claims;
use super::holder::{Holder, HolderError};
use super::memory::Memory;
use super::probe::{Probe, Probed};
use super::record::{Entry, Record, RecordError, Records};
use super::subject::{Namespace, Refusal, Subject};
use super::swap::{Swap, SwapError, Swapped, Vigil, Write};
use super::{boot_now, truth, vdso};
use crate::clock::block::{Replacement, Selector};
use crate::clock::image::Image;
use crate::clock::parameters::{Parameters, Span};
use crate::clock::patch::{Moved, Patch, PatchError};
use crate::kernel::process;

/// How long to try to put jumps in or out (5 s).
pub(super) const PATIENCE: u64 = 5_000;

/// A clock could not be skewed, or not be restored.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The process is left alone.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The process is never touched.
    #[error("{0}")]
    Spared(String),
    /// The vDSO of this kernel cannot be patched.
    #[error("{0}")]
    Patch(#[from] PatchError),
    /// Nothing is changed without a record.
    #[error("record what is to change: {0}")]
    Record(#[from] RecordError),
    /// The holder could not do it.
    #[error("{0}")]
    Holder(#[from] HolderError),
    /// Memory could not be read or written.
    #[error("{what} the memory of process {pid}: {source}")]
    Memory {
        /// `read` or `write`.
        what: &'static str,
        /// Whose.
        pid: u32,
        /// Why: EIO where the kernel forbids it (≥ 6.12, `proc_mem.force_override`).
        source: io::Error,
    },
    /// It shows the truth, but could not be taken back whole.
    #[error("{0}")]
    Disarmed(Box<Self>),
    /// Who may have a copy of what is taken back could not be asked.
    #[error("list processes: {0}")]
    Processes(io::Error),
    /// What was read back is not what was written.
    #[error("process {pid} has other bytes in its vDSO than were written")]
    Unverified {
        /// Whose.
        pid: u32,
    },
}

impl ClockError {
    /// Whether it is sure that no jump was written: the threads could not be had where nobody is in the way.
    fn has_exchanged_nothing(&self) -> bool {
        matches!(
            self,
            Self::Holder(HolderError::Swap(
                SwapError::Busy { .. }
                    | SwapError::Unstoppable(_)
                    | SwapError::Traced(_)
                    | SwapError::Held(_)
            ))
        )
    }

    /// The same where it is known that the process has the truth.
    pub(super) fn disarmed(self) -> Self {
        // With somebody else's bytes its clocks are whatever these make them.
        let is_known = matches!(self, Self::Disarmed(_) | Self::Unverified { .. });
        if is_known { self } else { Self::Disarmed(Box::new(self)) }
    }

    /// Whether the process is not there any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Refused(Refusal::Gone(_)) | Self::Holder(HolderError::Swap(SwapError::Gone)) => {
                true
            }
            Self::Memory { source, .. } => process::says_gone(source),
            Self::Disarmed(error) => error.is_gone(),
            Self::Refused(_)
            | Self::Processes(_)
            | Self::Spared(_)
            | Self::Patch(_)
            | Self::Record(_)
            | Self::Holder(_)
            | Self::Unverified { .. } => false,
        }
    }
}

/// What skews and restores processes.
#[derive(Clone, Debug)]
pub struct Workshop {
    pub(super) boot: BootId,
    pub(super) records: Records,
    holder: Holder,
    pub(super) claims: Claims,
    /// The longest time for which a process was held (ns).
    longest_hold: Arc<AtomicU64>,
}

/// What became of a process whose bytes were to be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// Its vDSO is, byte for byte, what the kernel gave it.
    Whole,
    /// It reads true time; a thread has not come back from the stub yet, so that stays.
    Inert,
    /// Its clocks are on their way back to the truth, and need our bytes for that.
    Returning,
    /// It is not there any more.
    Gone,
}

/// What came of giving one process its bytes back.
pub type Outcome = Result<Restored, ClockError>;

/// A process whose clocks go through the stub.
#[derive(Debug)]
pub struct Skewed {
    process: ProcessIdentity,
    memory: Memory,
    vdso: Range<u64>,
    image: Image,
    patch: Patch,
    skew: Skew,
    clocks: Namespace,
    start: Option<BootTime>,
    end: Option<BootTime>,
    /// What its stub goes by, as far as we have written it.
    written: Option<Parameters>,
    /// What it took to put it in; `None` if it came with a fork.
    pub swapped: Option<Swapped>,
}

impl Workshop {
    /// With a directory for records, and a program that can hold.
    #[must_use]
    pub fn new(boot: BootId, records: Records, holder: Holder) -> Self {
        Self { boot, records, holder, claims: Claims::default(), longest_hold: Arc::default() }
    }

    /// The same with a measure of holds of its own.
    #[must_use]
    pub fn measured_anew(&self) -> Self {
        Self { longest_hold: Arc::default(), ..self.clone() }
    }

    /// The longest time for which it had a process held at a stretch.
    #[must_use]
    pub fn longest_hold(&self) -> Duration {
        Duration::from_nanos(self.longest_hold.load(Ordering::Relaxed))
    }

    pub(super) fn swap(&self, swap: &Swap) -> Result<Swapped, HolderError> {
        let swapped = self.holder.swap(swap)?;
        self.longest_hold.fetch_max(swapped.held, Ordering::Relaxed);
        Ok(swapped)
    }

    /// Has a process's clocks go through the stub; until [`Skewed::begin`] they show the truth.
    ///
    /// # Errors
    /// Why not; then nothing of it is left, or [`Self::restore`] finds it in the records.
    pub fn put_in(&self, process: ProcessIdentity, skew: &Skew) -> Result<Skewed, ClockError> {
        let subject = Subject::look(process)?;
        let patch = Patch::plan(&subject.image, Moved::by(skew, subject.clocks.boottime_ahead))?;
        let record = self.record(&subject, &patch);
        self.records.keep(&record)?;
        let put_in = self.patch(&subject, &patch);
        let swapped = match put_in {
            Ok(swapped) => swapped,
            Err(error) => {
                // The first error is the one to tell; what could not be restored stays recorded.
                if !(error.has_exchanged_nothing() && self.clear(&subject, &record)) {
                    let _ = self.restore(&record);
                }
                return Err(error);
            }
        };
        let Subject { process, vdso, image, memory, clocks } = subject;
        let swapped = Some(swapped);
        Ok(Skewed {
            process,
            memory,
            vdso,
            image,
            patch,
            skew: *skew,
            clocks,
            start: None,
            end: None,
            written: None,
            swapped,
        })
    }

    /// Takes back what was prepared in unused bytes, where no jump ever led to it: nobody need be held for
    /// that. Says whether all is as it was.
    fn clear(&self, subject: &Subject, record: &Record) -> bool {
        let length = usize::try_from(record.slack.end - record.slack.start).unwrap_or(0);
        let bytes = subject.image.bytes();
        subject.memory.write(record.slack.start, &vec![0; length]).is_ok()
            && subject.memory.read(subject.vdso.start, bytes.len()).is_ok_and(|now| now == bytes)
            && self.records.forget(subject.process).is_ok()
    }

    fn record(&self, subject: &Subject, patch: &Patch) -> Record {
        let base = subject.vdso.start;
        let build = subject.image.build_id().to_string();
        let mut record = Record::new(self.boot, subject.process, build, subject.vdso.clone());
        let used = patch.used();
        record.slack = base + u64::from(used.start)..base + u64::from(used.end);
        record.sites = patch
            .sites
            .iter()
            .map(|site| Entry {
                at: base + u64::from(site.entry),
                original: site.original.clone(),
                jump: site.jump.clone(),
            })
            .collect();
        record
    }

    fn patch(&self, subject: &Subject, patch: &Patch) -> Result<Swapped, ClockError> {
        let pid = subject.process.pid;
        let at = |place: u32| subject.vdso.start + u64::from(place);
        // Nobody goes there yet.
        subject.memory.write(at(patch.block), &patch.slack).map_err(memory("write", pid))?;
        let stands = subject.memory.read(at(patch.block), patch.slack.len());
        if stands.map_err(memory("read", pid))? != patch.slack {
            return Err(ClockError::Unverified { pid });
        }
        let inside =
            |site: &crate::clock::patch::Site| at(site.inside().start)..at(site.inside().end);
        let moved = patch.sites.iter().flat_map(|site| &site.moved);
        let swapped = self.swap(&Swap {
            pid,
            started: subject.process.started,
            writes: patch
                .sites
                .iter()
                .map(|site| Write {
                    at: at(site.entry),
                    old: site.original.clone(),
                    new: site.jump.clone(),
                })
                .collect(),
            forbidden: patch.sites.iter().map(inside).collect(),
            vigil: Vigil::Closed,
            moved: moved.map(|(from, to)| (at(*from), at(*to))).collect(),
            patience: PATIENCE,
        })?;
        let length = subject.image.bytes().len();
        let bytes = subject.memory.read(subject.vdso.start, length).map_err(memory("read", pid))?;
        if bytes != patch.apply(&subject.image) {
            return Err(ClockError::Unverified { pid });
        }
        Ok(swapped)
    }

    /// Takes over a process that a fork made of a skewed one, and that has its bytes already.
    ///
    /// # Errors
    /// It has other bytes ([`ClockError::Unverified`]), is not there, or could not be recorded.
    pub fn join(&self, process: ProcessIdentity, parent: &Skewed) -> Result<Skewed, ClockError> {
        let pid = process.pid;
        let memory_of = Memory::open(pid).map_err(memory("open", pid))?;
        if !process::is_alive(process) {
            return Err(Refusal::Gone(pid).into());
        }
        let found = vdso::locate(pid).map_err(memory("read", pid))?;
        if found.as_ref() != Some(&parent.vdso) {
            return Err(Refusal::Different(pid).into());
        }
        let joined = Skewed {
            process,
            memory: memory_of,
            vdso: parent.vdso.clone(),
            image: parent.image.clone(),
            patch: parent.patch.clone(),
            skew: parent.skew,
            clocks: parent.clocks,
            start: parent.start,
            end: parent.end,
            written: None,
            swapped: None,
        };
        joined.verify()?;
        let subject = Subject {
            process,
            vdso: joined.vdso.clone(),
            image: joined.image.clone(),
            memory: Memory::open(pid).map_err(memory("open", pid))?,
            clocks: joined.clocks,
        };
        self.records.keep(&self.record(&subject, &joined.patch))?;
        Ok(joined)
    }

    /// Reads a clock of a skewed process, in a process of its own.
    ///
    /// # Errors
    /// It could not be read.
    pub fn probe(&self, skewed: &Skewed, clock: i32) -> Result<Probed, ClockError> {
        self.ask(skewed.probing(clock))
    }

    /// The same for an order that [`Skewed::probing`] gave.
    ///
    /// # Errors
    /// It could not be read.
    pub fn ask(&self, probe: Probe) -> Result<Probed, ClockError> {
        Ok(self.holder.probe(probe)?)
    }

    /// Gives a process its own bytes back.
    ///
    /// # Errors
    /// What could not be done; its record stays.
    pub fn heal(&self, mut skewed: Skewed) -> Result<Restored, ClockError> {
        let process = skewed.process;
        // First of all, and without waiting for anybody. One that is gone is found out below, where it is also
        // tried again to end it.
        let told = skewed.go_back(boot_now());
        if let Ok(Some(over)) = told
            && let Some(mut record) = self.records.get(process)?
        {
            record.returning_until = over.nanos();
            self.records.keep(&record)?;
            return Ok(Restored::Returning);
        }
        let _claim = self.claims.wait(process);
        let record = self.records.get(process).map_err(ClockError::from);
        let restored = record.and_then(|record| match record {
            Some(record) => self.restore(&record),
            None => Ok(Restored::Whole),
        });
        match told {
            Ok(None) => restored.map_err(ClockError::disarmed),
            Ok(Some(_)) | Err(_) => restored,
        }
    }
}

pub(super) fn memory(what: &'static str, pid: u32) -> impl FnOnce(io::Error) -> ClockError {
    move |source| ClockError::Memory { what, pid, source }
}

impl Skewed {
    /// Which process.
    #[must_use]
    pub const fn process(&self) -> ProcessIdentity {
        self.process
    }

    /// Lets the skew act from `start` until `end`.
    ///
    /// # Errors
    /// The process's memory could not be written.
    pub fn begin(&mut self, start: BootTime, end: BootTime) -> Result<(), ClockError> {
        self.start = Some(start);
        self.renew(end)
    }

    /// Moves the end of the lease; nothing before [`Self::begin`].
    ///
    /// # Errors
    /// The process's memory could not be written.
    pub fn renew(&mut self, end: BootTime) -> Result<(), ClockError> {
        let Some(start) = self.start else { return Ok(()) };
        let span = Span { start: self.monotonic(start), end: self.monotonic(end) };
        self.replace(&Parameters::new(&self.skew, span).paced(self.patch.pace))?;
        self.end = Some(end);
        Ok(())
    }

    /// Begins the way back to the truth at once, if the skew has one that takes its time, and says when it
    /// is over; otherwise shows the truth from now on.
    ///
    /// # Errors
    /// The process's memory could not be written.
    pub fn go_back(&mut self, now: BootTime) -> Result<Option<BootTime>, ClockError> {
        let slews = match self.skew.ending {
            Ending::Step => false,
            Ending::Slew(_) => self.start.is_some_and(|start| start < now),
        };
        if !slews {
            self.end()?;
            return Ok(None);
        }
        if self.end.is_none_or(|end| end > now) {
            self.renew(now)?;
        }
        let left = self.written.map_or(0, |written| written.over() - self.monotonic(now));
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
        Ok((!left.is_zero()).then(|| now + left))
    }

    /// From when to when it acts, if that still stands in the process as it was written.
    ///
    /// # Errors
    /// The process's memory could not be read.
    pub fn lease(&self) -> Result<Option<(BootTime, BootTime)>, ClockError> {
        let pid = self.process.pid;
        let block = self.vdso.start + u64::from(self.patch.block);
        // Before anything else: to one that has ended nothing could be written, and that is no loss.
        let selector = self.memory.read(block + u64::from(Selector::AT), 1);
        let selector = Selector(selector.map_err(memory("read", pid))?[0]);
        let (Some(start), Some(end), Some(written)) = (self.start, self.end, &self.written) else {
            return Ok(None);
        };
        let copy = self.memory.read(block + u64::from(selector.copy()), Parameters::BYTES);
        let stands = copy.map_err(memory("read", pid))? == written.to_bytes();
        Ok(stands.then_some((start, end)))
    }

    /// The parameters that were written, and what the process's CLOCK_MONOTONIC shows now: together how far
    /// its clocks should be off.
    #[must_use]
    pub fn expected(&self) -> Option<(Parameters, i64)> {
        self.written.map(|written| (written, self.monotonic(boot_now())))
    }

    /// The order to read one of its clocks.
    #[must_use]
    pub fn probing(&self, clock: i32) -> Probe {
        Probe { pid: self.process.pid, vdso: self.vdso.clone(), clock }
    }

    /// Where it has its vDSO; a fork has it there, too.
    #[must_use]
    pub const fn place(&self) -> &Range<u64> {
        &self.vdso
    }

    /// Shows the truth from now on.
    ///
    /// # Errors
    /// The process's memory could not be written.
    pub fn end(&mut self) -> Result<(), ClockError> {
        (self.start, self.end) = (None, None);
        self.replace(&Parameters::ended())
    }

    /// Makes sure that the process has the bytes that were written.
    ///
    /// # Errors
    /// It has others, or cannot be read.
    pub fn verify(&self) -> Result<(), ClockError> {
        let pid = self.process.pid;
        let mut expected = self.patch.apply(&self.image);
        let bytes = self.memory.read(self.vdso.start, expected.len());
        let mut bytes = bytes.map_err(memory("read", pid))?;
        let parameters = self.patch.block as usize..self.patch.stub().start as usize;
        expected[parameters.clone()].fill(0);
        bytes[parameters].fill(0);
        if bytes == expected { Ok(()) } else { Err(ClockError::Unverified { pid }) }
    }

    /// A boot time in the target's CLOCK_MONOTONIC: they differ by suspensions, and its time namespace.
    fn monotonic(&self, time: BootTime) -> i64 {
        let now = i128::from(truth::read(libc::CLOCK_MONOTONIC).unwrap_or(0));
        let ahead = i128::from(time.nanos()) - i128::from(boot_now().nanos());
        let time = now + ahead + i128::from(self.clocks.monotonic);
        i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX })
    }

    fn replace(&mut self, parameters: &Parameters) -> Result<(), ClockError> {
        let block = self.vdso.start + u64::from(self.patch.block);
        replace(&self.memory, self.process.pid, block, parameters)?;
        self.written = Some(*parameters);
        Ok(())
    }
}

/// Replaces what a stub goes by, under its readers.
pub(super) fn replace(
    memory_of: &Memory,
    pid: u32,
    block: u64,
    parameters: &Parameters,
) -> Result<(), ClockError> {
    let selector = memory_of.read(block + u64::from(Selector::AT), 1);
    let selector = Selector(selector.map_err(memory("read", pid))?[0]);
    let replacement = Replacement::after(selector, parameters);
    let write = |at: u32, bytes: &[u8]| {
        memory_of.write(block + u64::from(at), bytes).map_err(memory("write", pid))
    };
    write(replacement.copy_at, &replacement.copy)?;
    write(Selector::AT, &[replacement.selector.0])
}

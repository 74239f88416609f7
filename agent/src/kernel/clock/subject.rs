//! A process whose clocks are to be skewed, as it is found: or why it is left alone.

use std::fs;
use std::io;
use std::ops::Range;

use fault::ProcessIdentity;

use super::memory::Memory;
use super::truth;
use super::vdso;
use crate::clock::image::{Image, ImageError};
use crate::clock::patch;
use crate::kernel::process;

/// A process that can be skewed.
#[derive(Debug)]
pub struct Subject {
    /// Which.
    pub process: ProcessIdentity,
    /// Where it has its vDSO.
    pub vdso: Range<u64>,
    /// What stands there, and stands in this process's own as well.
    pub image: Image,
    /// Its memory.
    pub memory: Memory,
    /// How its clocks differ from this process's.
    pub clocks: Namespace,
}

/// What a time namespace makes of clocks, against those of this process (ns).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// How far its CLOCK_MONOTONIC is ahead of ours.
    pub monotonic: i64,
    /// How far its CLOCK_BOOTTIME is ahead of its CLOCK_MONOTONIC.
    pub boottime_ahead: i64,
}

/// Why a process's clocks are not touched.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not there, or another one has its pid.
    #[error("process {0} is not there any more")]
    Gone(u32),
    /// It may not be looked into.
    #[error("open {what} of process {pid}: {source}")]
    Closed {
        /// What.
        what: &'static str,
        /// Whose.
        pid: u32,
        /// Why: EACCES without CAP_SYS_PTRACE.
        source: io::Error,
    },
    /// A thread of the kernel, or a program that was started without one.
    #[error("process {0} has no vDSO: it reads its clocks by system calls, which stay true")]
    Bare(u32),
    /// A 32-bit program.
    #[error("process {0} is a 32-bit program, whose clocks cannot be skewed")]
    ThirtyTwoBit(u32),
    /// Another agent's skew, or one on its way back to the truth.
    #[error(
        "the clocks of process {0} go through a detour of ours already: another skew, or one whose way back is not over"
    )]
    Skewed(u32),
    /// A sandbox with a kernel of its own, or other hands.
    #[error(
        "the vDSO of process {0} is not the one that this kernel gives out: a sandbox, or something has changed it"
    )]
    Different(u32),
    /// Ourselves.
    #[error("process {0} is the agent itself")]
    Own(u32),
    /// A debugger.
    #[error("process {pid} is traced by process {tracer}; only one may")]
    Traced {
        /// Who is traced.
        pid: u32,
        /// By whom.
        tracer: u32,
    },
    /// Its time cannot be told.
    #[error(
        "process {0} has left its time namespace to its children: its own offsets are not known"
    )]
    Namespace(u32),
    /// This kernel's vDSO is not understood.
    #[error("the vDSO of this kernel: {0}")]
    Image(#[from] ImageError),
}

impl Subject {
    /// Looks at a process.
    ///
    /// # Errors
    /// Why it is left alone.
    pub fn look(process: ProcessIdentity) -> Result<Self, Refusal> {
        let pid = process.pid;
        if pid == std::process::id() {
            return Err(Refusal::Own(pid));
        }
        let closed = |what| {
            move |source: io::Error| {
                if source.kind() == io::ErrorKind::NotFound {
                    Refusal::Gone(pid)
                } else {
                    Refusal::Closed { what, pid, source }
                }
            }
        };
        let memory = Memory::open(pid).map_err(closed("the memory"))?;
        // After the memory was opened: it stays that process's.
        if !process::is_alive(process) {
            return Err(Refusal::Gone(pid));
        }
        if let Some(tracer) = tracer(pid) {
            return Err(Refusal::Traced { pid, tracer });
        }
        let place = vdso::locate(pid).map_err(closed("the maps"))?.ok_or(Refusal::Bare(pid))?;
        let (_, own) = vdso::own().map_err(closed("the own vDSO"))?;
        let length = usize::try_from(place.end - place.start).unwrap_or(0);
        let bytes = memory.read(place.start, length).map_err(closed("the vDSO"))?;
        // EI_CLASS: ELFCLASS32.
        if bytes.get(4) == Some(&1) {
            return Err(Refusal::ThirtyTwoBit(pid));
        }
        let image = Image::parse(own)?;
        if bytes != image.bytes() {
            return Err(match patch::redirected(&image, &bytes) {
                Some(_) => Refusal::Skewed(pid),
                None => Refusal::Different(pid),
            });
        }
        let clocks = Namespace::of(pid)?;
        Ok(Self { process, vdso: place, image, memory, clocks })
    }
}

/// Who traces a process.
fn tracer(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|tracer| *tracer != 0)
}

/// Offsets of a time namespace against the host's clocks (ns).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offsets {
    monotonic: i64,
    boottime: i64,
}

impl Namespace {
    /// That of a process.
    pub(super) fn of(pid: u32) -> Result<Self, Refusal> {
        let own = std::process::id();
        let (theirs, ours) = if namespace(pid, "time") == namespace(own, "time") {
            // Whatever it is, it is the same.
            (Offsets::default(), Offsets::default())
        } else {
            (offsets(pid)?, offsets(own)?)
        };
        let monotonic = theirs.monotonic.wrapping_sub(ours.monotonic);
        let boottime = theirs.boottime.wrapping_sub(ours.boottime);
        let ahead = own_boottime_ahead();
        let boottime_ahead = ahead.wrapping_add(boottime).wrapping_sub(monotonic);
        Ok(Self { monotonic, boottime_ahead })
    }
}

/// The file says what children get: the same as the process has, unless it has unshared.
fn offsets(pid: u32) -> Result<Offsets, Refusal> {
    if namespace(pid, "time") != namespace(pid, "time_for_children") {
        return Err(Refusal::Namespace(pid));
    }
    let text = fs::read_to_string(format!("/proc/{pid}/timens_offsets")).unwrap_or_default();
    Ok(in_text(&text))
}

fn in_text(text: &str) -> Offsets {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let mut words = line.split_whitespace();
        let seconds: i64 = words.next()?.parse().ok()?;
        let nanos: i64 = words.next()?.parse().ok()?;
        Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    };
    Offsets { monotonic: of("monotonic").unwrap_or(0), boottime: of("boottime").unwrap_or(0) }
}

/// `None` on kernels without time namespaces (< 5.6).
fn namespace(pid: u32, name: &str) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/{name}")).ok()
}

/// How far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC: the time that this machine was suspended.
fn own_boottime_ahead() -> i64 {
    let read = |clock| truth::read(clock).unwrap_or(0);
    let between = |(): ()| {
        let before = read(libc::CLOCK_MONOTONIC);
        let boottime = read(libc::CLOCK_BOOTTIME);
        let after = read(libc::CLOCK_MONOTONIC);
        (after - before, boottime - (before + (after - before) / 2))
    };
    // The reading with the least between its ends.
    let best = std::iter::repeat_n((), 8).map(between).min();
    best.map_or(0, |(_, ahead)| ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_seconds_and_nanoseconds() {
        let text = "monotonic           -2 500000000\nboottime       86400         1\n";
        let expected = Offsets { monotonic: -1_500_000_000, boottime: 86_400_000_000_001 };
        assert_eq!(in_text(text), expected);
        assert_eq!(in_text(""), Offsets::default());
    }

    #[test]
    fn this_process_is_no_subject() {
        let own = process::identity(std::process::id()).unwrap();
        assert!(matches!(Subject::look(own), Err(Refusal::Own(_))));
        let clocks = Namespace::of(own.pid).unwrap();
        assert_eq!(clocks.monotonic, 0);
    }
}

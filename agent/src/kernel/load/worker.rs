//! The child process of a load: takes processor time, memory and disk until its time is over.
//!
//! A timer of the kernel (CLOCK_BOOTTIME, SIGKILL) ends it, also when it is stopped; and it dies with the
//! agent. What it has on a disk never had a name, and goes with it.

use std::ffi::CStr;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufRead as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use fault::BootTime;
use nix::fcntl::{OFlag, OpenHow, PosixFadviseAdvice, ResolveFlag, openat2, posix_fadvise};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use serde::{Deserialize, Serialize};

use crate::kernel::clock::boot_now;
use crate::kernel::clock::holder::{die_after, die_with_parent};
use crate::kernel::priority;

/// By what a child learns that it is one of a load.
pub(in crate::kernel) const COMMAND: &str = "load";
/// Under what name it runs.
pub(in crate::kernel) const NAME: &CStr = c"schism-worker";
/// How long it lives without ever being told to begin (40 s): longer than what is prepared waits.
const UNTOLD: Duration = Duration::from_secs(40);
/// Nobody: owns nothing, may do nothing.
const NOBODY: u32 = 65_534;
/// Directories in which a file may be, as the target sees them, in this order.
const DIRECTORIES: [&str; 3] = ["var/tmp", "tmp", "."];
/// From one busy time to the next (20 ms).
const PERIOD: Duration = Duration::from_millis(20);
/// How much memory is taken at a time (4 MiB).
const CHUNK: usize = 4 << 20;
/// Each page is written to, so that it is there (4 kB on every architecture that we know).
const PAGE: usize = 4_096;
/// How much is written at a time, and how large a file becomes at most (1 MiB, 64 MiB).
const BLOCK: usize = 1 << 20;
const BLOCKS: u64 = 64;
/// All files together are at most this part of what is free on their disk.
const OF_FREE: u64 = 4;

/// What it is told, a line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Have this ready.
    Set(Set),
    /// Take it from `start` to `end` (boot time, ns).
    Begin { start: u64, end: u64 },
    /// Take it until then.
    Renew { end: u64 },
}

/// What it is to take, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Set {
    /// Directories of the control groups that it joins.
    pub(super) groups: Vec<PathBuf>,
    /// How many threads are busy, and for which share of the time (%).
    pub(super) cpu: (u16, u8),
    /// How much memory is taken (bytes).
    pub(super) memory: u64,
    /// How many threads write and read a file.
    pub(super) io: u16,
    /// The root directory of the target.
    pub(super) root: PathBuf,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// All is ready.
    Ready,
    /// It cannot.
    Refused(String),
}

/// Is the worker of a load until it is killed, or nobody is there to tell it anything.
///
/// # Errors
/// It cannot listen, or start a thread.
pub(in crate::kernel) fn run() -> io::Result<()> {
    // Not before those whom it loads.
    priority::come_with_others();
    let mut timer = die_after(UNTOLD)?;
    let mut work = None;
    for line in io::stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Order::Set(set) => {
                let report = match prepare(set) {
                    Ok(ready) => {
                        work = Some(ready);
                        Report::Ready
                    }
                    Err(reason) => Report::Refused(reason),
                };
                let mut text = serde_json::to_vec(&report)?;
                text.push(b'\n');
                io::stdout().write_all(&text)?;
            }
            Order::Begin { start, end } => {
                end_at(&mut timer, end)?;
                if let Some(work) = work.take() {
                    work.begin(BootTime::from_nanos(start))?;
                }
            }
            Order::Renew { end } => end_at(&mut timer, end)?,
        }
    }
    Ok(())
}

fn end_at(timer: &mut Timer, end: u64) -> io::Result<()> {
    let at = Expiration::OneShot(Duration::from_nanos(end).into());
    Ok(timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
}

/// What is ready to begin.
struct Work {
    cpu: (u16, u8),
    memory: u64,
    files: Vec<File>,
    /// How many blocks each of them becomes.
    blocks: u64,
}

/// Joins the target's groups and becomes nobody.
fn prepare(set: Set) -> Result<Work, String> {
    for group in &set.groups {
        fs::write(group.join("cgroup.procs"), "0")
            .map_err(|error| format!("join the control group {}: {error}", group.display()))?;
    }
    let files: Vec<File> = (0..set.io).map(|_| file(&set.root)).collect::<Result<_, _>>()?;
    let blocks = files.first().map_or(Ok(0), |first| blocks(first, set.io.into()))?;
    // Where memory runs short it is our own that goes first.
    fs::write("/proc/self/oom_score_adj", "1000")
        .map_err(|error| format!("oom_score_adj: {error}"))?;
    become_nobody().map_err(|error| format!("give up privileges: {error}"))?;
    Ok(Work { cpu: set.cpu, memory: set.memory, files, blocks })
}

/// How large so many files may become.
fn blocks(file: &File, count: u64) -> Result<u64, String> {
    let system = fstatfs(file).map_err(|errno| format!("ask how much is free: {errno}"))?;
    let unit = u64::try_from(system.block_size()).unwrap_or(0);
    let free = system.blocks_available().saturating_mul(unit);
    fitting(free, count).ok_or_else(|| {
        let free = free >> 20;
        format!(
            "{count} files of 1 MiB are more than a quarter of the {free} MiB that are free there"
        )
    })
}

/// How many blocks each of so many files may have where so much is free (bytes).
const fn fitting(free: u64, count: u64) -> Option<u64> {
    match free / OF_FREE / count / BLOCK as u64 {
        0 => None,
        blocks if blocks > BLOCKS => Some(BLOCKS),
        blocks => Some(blocks),
    }
}

fn become_nobody() -> io::Result<()> {
    prctl::set_no_new_privs()?;
    if Uid::effective().is_root() {
        setgroups(&[])?;
        setgid(Gid::from_raw(NOBODY))?;
        setuid(Uid::from_raw(NOBODY))?;
    }
    // The change has made the kernel forget it.
    die_with_parent(NAME)
}

/// A file without a name on a disk of the target, whose links lead nowhere else.
fn file(root: &PathBuf) -> Result<File, String> {
    let root = File::open(root).map_err(|error| format!("open the target's root: {error}"))?;
    let how = OpenHow::new()
        .flags(OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC)
        .mode(Mode::S_IRUSR | Mode::S_IWUSR)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut reasons = Vec::new();
    for directory in DIRECTORIES {
        match openat2(&root, directory, how) {
            Ok(file) if in_memory(&file) => {
                reasons.push(format!("/{directory}: is in memory, not on a disk"));
            }
            Ok(file) => return Ok(file.into()),
            Err(errno) => reasons.push(format!("/{directory}: {}", errno.desc())),
        }
    }
    Err(format!("no place for a file on a disk of the target ({})", reasons.join("; ")))
}

fn in_memory(file: &OwnedFd) -> bool {
    fstatfs(file).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC)
}

impl Work {
    fn begin(self, start: BootTime) -> io::Result<()> {
        let (threads, share) = self.cpu;
        for _ in 0..threads {
            begin(start, move || burn(share))?;
        }
        if self.memory > 0 {
            begin(start, move || hold(self.memory))?;
        }
        for file in self.files {
            begin(start, move || write_and_read(&file, self.blocks))?;
        }
        Ok(())
    }
}

fn begin(start: BootTime, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let at_start = move || {
        thread::sleep(start.since(boot_now()));
        work();
    };
    thread::Builder::new().stack_size(128 << 10).spawn(at_start).map(drop)
}

/// Is busy for a share of the time.
fn burn(share: u8) {
    let busy = PERIOD * share.into() / 100;
    let mut value = 1_u64;
    loop {
        let since = Instant::now();
        while since.elapsed() < busy {
            for _ in 0..4_096 {
                value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
        thread::sleep(PERIOD.saturating_sub(since.elapsed()).min(PERIOD - busy));
    }
}

/// Takes memory, and touches it again and again, so that it stays.
fn hold(bytes: u64) {
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    let mut left = bytes;
    let mut round = 1_u8;
    loop {
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
            let mut chunk = Vec::new();
            // There is no more of it now.
            if chunk.try_reserve_exact(size).is_err() {
                break;
            }
            chunk.resize(size, round);
            chunks.push(chunk);
            left -= size as u64;
        }
        thread::sleep(Duration::from_secs(1));
        round = round.wrapping_add(1).max(1);
        for page in chunks.iter_mut().flat_map(|chunk| chunk.chunks_mut(PAGE)) {
            page[0] = black_box(round);
        }
    }
}

/// Writes a file whole, has it on the disk, and reads it from there, again and again.
fn write_and_read(file: &File, blocks: u64) {
    let mut block = vec![0xa5_u8; BLOCK];
    loop {
        if let Err(error) = once(file, &mut block, blocks) {
            // A full disk has room again, maybe.
            eprintln!("load: {error}");
            thread::sleep(Duration::from_secs(1));
        }
    }
}

fn once(file: &File, block: &mut [u8], blocks: u64) -> io::Result<()> {
    for number in 0..blocks {
        file.write_all_at(block, number * BLOCK as u64)?;
    }
    file.sync_data()?;
    // Otherwise it would be read from memory.
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    for number in 0..blocks {
        file.read_exact_at(block, number * BLOCK as u64)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_leave_most_of_a_disk_free() {
        const GIB: u64 = 1 << 30;
        let table = [
            (100 * GIB, 1, Some(64)),
            (100 * GIB, 400, Some(64)),
            (GIB, 8, Some(32)),
            (GIB, 256, Some(1)),
            (GIB, 257, None),
            (0, 1, None),
        ];
        for (free, count, blocks) in table {
            assert_eq!(fitting(free, count), blocks, "{count} in {free}");
            assert!(blocks.unwrap_or(0) * count * BLOCK as u64 <= free / 4);
        }
    }
}

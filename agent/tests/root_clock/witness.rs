//! A process that watches its own clocks: this test program again, started by other tests.
//!
//! It knows the truth from CLOCK_MONOTONIC, which they leave alone. All its threads read CLOCK_REALTIME all
//! the time; a reading that is neither true nor skewed as announced ends it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fault::ProcessIdentity;
use nix::time::{ClockId, clock_gettime};

/// By what a process learns that it is one: threads, and the offset that it will see.
const ASKED: &str = "SCHISM_TEST_WITNESS";
/// How exactly the difference of two clocks is known.
const ERROR: i64 = 20_000;

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).unwrap();
    assert!((0..1_000_000_000).contains(&time.tv_nsec()));
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, and by how much that may be wrong.
fn apart() -> (i64, i64) {
    let readings = (0..1_000).map(|_| {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let real = read(ClockId::CLOCK_REALTIME);
        let error = (read(ClockId::CLOCK_MONOTONIC) - before) / 2;
        (error, real - before - error)
    });
    let (error, apart) = readings.min().unwrap();
    (apart, error)
}

#[test]
#[ignore = "a process that other tests start"]
fn testify() {
    let Ok(asked) = std::env::var(ASKED) else { return };
    let (threads, offset) = asked.split_once(':').unwrap();
    let (threads, offset): (usize, i64) = (threads.parse().unwrap(), offset.parse().unwrap());
    let (apart_at_first, error) = apart();
    assert!(error < ERROR, "too busy a machine: {error} ns");
    let ended = AtomicBool::new(false);
    let (true_ones, skewed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let before = read(ClockId::CLOCK_MONOTONIC) + apart_at_first - ERROR;
                    let real = read(ClockId::CLOCK_REALTIME);
                    let after = read(ClockId::CLOCK_MONOTONIC) + apart_at_first + ERROR;
                    if (before..=after).contains(&real) {
                        true_ones.fetch_add(1, Ordering::Relaxed);
                    } else if (before..=after).contains(&(real - offset)) {
                        skewed.fetch_add(1, Ordering::Relaxed);
                    } else {
                        println!("witness: wrong by {}", real - before);
                        std::process::exit(1);
                    }
                }
            });
        }
        println!("witness: ready");
        for _ in std::io::stdin().lines() {
            let offset = apart().0 - apart_at_first;
            let counts = (true_ones.load(Ordering::Relaxed), skewed.load(Ordering::Relaxed));
            println!("witness: {offset} {} {}", counts.0, counts.1);
        }
        ended.store(true, Ordering::Relaxed);
    });
    println!("witness: done");
}

/// A handle to such a process. It ends with its handle.
pub(crate) struct Witness {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// What a witness has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Testimony {
    /// How far CLOCK_REALTIME is off now (ns).
    pub(crate) offset: i64,
    /// Readings so far that were true.
    pub(crate) true_ones: u64,
    /// Readings that were skewed.
    pub(crate) skewed: u64,
}

impl Witness {
    /// Starts one, behind a command such as `unshare` if one is given.
    pub(crate) fn start(threads: usize, offset: i64, before: &[&str]) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut command = match before.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&own);
                command
            }
            None => Command::new(&own),
        };
        let mut child = command
            .args(["witness::testify", "--exact", "--ignored", "--nocapture"])
            .env(ASKED, format!("{threads}:{offset}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut witness = Self { child, stdin, stdout };
        assert_eq!(witness.line(), "ready");
        witness
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn process(&self) -> ProcessIdentity {
        agent::kernel::process::identity(self.pid()).unwrap()
    }

    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "the witness has ended");
            // The harness writes to the same place.
            if let Some((_, said)) = line.trim_end().split_once("witness: ") {
                return said.to_owned();
            }
        }
    }

    /// What it sees now.
    pub(crate) fn ask(&mut self) -> Testimony {
        writeln!(self.stdin.as_mut().unwrap(), "?").unwrap();
        let line = self.line();
        let mut words = line.split(' ').map(|word| word.parse::<i64>());
        let mut next = || words.next().and_then(Result::ok).unwrap_or_else(|| panic!("{line}"));
        let (offset, true_ones, skewed) = (next(), next(), next());
        let (true_ones, skewed) = (true_ones.unsigned_abs(), skewed.unsigned_abs());
        Testimony { offset, true_ones, skewed }
    }

    /// Asserts how far its clock is off.
    pub(crate) fn assert_offset(&mut self, offset: Duration) {
        let seen = self.ask().offset;
        let expected = i64::try_from(offset.as_nanos()).unwrap();
        assert!((seen - expected).abs() < ERROR, "off by {seen} ns instead of {expected}");
    }

    /// Ends it, and asserts that it never saw anything wrong.
    pub(crate) fn finish(mut self) {
        drop(self.stdin.take());
        assert_eq!(self.line(), "done");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

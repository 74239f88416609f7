//! A process that watches its own clocks.
//!
//! It knows the truth from CLOCK_MONOTONIC, which a skew of the wall clock leaves alone. All its threads
//! read CLOCK_REALTIME all the time; a reading that is neither true nor skewed as announced ends it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agent::kernel::clock::hold;
use agent::kernel::process;
use fault::ProcessIdentity;
use nix::time::{ClockId, clock_gettime};

/// By what a process learns that it is one: threads, and the offset that it will see.
const ASKED: &str = "SCHISM_WITNESS";
/// What every line of it begins with; a test harness writes to the same place.
const MARK: &str = "witness: ";
/// How exactly the difference of two clocks has to be known (ns).
pub const ERROR: i64 = 20_000;
/// So many readings are counted at once: threads do not wait for each other's counts.
const COUNTED: u64 = 256;

/// What it is told to do: threads, and the offset that they may see (ns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    threads: usize,
    offset: i64,
}

fn order() -> Option<Order> {
    let asked = std::env::var(ASKED).ok()?;
    let (threads, offset) = asked.split_once(':')?;
    Some(Order { threads: threads.parse().ok()?, offset: offset.parse().ok()? })
}

/// A clock (ns); a torn time is `None`.
fn read(clock: ClockId) -> Option<i64> {
    let time = clock_gettime(clock).ok()?;
    let whole = (0..1_000_000_000).contains(&time.tv_nsec());
    whole.then(|| time.tv_sec().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec()))
}

/// How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, and by how much that may be wrong.
fn apart() -> (i64, i64) {
    let readings = (0..1_000).filter_map(|_| {
        let before = read(ClockId::CLOCK_MONOTONIC)?;
        let real = read(ClockId::CLOCK_REALTIME)?;
        let error = (read(ClockId::CLOCK_MONOTONIC)? - before) / 2;
        Some((error, real.wrapping_sub(before + error)))
    });
    let (error, apart) = readings.min().unwrap_or((i64::MAX, 0));
    (apart, error)
}

/// Is a witness if this process was started to be one: `false` if it was not. Ends with its standard input.
pub fn serve() -> bool {
    let Some(order) = order() else { return false };
    let (apart_at_first, error) = apart();
    if error >= ERROR {
        println!("{MARK}too busy a machine: {error} ns");
        std::process::exit(1);
    }
    let ended = AtomicBool::new(false);
    let counts = Counts::default();
    std::thread::scope(|scope| {
        for _ in 0..order.threads {
            scope.spawn(|| watch(order.offset, apart_at_first, &ended, &counts));
        }
        println!("{MARK}ready");
        for _ in io::stdin().lines() {
            let offset = apart().0.wrapping_sub(apart_at_first);
            let [true_ones, skewed] =
                [&counts.true_ones, &counts.skewed].map(|count| count.load(Ordering::Relaxed));
            println!("{MARK}{offset} {true_ones} {skewed}");
        }
        ended.store(true, Ordering::Relaxed);
    });
    println!("{MARK}done");
    true
}

#[derive(Debug, Default)]
struct Counts {
    true_ones: AtomicU64,
    skewed: AtomicU64,
}

fn watch(offset: i64, apart: i64, ended: &AtomicBool, counts: &Counts) {
    let wrong = |what: &str| -> ! {
        println!("{MARK}{what}");
        std::process::exit(1);
    };
    hold::give_way(19);
    while !ended.load(Ordering::Relaxed) {
        let (mut true_ones, mut skewed) = (0, 0);
        while true_ones + skewed < COUNTED {
            let times = (
                read(ClockId::CLOCK_MONOTONIC),
                read(ClockId::CLOCK_REALTIME),
                read(ClockId::CLOCK_MONOTONIC),
            );
            let (Some(before), Some(real), Some(after)) = times else { wrong("a torn time") };
            let allowed = before + apart - ERROR..=after + apart + ERROR;
            if allowed.contains(&real) {
                true_ones += 1;
            } else if allowed.contains(&real.wrapping_sub(offset)) {
                skewed += 1;
            } else {
                wrong(&format!("wrong by {} ns", real.wrapping_sub(*allowed.start())));
            }
        }
        counts.true_ones.fetch_add(true_ones, Ordering::Relaxed);
        counts.skewed.fetch_add(skewed, Ordering::Relaxed);
    }
}

/// A handle to such a process. It ends with its handle.
#[derive(Debug)]
pub struct Witness {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// What a witness has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// How far CLOCK_REALTIME is off now (ns).
    pub offset: i64,
    /// Readings so far that were true.
    pub true_ones: u64,
    /// Readings that were skewed.
    pub skewed: u64,
}

impl Witness {
    /// Starts a program that calls [`serve`], with so many threads, of which each may see this offset (ns).
    ///
    /// # Errors
    /// It did not start, or the machine is too busy for it.
    pub fn start(mut command: Command, threads: usize, offset: i64) -> io::Result<Self> {
        let mut child = command
            .env(ASKED, format!("{threads}:{offset}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut witness = Self { child, stdin, stdout: BufReader::new(stdout) };
        match witness.line()?.as_str() {
            "ready" => Ok(witness),
            said => Err(io::Error::other(said.to_owned())),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Which process it is.
    ///
    /// # Errors
    /// It is not there any more.
    pub fn process(&self) -> io::Result<ProcessIdentity> {
        process::identity(self.id()).map_err(io::Error::other)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line)? == 0 {
                return Err(io::Error::other("it has ended"));
            }
            if let Some((_, said)) = line.trim_end().split_once(MARK) {
                return Ok(said.to_owned());
            }
        }
    }

    /// What it sees now.
    ///
    /// # Errors
    /// It has ended, and said why.
    pub fn ask(&mut self) -> io::Result<Testimony> {
        if let Some(stdin) = &mut self.stdin {
            writeln!(stdin, "?")?;
        }
        let line = self.line()?;
        let mut words = line.split(' ').map(|word| word.parse::<i64>().ok());
        let mut next = || words.next().flatten().ok_or_else(|| io::Error::other(line.clone()));
        let (offset, true_ones, skewed) = (next()?, next()?, next()?);
        let (true_ones, skewed) = (true_ones.unsigned_abs(), skewed.unsigned_abs());
        Ok(Testimony { offset, true_ones, skewed })
    }

    /// Ends it.
    ///
    /// # Errors
    /// It saw something wrong, or crashed.
    pub fn finish(mut self) -> io::Result<()> {
        drop(self.stdin.take());
        let said = self.line()?;
        let status = self.child.wait()?;
        if said == "done" && status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("{said} ({status})")))
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

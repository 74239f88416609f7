//! A process that reads its clocks as fast as it can, and says how long that took.
//!
//! For each line that it is given, a clock and a number, it reads that clock so often and answers with the
//! nanoseconds. Further threads read CLOCK_REALTIME all the time, so that there is somebody to be held.

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use agent::kernel::clock::{hold, shown, truth};
use anyhow::{Context as _, Result, bail, ensure};
use fault::ProcessIdentity;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// The hidden command under which this program is a reader.
pub(crate) const COMMAND: &str = "reader";

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Realtime,
    Monotonic,
    RealtimeCoarse,
    MonotonicCoarse,
    Time,
    /// The known way to skew a clock: a system call at each read, and an offset added to what it says.
    SystemCall,
}

impl Reading {
    const ALL: [Self; 6] = [
        Self::Realtime,
        Self::Monotonic,
        Self::RealtimeCoarse,
        Self::MonotonicCoarse,
        Self::Time,
        Self::SystemCall,
    ];

    /// How it is called in the table, and asked for.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Realtime => "REALTIME",
            Self::Monotonic => "MONOTONIC",
            Self::RealtimeCoarse => "REALTIME_COARSE",
            Self::MonotonicCoarse => "MONOTONIC_COARSE",
            Self::Time => "time()",
            Self::SystemCall => "syscall",
        }
    }

    fn times(self, times: u32) {
        /// Numbers of include/uapi/linux/time.h.
        const REALTIME: i32 = 0;
        let clock = |clock: i32| {
            for _ in 0..times {
                black_box(shown::read(black_box(clock)));
            }
        };
        match self {
            Self::Realtime => clock(REALTIME),
            Self::Monotonic => clock(1),
            Self::RealtimeCoarse => clock(5),
            Self::MonotonicCoarse => clock(6),
            Self::Time => {
                for _ in 0..times {
                    black_box(shown::seconds());
                }
            }
            Self::SystemCall => {
                let offset = black_box(3_600_000_000_000);
                for _ in 0..times {
                    black_box(truth::read(black_box(REALTIME)).unwrap_or(0) + offset);
                }
            }
        }
    }
}

/// Is a reader: `reader THREADS [CPU]`.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let threads: usize = arguments.first().context("how many threads?")?.parse()?;
    if let Some(cpu) = arguments.get(1) {
        let mut set = CpuSet::new();
        set.set(cpu.parse()?)?;
        sched_setaffinity(Pid::this(), &set).context("stay on one processor")?;
    }
    for _ in 0..threads {
        // They end with the process.
        std::thread::spawn(|| {
            hold::give_way(10);
            loop {
                Reading::Realtime.times(1_000);
            }
        });
    }
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line?;
        let (name, times) = line.split_once(' ').context("which clock, and how often?")?;
        let reading = Reading::ALL.into_iter().find(|reading| reading.name() == name);
        let (reading, times) = (reading.context("no such clock")?, times.parse()?);
        let began = Instant::now();
        reading.times(times);
        println!("{}", began.elapsed().as_nanos());
    }
    // Busy threads end with their process.
    std::process::exit(0);
}

/// A handle to such a process, which ends with it.
pub(crate) struct Reader {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Reader {
    /// Starts one with so many busy threads, on one processor or anywhere.
    pub(crate) fn start(threads: usize, cpu: Option<usize>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .arg(threads.to_string())
            .args(cpu.map(|cpu| cpu.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a reader")?;
        let stdin = child.stdin.take().context("a reader without a standard input")?;
        let stdout = child.stdout.take().context("a reader without a standard output")?;
        let mut reader = Self { child, stdin, stdout: BufReader::new(stdout) };
        ensure!(reader.line()? == "ready", "a reader does not start");
        Ok(reader)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            bail!("a reader has ended");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Which process it is.
    pub(crate) fn process(&self) -> Result<ProcessIdentity> {
        Ok(agent::kernel::process::identity(self.child.id())?)
    }

    /// What one read takes (ns), by so many.
    pub(crate) fn measure(&mut self, reading: Reading, times: u32) -> Result<f64> {
        writeln!(self.stdin, "{} {times}", reading.name())?;
        Ok(self.line()?.parse::<f64>()? / f64::from(times))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

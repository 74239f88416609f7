//! The child process of a freeze: one thread that seizes, interrupts, and waits by thread.
//!
//! It never goes on by itself: whatever it holds goes on when it ends. That is at the end of the lease, by a
//! timer of the kernel (CLOCK_BOOTTIME, SIGKILL) that works on a stopped process, too; with the agent; or
//! when the agent kills it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use fault::{BootTime, ProcessIdentity};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::kernel::clock::boot_now;
use crate::kernel::clock::hold::{self, LONGEST, Urgent};
use crate::kernel::clock::holder::die_after;
use crate::kernel::process;

/// By what a holder learns that it is one of a freeze.
pub(in crate::kernel) const COMMAND: &str = "freeze";
/// How long it lives without ever being told to begin (40 s): longer than what is prepared waits.
const UNTOLD: Duration = Duration::from_secs(40);

/// What it is told, a line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// These processes are meant, by pid and start time; those that are known already do not matter.
    Hold(Vec<(u32, u64)>),
    /// Hold them from `start` to `end` (boot time, ns).
    Begin { start: u64, end: u64 },
    /// Hold them until then.
    Renew { end: u64 },
}

/// How it stands, a line each time that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    /// How many orders it has carried out.
    pub(super) orders: u64,
    /// When its timer kills it (boot time, ns); 0 before it was told to begin.
    pub(super) end: u64,
    /// How many threads it has seized.
    pub(super) threads: usize,
    /// How many of them have stopped.
    pub(super) standing: usize,
    /// Since when all of them stand (boot time, ns); 0 before.
    pub(super) since: u64,
    /// Who it cannot hold, by pid, start time and reason.
    pub(super) refused: Vec<(u32, u64, String)>,
}

/// A process that is meant.
#[derive(Debug)]
struct Member {
    started: u64,
    refused: Option<String>,
}

/// A thread that is ours.
#[derive(Debug, Default)]
struct Thread {
    asked: bool,
    standing: bool,
}

struct Holder {
    members: BTreeMap<u32, Member>,
    threads: BTreeMap<Pid, Thread>,
    timer: Timer,
    start: Option<BootTime>,
    report: Report,
}

/// Is the holder of a freeze until it is killed, or nobody is there to tell it anything.
///
/// # Errors
/// It cannot listen, or another process has the pid of one that was meant.
pub(in crate::kernel) fn run() -> io::Result<()> {
    let timer = die_after(UNTOLD)?;
    let waits = hold::children().map_err(io::Error::other)?;
    let changes = SignalFd::with_flags(&waits, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    // Whoever reads may be stopped: nobody waits for that.
    fcntl(stdin.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    fcntl(stdout.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut holder = Holder {
        members: BTreeMap::new(),
        threads: BTreeMap::new(),
        timer,
        start: None,
        report: Report::default(),
    };
    let (mut heard, mut told) = (Vec::new(), Report::default());
    let mut unsaid = VecDeque::new();
    loop {
        let ended = take_in(&mut stdin, &mut heard)?;
        while let Some(line) = next_line(&mut heard) {
            holder.obey(serde_json::from_slice(&line)?)?;
        }
        if ended {
            return Ok(());
        }
        while changes.read_signal()?.is_some() {}
        if holder.begins() {
            holder.hold(&waits)?;
        }
        holder.sum_up();
        if unsaid.is_empty() && told != holder.report {
            told = holder.report.clone();
            unsaid.extend(serde_json::to_vec(&told)?);
            unsaid.push_back(b'\n');
        }
        say(&mut stdout, &mut unsaid)?;
        let mut awaited = vec![
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(changes.as_fd(), PollFlags::POLLIN),
        ];
        if !unsaid.is_empty() {
            awaited.push(PollFd::new(stdout.as_fd(), PollFlags::POLLOUT));
        }
        match poll(&mut awaited, holder.patience()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Reads what is there; whether nobody will say anything any more.
fn take_in(from: &mut impl io::Read, heard: &mut Vec<u8>) -> io::Result<bool> {
    let mut some = [0; 4_096];
    loop {
        match from.read(&mut some) {
            Ok(0) => return Ok(true),
            Ok(count) => heard.extend(&some[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn next_line(heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = heard.iter().position(|byte| *byte == b'\n')?;
    Some(heard.drain(..=end).collect())
}

/// Writes as much as there is room for.
fn say(to: &mut impl io::Write, unsaid: &mut VecDeque<u8>) -> io::Result<()> {
    while !unsaid.is_empty() {
        match to.write(unsaid.make_contiguous()) {
            Ok(count) => drop(unsaid.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Holder {
    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Hold(processes) => {
                for (pid, started) in processes {
                    let traced = hold::tracer(pid, Pid::from_raw(pid.cast_signed()));
                    let refused = traced.filter(|tracer| *tracer != std::process::id());
                    let refused =
                        refused.map(|tracer| format!("process {tracer} traces it already"));
                    self.members.entry(pid).or_insert(Member { started, refused });
                }
            }
            Order::Begin { start, end } => {
                self.end_at(end)?;
                self.start = Some(BootTime::from_nanos(start));
            }
            Order::Renew { end } => self.end_at(end)?,
        }
        self.report.orders += 1;
        Ok(())
    }

    fn end_at(&mut self, end: u64) -> io::Result<()> {
        let at = Expiration::OneShot(Duration::from_nanos(end).into());
        self.timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        self.report.end = end;
        Ok(())
    }

    fn begins(&self) -> bool {
        self.start.is_some_and(|start| start <= boot_now())
    }

    /// How long there is nothing to do but by what is awaited.
    fn patience(&self) -> PollTimeout {
        match self.start {
            Some(start) if start > boot_now() => {
                let ahead = start.since(boot_now()).as_millis().saturating_add(1);
                PollTimeout::try_from(ahead).unwrap_or(PollTimeout::MAX)
            }
            Some(_) | None => PollTimeout::NONE,
        }
    }

    /// Stops whoever is meant and runs. Threads that do not stop now, since they wait for a device, do as soon
    /// as they go on.
    fn hold(&mut self, waits: &SigSet) -> io::Result<()> {
        self.collect();
        // While they still run, as this takes the longest.
        while self.seize_new()? > 0 {}
        let _urgent = Urgent::begin();
        let since = Instant::now();
        while self.threads.values().any(|thread| !thread.standing) {
            for (thread, known) in &mut self.threads {
                if !known.asked {
                    // One that has ended says so to whoever waits.
                    known.asked = ptrace::interrupt(*thread).is_ok();
                }
            }
            self.collect();
            // Who was not stopped yet may have made others.
            if self.seize_new()? > 0 || self.threads.values().all(|thread| thread.standing) {
                continue;
            }
            let left = LONGEST.saturating_sub(since.elapsed());
            if left.is_zero() {
                break;
            }
            hold::sleep_until_child(waits, left);
        }
        Ok(())
    }

    /// Seizes the threads of members that are not ours yet; says how many there were.
    fn seize_new(&mut self) -> io::Result<usize> {
        let mut count = 0;
        let mut gone = Vec::new();
        for (pid, member) in &mut self.members {
            let is_meant = || process::identity(*pid).is_ok_and(|it| it.started == member.started);
            let Ok(threads) = hold::threads(*pid) else {
                gone.push(*pid);
                continue;
            };
            if !is_meant() {
                gone.push(*pid);
                continue;
            }
            for thread in threads {
                if self.threads.contains_key(&thread) {
                    continue;
                }
                match seize(*pid, thread) {
                    Ok(true) => {
                        self.threads.insert(thread, Thread::default());
                        count += 1;
                    }
                    Ok(false) => {}
                    Err(reason) => {
                        member.refused.get_or_insert(reason);
                    }
                }
            }
            // Whoever got the number in between is let go of, with all others.
            if count > 0 && hold::threads(*pid).is_ok() && !is_meant() {
                return Err(io::Error::other(format!("process {pid} is another one by now")));
            }
        }
        for pid in gone {
            self.members.remove(&pid);
        }
        Ok(count)
    }

    /// Notes what became of threads.
    fn collect(&mut self) {
        let (mut ended, mut born) = (Vec::new(), Vec::new());
        for (thread, known) in &mut self.threads {
            match waitpid(*thread, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::PtraceEvent(_, _, event)) => {
                    known.standing = true;
                    let births = [
                        Event::PTRACE_EVENT_CLONE,
                        Event::PTRACE_EVENT_FORK,
                        Event::PTRACE_EVENT_VFORK,
                    ];
                    if births.iter().any(|birth| *birth as i32 == event) {
                        born.extend(
                            ptrace::getevent(*thread).ok().and_then(|id| i32::try_from(id).ok()),
                        );
                    }
                }
                Ok(WaitStatus::Stopped(..) | WaitStatus::PtraceSyscall(_)) => known.standing = true,
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => {
                    ended.push(*thread);
                }
                Ok(WaitStatus::Continued(_) | WaitStatus::StillAlive) | Err(_) => {}
            }
        }
        for thread in ended {
            self.threads.remove(&thread);
        }
        for thread in born {
            // The kernel has seized it with its parent, and it stops before it does anything.
            self.threads
                .entry(Pid::from_raw(thread))
                .or_insert(Thread { asked: true, standing: false });
            if let Some(process) = leader(thread) {
                let new = Member { started: process.started, refused: None };
                self.members.entry(process.pid).or_insert(new);
            }
        }
    }

    fn sum_up(&mut self) {
        self.report.threads = self.threads.len();
        self.report.standing = self.threads.values().filter(|thread| thread.standing).count();
        let all = self.report.threads > 0 && self.report.standing == self.report.threads;
        if all && self.report.since == 0 {
            self.report.since = boot_now().nanos();
        }
        let refused = self
            .members
            .iter()
            .filter_map(|(pid, member)| Some((*pid, member.started, member.refused.clone()?)));
        self.report.refused = refused.collect();
    }
}

/// Seizes a thread; whether it is there.
fn seize(pid: u32, thread: Pid) -> Result<bool, String> {
    let options =
        Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
    match ptrace::seize(thread, options) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => match (hold::tracer(pid, thread), hold::state(pid, thread)) {
            // Of whom the kernel told nothing yet: a birth, or an execution by another thread.
            (Some(tracer), _) if tracer == std::process::id() => Ok(true),
            (Some(tracer), _) => Err(format!("process {tracer} traces it already")),
            // A first thread that has ended waits for the others; one that ends is gone.
            (None, 'Z' | 'X' | '?') => Ok(false),
            (None, _) => Err(format!("PTRACE_SEIZE of thread {thread}: {}", errno.desc())),
        },
    }
}

/// The process of a thread.
fn leader(thread: i32) -> Option<ProcessIdentity> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    process::identity(line.trim().parse().ok()?).ok()
}

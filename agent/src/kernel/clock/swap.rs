//! Bytes of a running process, exchanged while nobody stands in them.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::hold::{Held, HoldError, LONGEST, hold};
use super::memory::Memory;
use crate::clock::stack::{self, Context};
use crate::kernel::process;

/// How much of a stack is looked through (32 kB): a signal's frame is 3 kB with all registers, and what
/// stands there farther out has been called from what stands here.
const STACK: usize = 32 << 10;
/// What is read of it at first (8 kB): most stacks have less.
const MOST_STACKS: usize = 8 << 10;
/// What the stub and the original have on the stack together is less than this (1 kB).
const CALLS: usize = 1 << 10;
/// How long to let a process run before it is held again: from 2 ms, twice as long each time.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest of these (256 ms).
const LONGEST_PAUSE: Duration = Duration::from_millis(256);
/// How many stacks a thread may have been on, signal upon signal.
const STACKS: usize = 8;

/// What to exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// In which process.
    pub pid: u32,
    /// When that was started (field 22 of its stat), so that it is no other one.
    pub started: u64,
    /// In this order.
    pub writes: Vec<Write>,
    /// Where no thread may stand, and no stack lead to.
    pub forbidden: Vec<Range<u64>>,
    /// How that is found out.
    pub vigil: Vigil,
    /// Where threads that stand at the first are to go on: at the second.
    pub moved: Vec<(u64, u64)>,
    /// How long to try; in milliseconds.
    pub patience: u64,
}

/// How it is made sure that nobody goes on in the bytes that change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vigil {
    /// People may come all the time: all threads have to be elsewhere at once. Only signals' frames lead
    /// there, so that any word counts.
    Closed,
    /// Nobody comes any more: each thread has to be seen elsewhere once. Return addresses of
    /// earlier calls are left over on stacks, so that they count only where this code is at work.
    Leaving(Range<u64>),
}

/// Bytes to exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// Where.
    pub at: u64,
    /// What has to stand there.
    pub old: Vec<u8>,
    /// What is to.
    pub new: Vec<u8>,
}

/// What it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    /// How long the process stood still when it succeeded (ns).
    pub held: u64,
    /// How long it stood still in all, with vain attempts (ns).
    pub held_in_all: u64,
    /// How many threads it had.
    pub threads: usize,
    /// How often it was held.
    pub attempts: u32,
}

/// Nothing was exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SwapError {
    /// It is not there, or another one has its pid.
    #[error("the process is not there any more")]
    Gone,
    /// Somebody else traces it.
    #[error("process {0} traces it already")]
    Traced(u32),
    /// It could not be held.
    #[error("{0}")]
    Held(String),
    /// A thread did not stop in time. Another process may try again.
    #[error("{0}")]
    Unstoppable(String),
    /// What stands there is not what should.
    #[error("at {at:#x} stands something else than recorded")]
    Changed {
        /// Where.
        at: u64,
    },
    /// A thread stands there all the time.
    #[error("thread {thread} stands in the bytes that change, after {attempts} attempts")]
    Busy {
        /// Which.
        thread: i32,
        /// How often it was held.
        attempts: u32,
    },
    /// Memory could not be read or written.
    #[error("{what} the process's memory: {why}")]
    Memory {
        /// `read` or `write`.
        what: String,
        /// Why.
        why: String,
    },
}

impl From<HoldError> for SwapError {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Gone => Self::Gone,
            HoldError::Traced(tracer) => Self::Traced(tracer),
            error @ (HoldError::Call { .. } | HoldError::Alone) => Self::Held(error.to_string()),
            error @ HoldError::Unstoppable { .. } => Self::Unstoppable(error.to_string()),
        }
    }
}

fn memory(what: &'static str) -> impl FnOnce(io::Error) -> SwapError {
    move |error| {
        if process::says_gone(&error) {
            SwapError::Gone
        } else {
            SwapError::Memory { what: what.to_owned(), why: error.to_string() }
        }
    }
}

/// How a thread stands.
enum Stance {
    /// Elsewhere.
    Clear,
    /// At an instruction that moves: what it is to go on with.
    Moves(Box<libc::user_regs_struct>),
    /// In the way.
    Busy,
}

/// Why an attempt did not succeed.
enum Vain {
    /// This thread was in the way.
    Busy(Pid),
    Failed(SwapError),
}

impl Swap {
    /// Exchanges the bytes. For a process with one thread, that does nothing else.
    ///
    /// # Errors
    /// Why nothing was exchanged.
    pub fn perform(&self) -> Result<Swapped, SwapError> {
        let memory_of = Memory::open(self.pid).map_err(memory("open"))?;
        let identity = process::identity(self.pid).map_err(|_| SwapError::Gone)?;
        if identity.started != self.started {
            return Err(SwapError::Gone);
        }
        let until = Instant::now() + Duration::from_millis(self.patience);
        if let Vigil::Leaving(code) = &self.vigil {
            return self.after_leaving(code, &memory_of, until);
        }
        let mut held_in_all = Duration::ZERO;
        let mut pause = PAUSE;
        for attempts in 1.. {
            // One is enough, and stacks take long.
            let busy = AtomicBool::new(false);
            let look = |thread| self.look(thread, &memory_of, &busy);
            let ((tried, threads), time) = hold(self.pid, &look, |held| {
                (self.attempt(held, &memory_of), held.looked().len())
            })?;
            held_in_all += time;
            match tried {
                Ok(()) => {
                    let (held, held_in_all) = (nanos(time), nanos(held_in_all));
                    return Ok(Swapped { held, held_in_all, threads, attempts });
                }
                Err(Vain::Failed(error)) => return Err(error),
                Err(Vain::Busy(thread)) if Instant::now() >= until => {
                    return Err(SwapError::Busy { thread: thread.as_raw(), attempts });
                }
                // That it has gone on makes no event.
                Err(Vain::Busy(_)) => thread::sleep(pause),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(SwapError::Gone)
    }

    /// Looks at a thread that has just stopped.
    fn look(&self, thread: Pid, memory_of: &Memory, busy: &AtomicBool) -> Stance {
        // Killed meanwhile.
        let Ok(mut registers) = ptrace::getregs(thread) else { return Stance::Clear };
        let to = self.moved.iter().find(|(from, _)| *from == registers.rip).map(|(_, to)| *to);
        registers.rip = to.unwrap_or(registers.rip);
        let stacks = Stacks { memory_of, thread };
        if !busy.load(Ordering::Relaxed) && self.is_led_to(&stacks, context(&registers)) {
            busy.store(true, Ordering::Relaxed);
            return Stance::Busy;
        }
        to.map_or(Stance::Clear, |_| Stance::Moves(Box::new(registers)))
    }

    fn attempt(&self, held: &mut Held<'_, Stance>, memory_of: &Memory) -> Result<(), Vain> {
        let slow = held.since() > LONGEST;
        let in_the_way = |stance: &Stance| slow || matches!(stance, Stance::Busy);
        if let Some((thread, _)) = held.looked().iter().find(|(_, stance)| in_the_way(stance)) {
            return Err(Vain::Busy(*thread));
        }
        let moves = held.looked().iter().filter_map(|(thread, stance)| match stance {
            Stance::Moves(registers) => Some((*thread, **registers)),
            Stance::Clear | Stance::Busy => None,
        });
        let moves: Vec<_> = moves.collect();
        self.write(memory_of).map_err(Vain::Failed)?;
        held.move_on(&moves).map_err(|error| Vain::Failed(error.into()))
    }

    /// Holds the process until each thread was elsewhere once. Those that are not go on a few at a time
    /// while the others stand still: beside a thousand busy ones they would wait for seconds.
    fn after_leaving(
        &self,
        code: &Range<u64>,
        memory_of: &Memory,
        until: Instant,
    ) -> Result<Swapped, SwapError> {
        let mut left = BTreeSet::new();
        let mut held_in_all = Duration::ZERO;
        let mut pause = PAUSE;
        let at_once = thread::available_parallelism().map_or(1, NonZero::get);
        for attempts in 1.. {
            let look =
                |thread| !left.contains(&thread) && self.is_thread_at_work(memory_of, thread, code);
            let (tried, time) = hold(self.pid, &look, |held| {
                let (stay, went) = part(held, at_once)?;
                let written = stay.is_empty().then(|| self.write(memory_of));
                Ok::<_, HoldError>((stay, went, written, held.looked().len()))
            })?;
            let (stay, went, written, threads) = tried?;
            left.extend(went);
            held_in_all += time;
            if let Some(written) = written {
                written?;
                let (held, held_in_all) = (nanos(time), nanos(held_in_all));
                return Ok(Swapped { held, held_in_all, threads, attempts });
            }
            if let Some(thread) = stay.first().filter(|_| Instant::now() >= until) {
                return Err(SwapError::Busy { thread: thread.as_raw(), attempts });
            }
            // That it has gone on makes no event.
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(SwapError::Gone)
    }

    fn is_thread_at_work(&self, memory_of: &Memory, thread: Pid, code: &Range<u64>) -> bool {
        let registers = ptrace::getregs(thread);
        let stacks = Stacks { memory_of, thread };
        registers.is_ok_and(|now| self.is_at_work(&stacks, context(&now), code))
    }

    fn forbids(&self, address: u64) -> bool {
        self.forbidden.iter().any(|range| range.contains(&address))
    }

    /// Whether a thread stands there, or any word of its stacks leads there.
    fn is_led_to(&self, stacks: &Stacks<'_>, now: Context) -> bool {
        if self.forbidden.is_empty() {
            return false;
        }
        self.forbids(now.instruction)
            || stacks.contexts(now).iter().any(|(_, words)| stack::leads(words, &self.forbidden))
    }

    /// Whether a thread, or what a signal interrupted of it, is there or has been called from there: in
    /// `code`, which calls nothing else.
    fn is_at_work(&self, stacks: &Stacks<'_>, now: Context, code: &Range<u64>) -> bool {
        stacks.contexts(now).iter().any(|(context, words)| {
            let near = &words[..words.len().min(CALLS / 8)];
            code.contains(&context.instruction)
                && (self.forbids(context.instruction) || stack::leads(near, &self.forbidden))
        })
    }

    /// Writes all or nothing.
    fn write(&self, memory_of: &Memory) -> Result<(), SwapError> {
        for write in &self.writes {
            if memory_of.read(write.at, write.old.len()).map_err(memory("read"))? != write.old {
                return Err(SwapError::Changed { at: write.at });
            }
        }
        for (index, write) in self.writes.iter().enumerate() {
            let written = memory_of
                .write(write.at, &write.new)
                .map_err(memory("write"))
                .and_then(|()| memory_of.read(write.at, write.new.len()).map_err(memory("read")))
                .and_then(|now| {
                    let right = now == write.new;
                    if right { Ok(()) } else { Err(SwapError::Changed { at: write.at }) }
                });
            if let Err(error) = written {
                for write in self.writes[..=index].iter().rev() {
                    // The first error is the one to tell.
                    let _ = memory_of.write(write.at, &write.old);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Lets those that stand inside go on, a few at a time; says who is still there, and who was elsewhere.
fn part(held: &mut Held<'_, bool>, at_once: usize) -> Result<(Vec<Pid>, Vec<Pid>), HoldError> {
    let seen = |inside: bool| {
        let those = held.looked().iter().filter(move |(_, is)| *is == inside);
        those.map(|(thread, _)| *thread).collect::<Vec<Pid>>()
    };
    let (inside, mut went) = (seen(true), seen(false));
    let mut stay = Vec::new();
    for some in inside.chunks(at_once) {
        // One that was not nudged stays as well.
        let mut there = some.to_vec();
        if held.since() < LONGEST / 2 {
            let seen = held.nudge(some)?;
            let gone = seen.into_iter().filter_map(|(thread, is)| (!is).then_some(thread));
            let gone: Vec<Pid> = gone.collect();
            there.retain(|thread| !gone.contains(thread));
            went.extend(gone);
        }
        stay.append(&mut there);
    }
    Ok((stay, went))
}

fn context(registers: &libc::user_regs_struct) -> Context {
    Context { instruction: registers.rip, stack: registers.rsp }
}

/// The stacks of a thread that stands still.
struct Stacks<'a> {
    memory_of: &'a Memory,
    thread: Pid,
}

impl Stacks<'_> {
    /// Where the thread goes on, now and behind each signal, with the words of the stack there.
    fn contexts(&self, now: Context) -> Vec<(Context, Vec<u64>)> {
        let mut all: Vec<(Context, Vec<u64>)> = Vec::new();
        let mut next = vec![now];
        while let Some(context) = next.pop() {
            if all.len() == STACKS || all.iter().any(|(known, _)| *known == context) {
                continue;
            }
            let at = context.stack & !7;
            let read = |at, most| self.memory_of.read_readable(self.thread, at, most);
            let mut piece = read(at, MOST_STACKS);
            if piece.len() == MOST_STACKS {
                piece.append(&mut read(at + MOST_STACKS as u64, STACK - MOST_STACKS));
            }
            let words = stack::words(&piece);
            next.extend(stack::interrupted(&words));
            all.push((context, words));
        }
        all
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

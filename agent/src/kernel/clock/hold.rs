//! All threads of a process, standing still for some milliseconds.
//!
//! PTRACE_SEIZE while they run, PTRACE_INTERRUPT all, wait for all by their ids. The kernel lets them go when
//! the thread ends that holds them, however it ends. Signals that arrive meanwhile are delivered afterwards,
//! and a process that was stopped stays stopped.
//!
//! Many threads are shared among a holder's own, one for each processor: a thousand are held for a quarter less
//! by two than by one.

mod children;
mod hand;
mod share;
mod urgency;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use hand::Hand;
use share::{Answer, Order, Share};
use urgency::Guard;

pub(in crate::kernel) use children::{children, sleep_until_child};
pub(in crate::kernel) use urgency::Urgent;
pub use urgency::{give_way, hurry};

/// How long threads stand still at most (100 ms), from the first that stops to the last that goes on.
pub const LONGEST: Duration = Duration::from_millis(100);
/// How many threads are worth a further one of the holder's.
const SHARE: usize = 48;
/// How many of its own a holder has at most.
const HANDS: usize = 8;

/// A process could not be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// It is not there, or has ended.
    #[error("the process is not there any more")]
    Gone,
    /// Somebody else holds it: only one may.
    #[error("process {0} traces it already")]
    Traced(u32),
    /// A system call failed.
    #[error("{call} of thread {thread}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// On which thread.
        thread: i32,
        /// Why.
        source: io::Error,
    },
    /// A thread did not stop in time. Nobody goes on before this process ends.
    #[error("thread {thread} (state {state}) does not stop in time")]
    Unstoppable {
        /// Which.
        thread: i32,
        /// As in /proc: D waits for a device.
        state: char,
    },
    /// A thread of the holder ended before its time.
    #[error("a thread of the holder has ended")]
    Alone,
}

/// What is asked about a thread that has just stopped, by the one that traces it.
pub type Look<'s, T> = &'s (dyn Fn(Pid) -> T + Sync);

/// Has all threads of a process stand still while something is done, and says how long they did. Each is
/// looked at as soon as it has stopped, while others still come to a stop on other processors.
///
/// # Errors
/// Why they do not stand still; then nothing is done. After [`HoldError::Unstoppable`] only the end of this
/// process lets all of them go.
pub fn hold<T: Send + 'static, R>(
    pid: u32,
    look: Look<'_, T>,
    work: impl FnOnce(&mut Held<'_, T>) -> R,
) -> Result<(R, Duration), HoldError> {
    thread::scope(|scope| {
        let mut held = Held::begin(scope, pid, look)?;
        let result = work(&mut held);
        held.let_go();
        Ok((result, held.since()))
    })
}

/// A process whose threads all stand still. They go on when this is dropped.
pub struct Held<'s, T: Send + 'static> {
    own: Share<'s, T>,
    others: Vec<Hand<T>>,
    looked: Vec<(Pid, T)>,
    since: Instant,
    _guard: Option<Guard>,
}

impl<'s, T: Send + 'static> Held<'s, T> {
    fn begin<'scope>(
        scope: &'scope Scope<'scope, 's>,
        pid: u32,
        look: Look<'s, T>,
    ) -> Result<Self, HoldError>
    where
        's: 'scope,
    {
        let directory = File::open(format!("/proc/{pid}/task")).map_err(|_| HoldError::Gone)?;
        let others = hands(threads(pid)?.len()) - 1;
        let mut held = Self {
            own: Share::new(pid, look),
            // With fewer it takes longer.
            others: (0..others).filter_map(|_| Hand::start(scope, pid, look).ok()).collect(),
            looked: Vec::new(),
            since: Instant::now(),
            _guard: None,
        };
        let mut known = BTreeSet::new();
        // While it still runs, as this takes the longest.
        while held.seize_new(pid, &mut known)? > 0 {}
        held.all(|_| Order::Hurry)?;
        held._guard = Some(Guard::begin()?);
        held.since = Instant::now();
        loop {
            let since = held.since;
            let looked = held.all(|_| Order::Stop(since))?;
            held.looked.extend(looked.into_iter().flat_map(Answer::looked));
            // Who was not stopped yet may have made another. A directory has two links more than it holds.
            let there = directory.metadata().map_err(|_| HoldError::Gone)?.nlink();
            let all = usize::try_from(there).is_ok_and(|there| there == held.looked.len() + 2);
            if all || held.seize_new(pid, &mut known)? == 0 {
                break;
            }
        }
        if held.looked.is_empty() { Err(HoldError::Gone) } else { Ok(held) }
    }

    /// Has each thread of the holder do its part, and waits for all of them.
    fn all(&mut self, order: impl Fn(usize) -> Order) -> Result<Vec<Answer<T>>, HoldError> {
        for (number, hand) in self.others.iter().enumerate() {
            hand.tell(order(number + 1));
        }
        let own = self.own.perform(order(0));
        // Even after an error: who was told something is not to be told the next before it is done.
        let others: Vec<_> = self.others.iter().map(Hand::answer).collect();
        std::iter::once(own).chain(others).collect()
    }

    /// Seizes the threads that are not known yet; says how many there were.
    fn seize_new(&mut self, pid: u32, known: &mut BTreeSet<Pid>) -> Result<usize, HoldError> {
        let new: Vec<Pid> =
            threads(pid)?.into_iter().filter(|thread| known.insert(*thread)).collect();
        let hands = self.others.len() + 1;
        let share =
            |number| new[new.len() * number / hands..new.len() * (number + 1) / hands].to_vec();
        let seized = self.all(|number| Order::Seize(share(number)))?;
        Ok(seized.iter().map(Answer::seized).sum())
    }

    /// What the look at each thread showed.
    #[must_use]
    pub fn looked(&self) -> &[(Pid, T)] {
        &self.looked
    }

    /// Lets some threads go on for a moment, while all others stand still, and looks at them again. Those
    /// that stopped with their process, or for a signal, stay as they are.
    ///
    /// # Errors
    /// As of [`hold`].
    pub fn nudge(&mut self, threads: &[Pid]) -> Result<Vec<(Pid, T)>, HoldError> {
        let since = self.since;
        let looked = self.all(|_| Order::Nudge(threads.to_vec(), since))?;
        Ok(looked.into_iter().flat_map(Answer::looked).collect())
    }

    /// Has threads go on with other registers than they stopped with.
    ///
    /// # Errors
    /// A thread of the holder has ended.
    pub fn move_on(&mut self, moves: &[(Pid, libc::user_regs_struct)]) -> Result<(), HoldError> {
        self.all(|_| Order::Move(moves.to_vec())).map(drop)
    }

    /// How long it has been standing still.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.since.elapsed()
    }

    fn let_go(&mut self) {
        // Who has ended has let go.
        let _ = self.all(|_| Order::LetGo);
    }
}

impl<T: Send + 'static> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// How many threads of the holder share so many.
fn hands(threads: usize) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    (threads / SHARE + 1).min(processors).min(HANDS)
}

fn called(call: &'static str, thread: Pid) -> impl FnOnce(Errno) -> HoldError {
    move |errno| HoldError::Call { call, thread: thread.as_raw(), source: errno.into() }
}

/// The threads of a process.
///
/// # Errors
/// It is not there.
pub fn threads(pid: u32) -> Result<Vec<Pid>, HoldError> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| HoldError::Gone)?;
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(ids.map(Pid::from_raw).collect())
}

/// Who traces a thread already.
pub(in crate::kernel) fn tracer(pid: u32, thread: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|tracer| *tracer != 0)
}

/// The state of a thread as /proc has it; `?` for one that is not there.
pub(in crate::kernel) fn state(pid: u32, thread: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat"));
    stat.ok()
        .and_then(|stat| {
            stat.rsplit_once(')').and_then(|(_, tail)| tail.trim_start().chars().next())
        })
        .unwrap_or('?')
}

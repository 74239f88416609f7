//! The child process that holds others, and how it is asked.
//!
//! One process for each order: whatever happens to it, the kernel lets go of everything that it holds. It
//! dies with the thread that started it, and at a time that a timer of the kernel knows (CLOCK_BOOTTIME,
//! SIGKILL), even if it is stopped itself.

use std::ffi::CStr;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::getppid;
use serde::{Deserialize, Serialize};

use super::hold;
use super::probe::{Probe, Probed};
use super::swap::{Swap, SwapError, Swapped};
use crate::kernel::freeze::holder as freeze;
use crate::kernel::load::worker as load;

/// The hidden command under which this program is a holder.
pub const COMMAND: &str = "holder";
/// Under what name it runs: that of its file says nothing, which is /proc/self/exe.
pub const NAME: &CStr = c"schism-holder";
/// How much longer than its patience a holder lives (1 s).
const GRACE: Duration = Duration::from_secs(1);
/// How long to let a process run that was held in vain (20 ms).
const PAUSE: Duration = Duration::from_millis(20);

/// What a holder is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Order {
    Swap(Swap),
    Probe(Probe),
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Swapped(Result<Swapped, SwapError>),
    Probed(Result<Probed, String>),
}

/// The program that holds: ours.
#[derive(Clone, Debug)]
pub struct Holder {
    program: PathBuf,
}

/// A holder gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// It could not be started or spoken to.
    #[error("{what} the holder process: {source}")]
    Process {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It ended without an answer: killed, or at its timer.
    #[error("the holder process ended without an answer ({0})")]
    Silent(String),
    /// It could not do it.
    #[error("{0}")]
    Swap(#[from] SwapError),
    /// It could not probe.
    #[error("probe the skewed clock: {0}")]
    Probe(String),
}

fn process(what: &'static str) -> impl FnOnce(io::Error) -> HolderError {
    move |source| HolderError::Process { what, source }
}

impl Default for Holder {
    /// This very program, even if its file was replaced.
    fn default() -> Self {
        Self::of(PathBuf::from("/proc/self/exe"))
    }
}

impl Holder {
    /// A program that knows [`COMMAND`].
    #[must_use]
    pub const fn of(program: PathBuf) -> Self {
        Self { program }
    }

    /// Has bytes exchanged; where threads do not stop in time, again and again as long as there is patience.
    ///
    /// # Errors
    /// Why they were not, or that there is no answer: then they may have been.
    pub fn swap(&self, swap: &Swap) -> Result<Swapped, HolderError> {
        let until = Instant::now() + Duration::from_millis(swap.patience);
        let mut vain = 0;
        loop {
            match self.ask(&Order::Swap(swap.clone()))? {
                // The end of that holder has let everybody go. A busy machine needs a while.
                Answer::Swapped(Err(SwapError::Unstoppable(_))) if Instant::now() < until => {
                    vain += 1;
                    thread::sleep(PAUSE);
                }
                Answer::Swapped(result) => {
                    let swapped = result?;
                    return Ok(Swapped { attempts: swapped.attempts + vain, ..swapped });
                }
                Answer::Probed(_) => {
                    return Err(HolderError::Silent("it answered something else".to_owned()));
                }
            }
        }
    }

    /// Has a clock read in a target's place.
    ///
    /// # Errors
    /// It could not be read.
    pub fn probe(&self, probe: Probe) -> Result<Probed, HolderError> {
        match self.ask(&Order::Probe(probe))? {
            Answer::Probed(result) => result.map_err(HolderError::Probe),
            Answer::Swapped(_) => Err(HolderError::Silent("it answered something else".to_owned())),
        }
    }

    fn ask(&self, order: &Order) -> Result<Answer, HolderError> {
        let text = serde_json::to_vec(order).map_err(io::Error::from).map_err(process("ask"))?;
        let mut child = Command::new(&self.program)
            .arg(COMMAND)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(process("start"))?;
        // Dropped at the end of the statement: the holder reads to the end.
        let asked = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&text));
        let output = child.wait_with_output().map_err(process("wait for"))?;
        if output.stdout.is_empty() {
            asked.map_err(process("ask"))?;
            return Err(HolderError::Silent(output.status.to_string()));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|_| HolderError::Silent(output.status.to_string()))
    }
}

/// Whether this process was started to be a holder. No command for people: it has no place in a help text.
#[must_use]
pub fn is_asked() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == COMMAND)
}

/// Has the kernel kill this process when the thread that started it ends.
pub(in crate::kernel) fn die_with_parent(name: &CStr) -> io::Result<()> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_name(name)?;
    // It may have ended before that.
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("whoever asked is gone")) }
}

/// Is a holder: of a freeze, or for one order from the standard input and one answer to the standard output.
///
/// # Errors
/// The order could not be read, or the answer not be written.
pub fn run() -> io::Result<()> {
    let role = std::env::args_os().nth(2);
    let is = |command: &str| role.as_deref().is_some_and(|role| role == command);
    if is(load::COMMAND) {
        // In nobody's way: it has no more right to a processor than the target.
        die_with_parent(load::NAME)?;
        return load::run();
    }
    hold::hurry();
    die_with_parent(NAME)?;
    if is(freeze::COMMAND) {
        return freeze::run();
    }
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let order: Order = serde_json::from_slice(&text)?;
    let answer = match order {
        Order::Swap(swap) => {
            let _timer = die_after(Duration::from_millis(swap.patience) + GRACE)?;
            Answer::Swapped(swap.perform())
        }
        Order::Probe(probe) => {
            let _timer = die_after(GRACE)?;
            Answer::Probed(probe.perform())
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    io::stdout().write_all(&text)
}

/// Has the kernel kill this process then, unless the timer is dropped before.
pub(in crate::kernel) fn die_after(time: Duration) -> io::Result<Timer> {
    let notify = SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 };
    let mut timer = Timer::new(ClockId::CLOCK_BOOTTIME, SigEvent::new(notify))?;
    timer.set(Expiration::OneShot(time.into()), TimerSetTimeFlags::empty())?;
    Ok(timer)
}

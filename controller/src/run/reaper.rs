//! Programs end with the run that started them, also where it is killed.
//!
//! A child of ours, the *reaper*, listens at a pipe whose other end only the run has. It is told which steps
//! are under way; when the pipe ends and some still are, it kills what they started. Every program is told in
//! its environment which step it belongs to (`MARK`), and so are those that it starts, wherever they have
//! moved since: by that, and by the process group of the program, they are found. What takes away the mark
//! and leaves the group is not found.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;

/// Which process is a reaper.
const COMMAND: &str = "__reaper";
/// Whether this program answers for a reaper: it does so if it asks whether it is one.
static ANSWERS: AtomicBool = AtomicBool::new(false);
/// What programs have in their environment.
pub(super) const MARK: &str = "SCHISM_STEP";
/// How often is looked at most for what is left.
const ROUNDS: u32 = 100;
/// How long is waited from one look to the next (10 ms): what is killed needs a moment to be gone.
const LOOK: Duration = Duration::from_millis(10);

/// Whether this process was started to be a reaper. No command for people: it has no place in a help text.
#[must_use]
pub fn is_asked() -> bool {
    ANSWERS.store(true, Ordering::Relaxed);
    std::env::args_os().nth(1).is_some_and(|argument| argument == COMMAND)
}

/// Is a reaper.
///
/// # Errors
/// It cannot listen.
pub fn run() -> io::Result<()> {
    // It has something to do when others are asked to end.
    SigSet::all().thread_block()?;
    let mut steps: BTreeMap<String, Option<Pid>> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        // What cannot be read is the end as well.
        let Ok(line) = line else { break };
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("begin"), Some(mark), None) => drop(steps.insert(mark.to_owned(), None)),
            (Some("group"), Some(mark), Some(group)) => {
                let group = group.parse().ok().map(Pid::from_raw);
                steps.insert(mark.to_owned(), group);
            }
            (Some("end"), Some(mark), None) => drop(steps.remove(mark)),
            _ => (),
        }
    }
    for group in steps.values().flatten() {
        // Mostly somebody is left of it.
        let _ = killpg(*group, Signal::SIGKILL);
    }
    let marks: Vec<String> = steps.into_keys().collect();
    if !marks.is_empty() {
        end(&marks);
    }
    Ok(())
}

/// Ends every process with one of these marks, and whatever it starts meanwhile.
pub(super) fn end(marks: &[String]) {
    for _ in 0..ROUNDS {
        let found = marked(marks);
        if found.is_empty() {
            return;
        }
        for pid in found {
            // It may have ended by itself.
            let _ = kill(pid, Signal::SIGKILL);
        }
        sleep(LOOK);
    }
}

/// The processes with one of these marks. What has ended has no environment any more.
fn marked(marks: &[String]) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    let is_marked = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| {
            let value = variable.strip_prefix(MARK.as_bytes());
            let value = value.and_then(|rest| rest.strip_prefix(b"="));
            value.is_some_and(|value| marks.iter().any(|mark| mark.as_bytes() == value))
        })
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && is_marked(*pid))
        .filter_map(|pid| i32::try_from(pid).ok().map(Pid::from_raw))
        .collect()
}

/// Who ends the programs of this run if it cannot do so itself; begun with the first program.
pub(crate) struct Reaper {
    /// Which program is one; none where nobody is to be one.
    program: Option<PathBuf>,
    /// What no mark of another run begins with.
    run: String,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    pipe: Option<ChildStdin>,
    count: u64,
}

impl Reaper {
    /// One that is this very program in another process.
    pub(crate) fn new(identity: u64) -> Self {
        let answers = ANSWERS.load(Ordering::Relaxed);
        let program = answers.then(|| PathBuf::from("/proc/self/exe"));
        Self { program, run: format!("{identity:016x}"), told: Mutex::default() }
    }

    /// Nobody: for tests, whose program is another one.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let run = format!("test-{}-{count}", std::process::id());
        Self { program: None, run, told: Mutex::default() }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step is about to start a program.
    ///
    /// # Errors
    /// Nobody would end it.
    pub(super) fn step(self: &Arc<Self>) -> io::Result<Step> {
        let mut told = self.told();
        told.count += 1;
        let mark = format!("{}.{}", self.run, told.count);
        let begins = format!("begin {mark}");
        if let Some(program) = &self.program {
            // One that somebody has ended is replaced; what was under way has only its run then.
            if told.pipe.is_none() || told.tell(&begins).is_err() {
                told.pipe = Some(start(program.as_os_str())?);
                told.tell(&begins)?;
            }
        }
        drop(told);
        Ok(Step { reaper: Arc::clone(self), mark, group: None, left: Left::Stays })
    }
}

impl Told {
    fn tell(&mut self, line: &str) -> io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => pipe.write_all(format!("{line}\n").as_bytes()),
            None => Ok(()),
        }
    }
}

fn start(program: &OsStr) -> io::Result<ChildStdin> {
    let mut command = Command::new(program);
    command.arg0("schism-reaper").arg(COMMAND).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A Ctrl-C is not for it.
    let mut child = command.process_group(0).spawn()?;
    child.stdin.take().ok_or_else(|| io::Error::other("it has no standard input"))
}

/// What becomes of those that have left a program's group when its step is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// A program that came to its end may have started something on purpose.
    Stays,
    /// One that was stopped is stopped whole.
    Ends,
}

/// The programs of one step. Its group is killed with this.
pub(crate) struct Step {
    reaper: Arc<Reaper>,
    mark: String,
    group: Option<Pid>,
    left: Left,
}

impl Step {
    /// What its programs have in their environment.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Its program runs, and leads this group.
    pub(super) fn leads(&mut self, group: Option<u32>) {
        self.group = group.and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        self.left = Left::Ends;
        if let Some(group) = self.group {
            // The mark is enough to find it.
            let _ = self.reaper.told().tell(&format!("group {} {group}", self.mark));
        }
    }

    /// What has left its group stays.
    pub(super) fn spare(&mut self) {
        self.left = Left::Stays;
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Mostly nobody is left of it.
            let _ = killpg(group, Signal::SIGKILL);
        }
        if self.left == Left::Ends {
            end(std::slice::from_ref(&self.mark));
        }
        // Whoever is gone needs no telling.
        let _ = self.reaper.told().tell(&format!("end {}", self.mark));
    }
}

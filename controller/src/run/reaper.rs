//! Programs end with the run that started them, also where it is killed.
//!
//! A child of ours, the *reaper*, waits at a pipe whose other end only the run has. Which steps are under way stands
//! in memory that both have, the *roll*, so that a step wakes nobody; when the pipe ends and some still are, it kills
//! what they started. Every program is told in its environment which step it belongs to (`MARK`), and so are those
//! that it starts, wherever they have moved since: by that, and by the process group of the program, they are found.
//! What takes away the mark and leaves the group is not found.

mod roll;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use experiment::run::Verdicts;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;
use roll::Roll;

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
/// How long a reaper may take that has somebody to end (2 s).
const PATIENCE: Duration = Duration::from_secs(2);

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
    // What cannot be read is the end as well.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let steps = roll::read(io::stdout().as_fd())?;
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
    verdicts: Verdicts,
    told: Mutex<Told>,
    /// Who is ending what was stopped.
    ending: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Told {
    watch: Option<Watch>,
    count: u64,
}

/// A process that sees to it, and what it goes by.
struct Watch {
    /// It ends when its standard input does.
    process: Child,
    roll: Roll,
}

impl Reaper {
    /// One that is this very program in another process. Where verdicts are those of the original, what a
    /// program leaves behind when it comes to its end stays, as there.
    pub(crate) fn new(identity: u64, verdicts: Verdicts) -> Self {
        let answers = ANSWERS.load(Ordering::Relaxed);
        let program = answers.then(|| PathBuf::from("/proc/self/exe"));
        let run = format!("{identity:016x}");
        Self { program, run, verdicts, told: Mutex::default(), ending: Mutex::default() }
    }

    /// Nobody: for tests, whose program is another one.
    #[cfg(test)]
    pub(super) fn nobody(verdicts: Verdicts) -> Self {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let run = format!("test-{}-{count}", std::process::id());
        let (told, ending) = (Mutex::default(), Mutex::default());
        Self { program: None, run, verdicts, told, ending }
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
        if let Some(program) = &self.program {
            told.see_to_it(program.as_os_str())?;
        }
        told.tell(|roll| roll.begin(&mark))?;
        drop(told);
        Ok(Step { reaper: Arc::clone(self), mark, group: None, left: Left::Stays })
    }

    /// Waits until all that belongs to steps which were stopped has ended.
    pub(super) async fn settle(&self) {
        let all = std::mem::take(&mut *self.ending());
        if all.is_empty() {
            return;
        }
        let joined = tokio::task::spawn_blocking(|| {
            for one in all {
                // What it did not come to, the mark is there for.
                let _ = one.join();
            }
        });
        let _ = joined.await;
    }

    fn ending(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever is gone needs no telling.
    fn forget(&self, mark: &str) {
        let _ = self.told().tell(|roll| roll.end(mark));
    }
}

impl Told {
    /// Makes sure that there is one: also another one, where somebody has ended it or the roll has become long.
    fn see_to_it(&mut self, program: &OsStr) -> io::Result<()> {
        let lives = |watch: &mut Watch| matches!(watch.process.try_wait(), Ok(None));
        if let Some(watch) = self.watch.as_mut()
            && lives(watch)
            && !watch.roll.is_long()
        {
            return Ok(());
        }
        let roll = Roll::new(self.watch.as_ref().map(|former| &former.roll))?;
        let process = start(program, &roll)?;
        // The next one has them all; until it is there, the former one stays.
        match self.watch.replace(Watch { process, roll }) {
            Some(mut former) => former.roll.clear(),
            None => Ok(()),
        }
    }

    fn tell(&mut self, what: impl FnOnce(&mut Roll) -> io::Result<()>) -> io::Result<()> {
        self.watch.as_mut().map_or(Ok(()), |watch| what(&mut watch.roll))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let until = Instant::now() + PATIENCE;
        while self.roll.has_somebody()
            && matches!(self.process.try_wait(), Ok(None))
            && Instant::now() < until
        {
            sleep(LOOK);
        }
        // It has nothing to do any more, and may have been stopped: nobody waits for it then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(program: &OsStr, roll: &Roll) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg0("schism-reaper").arg(COMMAND).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(roll.shared()?).stderr(Stdio::null());
    // A Ctrl-C is not for it.
    command.process_group(0).spawn()
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
            let _ = self.reaper.told().tell(|roll| roll.lead(&self.mark, group));
        }
    }

    /// It came to its end: what has left its group stays, and in the original's ways all.
    pub(super) fn spare(&mut self) {
        self.left = Left::Stays;
        if self.reaper.verdicts == Verdicts::Compat {
            self.group = None;
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Mostly nobody is left of it.
            let _ = killpg(group, Signal::SIGKILL);
        }
        if self.left == Left::Stays {
            return self.reaper.forget(&self.mark);
        }
        // To look for them takes a while, and this may be the thread on which everything else goes on.
        let (reaper, mark) = (Arc::clone(&self.reaper), self.mark.clone());
        let end = move || {
            end(std::slice::from_ref(&mark));
            reaper.forget(&mark);
        };
        // Where there is no thread for it, it stays on the roll: whoever reads that ends it.
        if let Ok(ending) = thread::Builder::new().name("schism-ending".to_owned()).spawn(end) {
            self.reaper.ending().push(ending);
        }
    }
}

//! One process of Zeebe's in its namespace, which is started again whenever it ends.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::ZeebeError;
use crate::{
    process::{Process, ProcessError},
    topology::Node,
};

/// Between an end and the next start: as long as a pod that ended for the first time is let be.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon it is noticed that a member is to end for good.
const LOOK: Duration = Duration::from_millis(100);

/// How many lines of a log are shown when something failed.
const LAST_WORDS: usize = 12;

/// A process that runs as long as its handle lives.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) node: Node,
    directory: PathBuf,
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    life: Mutex<Life>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Life {
    ending: bool,
    process: Option<Arc<Process>>,
    starts: u32,
}

impl Shared {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Starts it; `command` makes the command anew for every start.
    pub(super) fn start(
        node: Node,
        parent: &Path,
        command: impl Fn(&Path) -> Command + Send + 'static,
    ) -> Result<Self, ZeebeError> {
        let directory = parent.join(&node.label);
        let temporary = directory.join("tmp");
        fs::create_dir_all(&temporary)
            .map_err(|source| ZeebeError::File { path: temporary, source })?;
        let shared = Arc::new(Shared::default());
        let keeper = {
            let (shared, directory) = (Arc::clone(&shared), directory.clone());
            thread::spawn(move || keep(&shared, &directory, &command))
        };
        Ok(Self { node, directory, shared, keeper: Some(keeper) })
    }

    /// How often it was started.
    pub(super) fn starts(&self) -> u32 {
        self.shared.life().starts
    }

    /// Its process id while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.shared.life().process.as_ref().map(|process| process.id())
    }

    /// Sends it a signal; what ends by it is started again.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), ZeebeError> {
        let process = self.shared.life().process.clone();
        let process = process.ok_or_else(|| ZeebeError::NotRunning(self.node.label.clone()))?;
        Ok(process.signal(signal)?)
    }

    pub(super) fn log_path(&self) -> PathBuf {
        log_path(&self.directory)
    }

    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }

    /// Has it ended for good, without waiting for it.
    pub(super) fn end(&self) {
        self.shared.life().ending = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
        if let Some(keeper) = self.keeper.take() {
            let _: thread::Result<()> = keeper.join();
        }
    }
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("log")
}

fn keep(shared: &Shared, directory: &Path, command: &impl Fn(&Path) -> Command) {
    while !shared.life().ending {
        match begin(directory, command) {
            Ok(process) => {
                let process = Arc::new(process);
                {
                    let mut life = shared.life();
                    life.starts += 1;
                    life.process = Some(Arc::clone(&process));
                }
                attend(shared, &process);
                shared.life().process = None;
            }
            Err(error) => eprintln!("lab: {error}"),
        }
        let waited = shared.changed.wait_timeout_while(shared.life(), PAUSE, |life| !life.ending);
        drop(waited);
    }
}

/// Returns when the process has ended, by itself or because it is to end for good.
fn attend(shared: &Shared, process: &Process) {
    while !process.wait_end(LOOK) {
        if shared.life().ending {
            // Killed, not asked: its data go as well.
            if let Err(error) = process.signal(Signal::SIGKILL) {
                eprintln!("lab: {error}");
            }
            return;
        }
    }
}

fn begin(directory: &Path, command: &impl Fn(&Path) -> Command) -> Result<Process, ZeebeError> {
    let path = log_path(directory);
    let file = |source| ZeebeError::File { path: path.clone(), source };
    let log = OpenOptions::new().create(true).append(true).open(&path).map_err(file)?;
    let errors = log.try_clone().map_err(file)?;
    let mut command = command(directory);
    command.current_dir(directory).stdout(log).stderr(errors);
    Process::start(&mut command).map_err(|error: ProcessError| error.into())
}

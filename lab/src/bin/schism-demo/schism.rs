//! The `schism` binary, run as anybody would run it.

use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{directory::Directory, interruption::Interruption, process::Process};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Between two looks at whether a command has ended or somebody asked the demo to end.
const LOOK: Duration = Duration::from_millis(20);

/// How long a command may take beyond its cut's time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The command line tool, with a socket of the demo's own.
#[derive(Debug)]
pub(crate) struct Schism {
    program: PathBuf,
    directory: Directory,
    interruption: Interruption,
    runs: AtomicU32,
}

impl Schism {
    /// Finds the binary beside this one: both were built by one command.
    pub(crate) fn find(interruption: &Interruption) -> Result<Self> {
        let own = std::env::current_exe().context("where this binary lies is not known")?;
        let program = own.with_file_name("schism");
        ensure!(
            program.is_file(),
            "there is no {}; `cargo xtask demo` builds it",
            program.display()
        );
        let directory = Directory::create("demo")?;
        Ok(Self { program, directory, interruption: interruption.clone(), runs: AtomicU32::new(0) })
    }

    /// Where the agents of the demo listen.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    /// The directory that must be empty but for the output of commands.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The binary.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Starts a command; the words begin with `schism`.
    pub(crate) fn start(&self, words: &[String]) -> Result<Run> {
        let mut command = Command::new(&self.program);
        command.args(words.iter().skip(1)).env("SCHISM_AGENT_SOCKET", self.socket());
        self.launch(command, words.join(" "))
    }

    /// Starts a command that is typed like this.
    pub(crate) fn launch(&self, mut command: Command, typed: String) -> Result<Run> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.directory.path().join(format!("{number}.{name}"));
        let (out, err) = (file("out"), file("err"));
        let create = |path: &Path| {
            File::create(path).with_context(|| format!("{} can't be written", path.display()))
        };
        // Files, not pipes: a command is killed and stopped here, and a full pipe would stop it too.
        command.stdout(create(&out)?).stderr(create(&err)?);
        let process = Process::start(&mut command)?;
        let interruption = self.interruption.clone();
        Ok(Run { process, out, err, interruption, typed })
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str], limit: Duration) -> Result<Finished> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.start(&words)?.wait(limit)
    }
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Run {
    process: Process,
    out: PathBuf,
    err: PathBuf,
    interruption: Interruption,
    typed: String,
}

impl Run {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.process.signal(signal)?)
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.process.wait_end(Duration::ZERO)
    }

    /// What it has said to people so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Waits for its end, which must come within the limit.
    pub(crate) fn wait(self, limit: Duration) -> Result<Finished> {
        let mut left = limit;
        while !self.process.wait_end(LOOK) {
            self.interruption.check()?;
            ensure!(!left.is_zero(), "`{}` did not end within {limit:?}", self.typed);
            left = left.saturating_sub(LOOK);
        }
        let Self { process, out, err, typed, .. } = self;
        let status = process.stop()?;
        let read = |path: &Path| -> io::Result<String> { fs::read_to_string(path) };
        Ok(Finished {
            code: status.code(),
            signal: status.signal(),
            out: read(&out)?,
            err: read(&err)?,
            typed,
        })
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// What it printed.
    pub(crate) out: String,
    /// What it said to people.
    pub(crate) err: String,
    typed: String,
}

impl Finished {
    /// How it ended, in words.
    pub(crate) fn end(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        }
    }

    /// The document that it printed with `-o json`, which must be of this schema.
    pub(crate) fn document(&self, schema: &str) -> Result<Value> {
        let said = || format!("`{}` printed no {schema}; it said:\n{}", self.typed, self.err);
        let document: Value = serde_json::from_str(&self.out).with_context(said)?;
        ensure!(document["schema"] == schema, said());
        Ok(document)
    }
}

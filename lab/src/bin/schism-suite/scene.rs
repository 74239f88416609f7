//! A real system under a controller, with an agent that sees all its members.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::directory::Directory;
use lab::estate::Estate;
use lab::process::Process;
use lab::topology::Topology;
use serde_json::Value;

/// How long a controller and its agent may take to find each other.
const SOON: Duration = Duration::from_secs(20);
/// How long an experiment may take.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(50);

/// A system that experiments act on.
pub(crate) trait System: Sized {
    /// Its nodes.
    const LABELS: &'static [&'static str];
    /// Where its experiments are.
    const EXPERIMENTS: &'static str;

    /// Starts it, and says what a `schism.toml` says of it.
    ///
    /// # Errors
    /// It does not start.
    fn start(topology: &Topology) -> Result<(Self, String)>;

    /// Puts into it what all its experiments need, by a `schism` that knows it.
    ///
    /// # Errors
    /// It does not take it.
    fn prepare(&self, schism: Command) -> Result<()>;

    /// What steps know of it by their environment.
    fn environment(&self, topology: &Topology) -> Vec<(&'static str, String)>;

    /// Waits until it is as at its start.
    ///
    /// # Errors
    /// It is not in time.
    fn calm(&self) -> Result<()>;

    /// What was measured in an experiment by its journal, and whether that is as it should be.
    fn measured(journal: &Value) -> Measured;
}

/// What was measured in an experiment.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Whether it is as it should be.
    pub(crate) well: bool,
    /// For people.
    pub(crate) said: String,
}

/// Everything that the experiments act on. Goes away with its handle, in this order.
#[derive(Debug)]
pub(crate) struct Scene<S> {
    _agent: Process,
    _controller: Process,
    system: S,
    estate: Estate,
    topology: Topology,
    binaries: PathBuf,
    directory: Directory,
}

/// How `schism run` ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its journal; empty where it wrote none.
    pub(crate) journal: String,
    /// What it said.
    pub(crate) said: String,
}

impl<S: System> Scene<S> {
    /// Sets everything up.
    ///
    /// # Errors
    /// Something does not start.
    pub(crate) fn open() -> Result<Self> {
        let own = std::env::current_exe().context("where is this program?")?;
        let binaries = own.parent().context("a program without a place")?.to_owned();
        for name in ["schism", "schism-agent"] {
            ensure!(binaries.join(name).is_file(), "{name} is not built beside {}", own.display());
        }
        let directory = Directory::create("suite")?;
        let topology = Topology::hub(S::LABELS)?;
        let (system, settings) = S::start(&topology)?;
        let estate = Estate::bare(&binaries, &topology, &settings)?;
        let controller = quiet(estate.controller(), &directory.path().join("controller.log"))?;
        let first = topology.nodes().first().context("no node")?;
        let agent = quiet(estate.agent_of_all(first), &directory.path().join("agent.log"))?;
        let scene = Self {
            _agent: agent,
            _controller: controller,
            system,
            estate,
            topology,
            binaries,
            directory,
        };
        scene.await_agent()?;
        scene.calm()?;
        scene.system.prepare(scene.estate.schism_inside())?;
        Ok(scene)
    }

    fn await_agent(&self) -> Result<()> {
        let limit = Instant::now() + SOON;
        loop {
            let output = self.estate.schism().arg("agents").stdin(Stdio::null()).output()?;
            if String::from_utf8_lossy(&output.stdout).contains(" up ") {
                return Ok(());
            }
            if Instant::now() > limit {
                let said = String::from_utf8_lossy(&output.stderr);
                bail!("the agent does not find its controller: {said}");
            }
            // `agents` tells what is, and waits for nothing.
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the system is as at its start.
    ///
    /// # Errors
    /// They are not in time.
    pub(crate) fn calm(&self) -> Result<()> {
        self.system.calm()
    }

    /// Runs an experiment as anybody on the controller's machine would, in a directory of its own.
    ///
    /// # Errors
    /// The command cannot be started, or does not end.
    pub(crate) fn run(&self, file: &Path, values: &[(&str, String)]) -> Result<Ended> {
        let directory = Directory::create("experiment")?;
        let mut command = self.estate.schism_inside();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.binaries.display()));
        command.env("SCHISM_CONFIG", self.estate.path("schism.toml"));
        command.envs(self.system.environment(&self.topology));
        perform(command, file, values, directory.path())
    }

    /// What the controller and its agent said.
    pub(crate) fn logs(&self) -> String {
        let read = |name: &str| {
            let text =
                std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
            format!("{name}:\n{text}")
        };
        read("controller.log") + &read("agent.log")
    }
}

/// Runs an experiment by a `schism` that is ready for it, in a directory where its steps leave what they like.
///
/// # Errors
/// It cannot be started, or does not end.
pub(crate) fn perform(
    mut schism: Command,
    file: &Path,
    values: &[(&str, String)],
    directory: &Path,
) -> Result<Ended> {
    schism.current_dir(directory).args(["run", "--journal", "journal.json"]);
    for (name, value) in values {
        schism.arg("--var").arg(format!("{name}={value}"));
    }
    schism.arg(file);
    let log = directory.join("said");
    let process = quiet(schism, &log)?;
    ensure!(process.wait_end(PATIENCE), "{} does not end", file.display());
    let code = process.stop()?.code().unwrap_or(-1);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let journal = read(&directory.join("journal.json"));
    Ok(Ended { code, journal, said: read(&log) })
}

fn quiet(mut command: Command, log: &Path) -> Result<Process> {
    let file = std::fs::File::create(log).with_context(|| log.display().to_string())?;
    command.stdout(file.try_clone()?).stderr(file);
    Ok(Process::start(&mut command)?)
}

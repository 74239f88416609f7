//! Three members of etcd under a controller, with an agent that sees them all.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::directory::Directory;
use lab::estate::Estate;
use lab::etcd::{CLIENT_PORT, Cluster};
use lab::process::Process;
use lab::topology::{Family, Topology};

use crate::cluster::VARIABLE;

const LABELS: [&str; 3] = ["etcd-0", "etcd-1", "etcd-2"];
/// How long a controller and its agent may take to find each other.
const SOON: Duration = Duration::from_secs(20);
/// How long an experiment may take.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(50);

/// Everything that the experiments act on. Goes away with its handle, in this order.
#[derive(Debug)]
pub(crate) struct Scene {
    _agent: Process,
    _controller: Process,
    cluster: Cluster,
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

impl Scene {
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
        let topology = Topology::hub(&LABELS)?;
        let cluster = Cluster::start(&topology, LABELS.len())?;
        let estate = Estate::create(&binaries, &topology, "")?;
        let controller = quiet(estate.controller(), &directory.path().join("controller.log"))?;
        let first = topology.nodes().first().context("no node")?;
        let agent = quiet(estate.agent_of_all(first), &directory.path().join("agent.log"))?;
        let scene = Self {
            _agent: agent,
            _controller: controller,
            cluster,
            estate,
            topology,
            binaries,
            directory,
        };
        scene.await_agent()?;
        scene.calm()?;
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

    /// Waits until there is a leader and all members are healthy.
    ///
    /// # Errors
    /// They are not in time.
    pub(crate) fn calm(&self) -> Result<()> {
        self.cluster.wait_leader(1, SOON)?;
        (0..LABELS.len()).try_for_each(|member| self.cluster.wait_healthy(member, SOON))?;
        Ok(())
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
        let members =
            self.topology.nodes().iter().map(|node| {
                format!("{}={}", node.label, node.socket_address(Family::V4, CLIENT_PORT))
            });
        command.env(VARIABLE, members.collect::<Vec<_>>().join(","));
        command.current_dir(directory.path()).args(["run", "--journal", "journal.json"]);
        for (name, value) in values {
            command.arg("--var").arg(format!("{name}={value}"));
        }
        command.arg(file);
        let log = directory.path().join("said");
        let process = quiet(command, &log)?;
        ensure!(process.wait_end(PATIENCE), "{} does not end", file.display());
        let code = process.stop()?.code().unwrap_or(-1);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let journal = read(&directory.path().join("journal.json"));
        Ok(Ended { code, journal, said: read(&log) })
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

fn quiet(mut command: Command, log: &Path) -> Result<Process> {
    let file = std::fs::File::create(log).with_context(|| log.display().to_string())?;
    command.stdout(file.try_clone()?).stderr(file);
    Ok(Process::start(&mut command)?)
}

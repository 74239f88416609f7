//! Agents and a controller that run, and commands that go through it.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{estate, process::Process, topology::Topology};
use serde_json::Value;

use crate::{
    page::Page,
    quantity::time,
    scene::Scene,
    schism::{Finished, PATIENCE},
};

/// Between two looks at who has dialled.
const LOOK: Duration = Duration::from_millis(50);

/// A controller on the hub and an agent on every node. Agents end first.
#[derive(Debug)]
pub(crate) struct Estate<'a> {
    agents: Vec<Process>,
    controller: Option<Process>,
    files: estate::Estate,
    scene: &'a Scene,
}

impl<'a> Estate<'a> {
    /// Starts everything, and waits until all agents have dialled.
    pub(crate) fn open(scene: &'a Scene, topology: &Topology) -> Result<Self> {
        let binaries = scene.schism.program().parent().unwrap_or(Path::new("/"));
        let files = estate::Estate::create(binaries, topology, "")?;
        let mut estate = Self { agents: Vec::new(), controller: None, files, scene };
        estate.start_controller()?;
        for node in topology.nodes() {
            estate.agents.push(Process::start(quiet(&mut estate.files.agent(node)))?);
        }
        estate.await_agents()?;
        Ok(estate)
    }

    /// The controller begins, or begins again over its store.
    pub(crate) fn start_controller(&mut self) -> Result<()> {
        self.controller = Some(Process::start(quiet(&mut self.files.controller()))?);
        Ok(())
    }

    /// SIGKILL for the controller.
    pub(crate) fn kill_controller(&mut self) -> Result<()> {
        let controller = self.controller.take().context("the controller runs")?;
        controller.kill()?;
        Ok(())
    }

    /// Waits until every agent is connected.
    pub(crate) fn await_agents(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let agents = self.ask(&["agents", "-o", "json"])?;
            // A controller that has not begun yet says nothing.
            if agents.code == Some(0) {
                let document = agents.document("schism.agents/v1")?;
                let listed = document["agents"].as_array().context("no agents")?;
                let up = listed.iter().filter(|agent| agent["connected"] == true).count();
                if up == self.agents.len() {
                    return Ok(());
                }
            }
            self.scene.interruption.pause(LOOK)?;
        }
        bail!("not all agents have dialled within {}", time(PATIENCE))
    }

    /// Runs a command as the operator `ada`, over mutual TLS; the words follow `schism`.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Finished> {
        let mut command = self.files.schism_as("ada");
        command.args(words);
        self.scene.schism.launch(command, format!("schism {}", words.join(" ")))?.wait(PATIENCE)
    }

    /// The same, printed as it is typed, and it must do what it says.
    pub(crate) fn does(&self, words: &[&str], page: &mut Page) -> Result<Finished> {
        self.types(words, page)?;
        let finished = self.ask(words)?;
        ensure!(finished.code == Some(0), "{}; it said:\n{}", finished.end(), finished.err);
        Ok(finished)
    }

    /// Prints a command as it is typed.
    pub(crate) fn types(&self, words: &[&str], page: &mut Page) -> Result<()> {
        let typed = std::iter::once("schism").chain(words.iter().copied());
        Ok(page.command(&typed.map(ToOwned::to_owned).collect::<Vec<_>>())?)
    }

    /// The intents that a controller knows, those that ended lately as well.
    pub(crate) fn intents(&self) -> Result<Vec<Value>> {
        let status = self.ask(&["status", "--all", "-o", "json"])?;
        let document = status.document("schism.fleet-status/v1")?;
        Ok(document["intents"].as_array().cloned().unwrap_or_default())
    }
}

/// What agents and controllers log is not part of the tale.
fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null())
}

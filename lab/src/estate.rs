//! Machines under one controller: an etcd member and an agent each, all over mutual TLS.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use thiserror::Error;

use crate::{
    directory::{Directory, DirectoryError},
    topology::{Family, Node, Topology},
};

/// Where agents dial.
const AGENTS: u16 = 7070;
/// Where commands dial.
const CONTROL: u16 = 7071;
/// Who may command, by name and role.
const USERS: [(&str, &str); 2] = [("ada", "operator"), ("eve", "viewer")];

/// Why an estate could not be made.
#[derive(Debug, Error)]
pub enum EstateError {
    /// No directory for its files.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A file could not be written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `schism certs` did not do it.
    #[error("`schism certs {line}`: {said}")]
    Certificate {
        /// What was asked.
        line: String,
        /// What it said.
        said: String,
    },
    /// A topology without a hub has no place for the controller.
    #[error("the topology has no hub for the controller")]
    NoHub,
}

/// Certificates, settings, and the commands that use them. Nothing runs in it by itself.
///
/// The controller's place is the hub. Each agent is on a machine of its own: it sees its node's network
/// namespace as the host's, and nothing of the other nodes.
#[derive(Debug)]
pub struct Estate {
    binaries: PathBuf,
    hub: Node,
    directory: Directory,
}

impl Estate {
    /// Issues certificates for a controller, for an agent on each node, and for two users: `ada`, an
    /// operator, and `eve`, a viewer. Writes a `schism.toml` that asks etcd at the first node;
    /// `settings` is added to it.
    ///
    /// # Errors
    /// A file could not be written, or `schism` is not in the directory of binaries.
    pub fn create(
        binaries: &Path,
        topology: &Topology,
        settings: &str,
    ) -> Result<Self, EstateError> {
        let first = topology.nodes().first().or(topology.hub_node()).ok_or(EstateError::NoHub)?;
        let endpoint = first.socket_address(Family::V4, crate::etcd::CLIENT_PORT);
        let asked = format!("[etcd]\nendpoints = [\"http://{endpoint}\"]\n{settings}");
        Self::bare(binaries, topology, &asked)
    }

    /// The same, but its `schism.toml` names no cluster except those of `settings`.
    ///
    /// # Errors
    /// As there.
    pub fn bare(binaries: &Path, topology: &Topology, settings: &str) -> Result<Self, EstateError> {
        let hub = topology.hub_node().ok_or(EstateError::NoHub)?.clone();
        let directory = Directory::create("estate")?;
        let estate = Self { binaries: binaries.to_owned(), hub, directory };
        let mut lines =
            vec!["init".to_owned(), format!("issue controller c1 --host {}", estate.hub.v4)];
        lines.extend(USERS.map(|(name, role)| format!("issue user {name} --role {role}")));
        lines.extend(topology.nodes().iter().map(|node| format!("issue agent {}", node.label)));
        lines.iter().try_for_each(|line| estate.certify(line))?;
        estate.settle(settings)?;
        Ok(estate)
    }

    /// A file of the estate.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `schism serve`, on the hub.
    #[must_use]
    pub fn controller(&self) -> Command {
        let mut command = self.hub.namespace.exec(&self.binary("schism"));
        command.arg("serve").arg("--config").arg(self.path("schism.toml"));
        command
    }

    /// The agent of a node, on a machine of its own (see [`crate::netns::Namespace::machine`]).
    #[must_use]
    pub fn agent(&self, node: &Node) -> Command {
        let mut command = node.namespace.machine(&self.binary("schism-agent"));
        self.dials(&mut command, node);
        command
    }

    /// An agent on the controller's machine, which sees every node's network namespace by its name. It has the
    /// certificate of the first node.
    #[must_use]
    pub fn agent_of_all(&self, first: &Node) -> Command {
        let mut command = self.hub.namespace.exec(&self.binary("schism-agent"));
        command.arg("--controller").arg(self.hub.socket_address(Family::V4, AGENTS).to_string());
        command.arg("--node").arg(&first.label);
        command.arg("--socket").arg(self.path("agent.sock"));
        self.shows(&mut command, &first.label);
        command
    }

    /// `schism` on the controller's machine, in its network, by its unix socket.
    #[must_use]
    pub fn schism_inside(&self) -> Command {
        let mut command = self.hub.namespace.exec(&self.binary("schism"));
        command.arg("--config").arg(self.path("schism.toml"));
        command
    }

    /// `schism` on the controller's machine, by its unix socket.
    #[must_use]
    pub fn schism(&self) -> Command {
        let mut command = Command::new(self.binary("schism"));
        command.arg("--config").arg(self.path("schism.toml"));
        command
    }

    /// `schism` as a user with a certificate, over TCP.
    #[must_use]
    pub fn schism_as(&self, user: &str) -> Command {
        let mut command = self.hub.namespace.exec(&self.binary("schism"));
        let address = self.hub.socket_address(Family::V4, CONTROL);
        command.arg("--controller").arg(format!("tcp:{address}"));
        self.shows(&mut command, user);
        command
    }

    fn binary(&self, name: &str) -> String {
        self.binaries.join(name).display().to_string()
    }

    fn dials(&self, command: &mut Command, node: &Node) {
        command.arg("--controller").arg(self.hub.socket_address(Family::V4, AGENTS).to_string());
        command.arg("--node").arg(&node.label);
        command.arg("--socket").arg(self.path(&format!("{}.sock", node.label)));
        self.shows(command, &node.label);
    }

    fn shows(&self, command: &mut Command, who: &str) {
        let files = [
            ("--ca", "ca.pem".to_owned()),
            ("--certificate", format!("{who}.pem")),
            ("--key", format!("{who}.key")),
        ];
        for (option, name) in files {
            command.arg(option).arg(self.path("certs").join(name));
        }
    }

    fn certify(&self, line: &str) -> Result<(), EstateError> {
        let failed = |said: String| EstateError::Certificate { line: line.to_owned(), said };
        let mut command = Command::new(self.binary("schism"));
        command.arg("certs").args(line.split(' ')).arg("--dir").arg(self.path("certs"));
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// One file for the controller and for those who ask it.
    fn settle(&self, settings: &str) -> Result<(), EstateError> {
        let host = self.hub.v4;
        let text = format!(
            "[serve]\nstate = \"state\"\nsocket = \"control.sock\"\n\
             listen-agents = \"{host}:{AGENTS}\"\nlisten-control = \"{host}:{CONTROL}\"\n\
             ca = \"certs/ca.pem\"\ncertificate = \"certs/c1.pem\"\nkey = \"certs/c1.key\"\n\
             issued = \"certs/issued\"\n\
             [controller]\naddress = \"unix:{}\"\n\
             {settings}\n",
            self.path("control.sock").display(),
        );
        let path = self.path("schism.toml");
        fs::write(&path, text).map_err(|source| EstateError::File { path, source })
    }
}

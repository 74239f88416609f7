//! An etcd cluster with an agent beside each member, and a controller, all over mutual TLS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lab::clock::BootTime;
use lab::etcd::Cluster;
use lab::topology::Topology;
use nix::sys::signal::Signal;

use crate::running::{Ended, Running};

/// How long a cluster may take to elect somebody, and agents to dial.
const SOON: Duration = Duration::from_secs(20);

/// Everything that runs, in the order in which it is to end.
pub(crate) struct Estate {
    agents: Vec<Running>,
    controller: Option<Running>,
    pub(crate) etcd: Cluster,
    files: lab::estate::Estate,
    pub(crate) lab: Topology,
}

impl Estate {
    /// A cluster with these members, each on a machine of its own; `settings` are the controller's.
    pub(crate) fn of(members: &[&str], settings: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        let binaries = Path::new(env!("CARGO_BIN_EXE_schism")).parent().unwrap();
        let agent = binaries.join("schism-agent");
        assert!(agent.exists(), "schism-agent is not built: `cargo build -p agent` does it");
        let lab = Topology::hub(members).unwrap();
        let etcd = Cluster::start(&lab, members.len()).unwrap();
        let files = lab::estate::Estate::create(binaries, &lab, settings).unwrap();
        let mut estate = Self { agents: Vec::new(), controller: None, etcd, files, lab };
        estate.start_controller();
        for node in estate.lab.nodes() {
            let agent = Running::start(estate.files.agent(node));
            agent.says("agent serves");
            estate.agents.push(agent);
        }
        estate.await_agents(members.len());
        estate
    }

    pub(crate) fn start_controller(&mut self) {
        let controller = Running::start(self.files.controller());
        controller.says("commands dial");
        self.controller = Some(controller);
    }

    /// The controller dies as it stands.
    pub(crate) fn kill_controller(&mut self) {
        let controller = self.controller.take().unwrap();
        controller.signal(Signal::SIGKILL);
        assert_eq!(controller.ended().code, None);
    }

    /// Waits until so many agents are connected.
    pub(crate) fn await_agents(&self, count: usize) {
        let began = BootTime::now();
        loop {
            let agents = self.run("agents");
            if agents.stdout.matches(" up ").count() == count {
                return;
            }
            assert!(began.elapsed() < SOON, "{agents:?}");
        }
    }

    /// `schism` on the controller's machine.
    pub(crate) fn begin(&self, line: &str) -> Running {
        spoken(self.files.schism(), line)
    }

    /// The same, to its end.
    pub(crate) fn run(&self, line: &str) -> Ended {
        self.begin(line).ended()
    }

    /// `schism` as a user with a certificate, to its end.
    pub(crate) fn run_as(&self, user: &str, line: &str) -> Ended {
        spoken(self.files.schism_as(user), line).ended()
    }

    /// The name of the member that leads.
    pub(crate) fn leader(&self) -> String {
        let (leader, _) = self.etcd.wait_leader(1, SOON).unwrap();
        self.etcd.node(leader).label.clone()
    }

    /// The lines of the audit.
    pub(crate) fn audit(&self) -> String {
        std::fs::read_to_string(self.files.path("state/archive/audit.jsonl")).unwrap()
    }
}

fn spoken(mut command: Command, line: &str) -> Running {
    command.args(line.split_whitespace());
    Running::start(command)
}

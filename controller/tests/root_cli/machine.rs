//! Namespaces, a socket of the test's own, and the commands that use them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lab::clock::BootTime;
use lab::directory::Directory;
use lab::topology::{Family, Node, Topology};
use lab::traffic::{Delivery, Pinger, Probe, Protocol};

use crate::running::{Ended, Running};

/// How soon traffic must stop or come back where the kernel is told at once. The leases of these tests
/// are ten times as long, so that one that runs out is no way to pass.
pub(crate) const SOON: Duration = Duration::from_millis(1_500);

/// A machine as one test sees it.
pub(crate) struct Machine {
    lab: Topology,
    directory: Directory,
}

impl Machine {
    /// Namespaces `a` and `b`.
    pub(crate) fn pair() -> Self {
        Self::over(Topology::pair())
    }

    /// Namespaces with these labels.
    pub(crate) fn hub(labels: &[&str]) -> Self {
        Self::over(Topology::hub(labels))
    }

    fn over(lab: Result<Topology, lab::topology::TopologyError>) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        Self { lab: lab.unwrap(), directory: Directory::create("cli").unwrap() }
    }

    pub(crate) fn node(&self, label: &str) -> &Node {
        &self.lab[label]
    }

    /// Where nothing but the socket and the lock of an agent ever is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn socket(&self) -> PathBuf {
        self.directory().join("agent.sock")
    }

    /// `schism` with these words, where `@a` stands for the selector of the namespace `a`.
    pub(crate) fn begin(&self, line: &str) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
        let words = line.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(label) => format!("netns:{}", self.node(label).namespace.name()),
            None => word.to_owned(),
        });
        command.args(words).env("SCHISM_AGENT_SOCKET", self.socket());
        command.current_dir(self.directory());
        Running::start(command)
    }

    /// The same, to its end.
    pub(crate) fn run(&self, line: &str) -> Ended {
        self.begin(line).ended()
    }

    /// The same, until its cut acts.
    pub(crate) fn cut(&self, line: &str) -> Running {
        let running = self.begin(line);
        running.says(", seed ");
        running
    }

    /// `schism-agent`, ready to serve.
    pub(crate) fn daemon(&self) -> Running {
        self.daemon_by(|program| Command::new(program))
    }

    /// The same, by a command that is made of its path.
    pub(crate) fn daemon_by(&self, command: impl FnOnce(&str) -> Command) -> Running {
        let running = self.start_daemon(command);
        running.says("agent serves");
        running
    }

    /// The same, which may not come to serve.
    pub(crate) fn start_daemon(&self, command: impl FnOnce(&str) -> Command) -> Running {
        let program = Path::new(env!("CARGO_BIN_EXE_schism")).with_file_name("schism-agent");
        assert!(program.exists(), "schism-agent is not built: `cargo build -p agent` does it");
        let mut command = command(program.to_str().unwrap());
        command.env("SCHISM_AGENT_SOCKET", self.socket());
        Running::start(command)
    }

    /// Twenty datagrams from one namespace to another.
    pub(crate) fn datagrams(&self, from: &str, to: &str) -> Delivery {
        Probe::new(self.node(from), self.node(to), Protocol::Udp).run().unwrap()
    }

    /// A datagram every millisecond.
    pub(crate) fn stream(&self, from: &str, to: &str) -> Pinger {
        let every = Duration::from_millis(1);
        Pinger::start(self.node(from), self.node(to), Family::V4, every).unwrap()
    }

    /// Checks that nothing was left behind: no file, and nothing in the kernel that nobody holds.
    pub(crate) fn is_clean(&self) {
        let files: Vec<_> = std::fs::read_dir(self.directory()).unwrap().collect();
        assert!(files.is_empty(), "left behind: {files:?}");
        self.finds_no_residue();
    }

    /// Waits until nothing is in the kernel that nobody holds: it frees programs a little after their
    /// last holder, also those of tests that run beside this one.
    pub(crate) fn finds_no_residue(&self) -> Ended {
        let since = BootTime::now();
        loop {
            let residue = self.run("residue");
            if residue.code == Some(0) {
                return residue;
            }
            assert!(since.elapsed() < Duration::from_secs(5), "{residue:?}");
        }
    }
}

/// Waits until a stream is silent.
pub(crate) fn falls_silent(stream: &Pinger) {
    assert!(stream.wait_silence(Duration::from_millis(100), SOON), "the traffic does not stop");
}

/// Waits until a stream is heard again, which must be soon after `since`.
pub(crate) fn comes_back(stream: &Pinger, since: BootTime) {
    let arrival = stream.wait_arrival(since, SOON);
    assert!(arrival.is_some(), "the traffic does not come back within {SOON:?}");
}

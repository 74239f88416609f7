//! A Zeebe cluster with an agent that knows all its members, and a controller.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lab::{
    process::Process,
    topology::Topology,
    zeebe::{Cluster, Options, settings},
};
use serde_json::Value;

/// How long agents may take to dial, and a command to end beyond its fault's time.
const SOON: Duration = Duration::from_secs(60);

/// How long a broker that is asked may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Everything that runs, in the order in which it is to end.
pub(crate) struct Estate {
    _agent: Process,
    _controller: Process,
    files: lab::estate::Estate,
    pub(crate) cluster: Cluster,
    pub(crate) lab: Topology,
}

impl Estate {
    pub(crate) fn start(options: Options) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        let binaries = Path::new(env!("CARGO_BIN_EXE_schism")).parent().unwrap();
        let agent = binaries.join("schism-agent");
        assert!(agent.exists(), "schism-agent is not built: `cargo build -p agent` does it");
        let lab = Topology::hub(&["b0", "b1", "b2", "gw"]).unwrap();
        let began = Instant::now();
        let cluster = Cluster::start(&lab, options).unwrap();
        eprintln!("Zeebe was complete after {:.1} s", began.elapsed().as_secs_f64());
        let files = lab::estate::Estate::bare(binaries, &lab, &settings(&lab, options)).unwrap();
        let controller = Process::start(quiet(&mut files.controller())).unwrap();
        let agent = Process::start(quiet(&mut files.agent_of_all(&lab.nodes()[0]))).unwrap();
        let estate = Self { _agent: agent, _controller: controller, files, cluster, lab };
        let began = Instant::now();
        loop {
            let (_, said) = estate.run("agents");
            if said.contains(" up ") {
                return estate;
            }
            assert!(began.elapsed() < SOON, "{said}");
        }
    }

    /// `schism` on the controller's machine.
    pub(crate) fn begin(&self, line: &str) -> Running {
        let mut command = self.files.schism();
        command.args(line.split_whitespace()).stdin(Stdio::null());
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The same, to its end: its code, and all that it said.
    pub(crate) fn run(&self, line: &str) -> (Option<i32>, String) {
        self.begin(line).ended()
    }

    /// `schism zeebe … -o json` in the hub, where the cluster is.
    pub(crate) fn begin_zeebe(&self, line: &str) -> Running {
        let mut command = self.files.schism_inside();
        command.arg("zeebe").args(line.split_whitespace()).args(["-o", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(command.spawn().unwrap())
    }

    /// The same, to its end.
    pub(crate) fn zeebe(&self, line: &str) -> Said {
        self.begin_zeebe(line).said()
    }

    /// The document of what succeeds.
    pub(crate) fn holds(&self, line: &str) -> Value {
        let said = self.zeebe(line);
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
        said.document()
    }

    /// What all brokers together count of something.
    pub(crate) fn counted(&self, metric: &str) -> f64 {
        let of = |broker| self.cluster.broker(broker).counter(metric, &[], ANSWER).unwrap();
        (0..self.cluster.size()).map(of).sum()
    }

    /// How many heartbeats of a partition's leader a broker has missed so far.
    pub(crate) fn missed_heartbeats(&self, partition: u32, broker: usize) -> f64 {
        let number = partition.to_string();
        let mut broker = self.cluster.broker(broker);
        broker
            .counter("atomix_heartbeat_miss_count_total", &[("partition", &number)], ANSWER)
            .unwrap()
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A command that runs.
pub(crate) struct Running(Child);

impl Running {
    /// Its code, and all that it said.
    pub(crate) fn ended(self) -> (Option<i32>, String) {
        let Said { code, out, err } = self.said();
        (code, out + &err)
    }

    /// Waits until it ends.
    pub(crate) fn said(mut self) -> Said {
        let (mut out, mut err) = (String::new(), String::new());
        // Neither fills a pipe.
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Said { code: self.0.wait().unwrap().code(), out, err }
    }

    /// Asks it to end, as Ctrl-C would.
    pub(crate) fn interrupt(&self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that a failing test does not wait for; the fault ends by its lease.
        let _ = self.0.kill();
        let _ = self.0.wait();
        if let Some(mut err) = self.0.stderr.take() {
            let mut said = String::new();
            let _ = err.read_to_string(&mut said);
            eprintln!("the command had said:\n{said}");
        }
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

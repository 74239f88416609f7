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

    /// How many heartbeats of a partition's leader a broker has missed so far.
    pub(crate) fn missed_heartbeats(&self, partition: u32, broker: usize) -> f64 {
        let number = partition.to_string();
        let mut broker = self.cluster.broker(broker);
        broker
            .counter("atomix_heartbeat_miss_count_total", &[("partition", &number)], ANSWER)
            .unwrap()
    }
}

/// A command that runs.
pub(crate) struct Running(Child);

impl Running {
    /// Its code, and all that it said.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let (mut out, mut err) = (String::new(), String::new());
        // Neither fills a pipe.
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.0.wait().unwrap().code(), out + &err)
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

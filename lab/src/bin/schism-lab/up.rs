//! `schism-lab zeebe up`

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{
    estate::Estate,
    interruption::Interruption,
    process::Process,
    topology::{Family, Node, Topology},
    zeebe::{Cluster, GATEWAY_PORT, Java, Options, VERSION, ZeebeError, settings},
};
use nix::unistd::geteuid;

use crate::record::{Place, Record};

/// How long the agent may take to dial its controller.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a cluster of Zeebe may take to be complete.
const START: Duration = Duration::from_secs(180);

/// Between two looks at something that announces nothing.
const LOOK: Duration = Duration::from_millis(200);

/// As a program ends that was asked to, by Ctrl-C or by `down`.
const INTERRUPTED: u8 = 130;

/// Starts everything and keeps it until somebody ends it.
pub(crate) fn run(options: Options) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "the lab makes network namespaces: run it in a root shell");
    // Before anything is made: there is no cluster without it.
    Java::find()?;
    let interruption = Interruption::listen()?;
    let place = Place::claim()?;
    lab::sweep()?;
    let labels: Vec<String> =
        (0..options.brokers).map(|number| format!("b{number}")).chain(["gw".to_owned()]).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let topology = Topology::hub(&labels)?;
    let began = Instant::now();
    eprintln!("Zeebe {VERSION}: {} brokers and a gateway start …", options.brokers);
    let cluster = Cluster::begin(&topology, options)?;
    let running = Running::start(&topology, options, &interruption)?;
    while let Err(error) = cluster.leaders() {
        if began.elapsed() > START {
            // Says it with the last words of a broker.
            cluster.wait_complete(Duration::ZERO)?;
            return Err(error.into());
        }
        interruption.pause(LOOK)?;
    }
    let leaders = settle(&cluster, &interruption)?;
    eprintln!("complete after {:.1} s", began.elapsed().as_secs_f64());
    for (partition, broker) in leaders {
        eprintln!("  partition {partition} is led by b{broker}");
    }
    let hub = topology.hub_node().context("a topology of a hub has one")?;
    place.tell(&Record {
        keeper: place.keeper(),
        hub: hub.namespace.name().to_owned(),
        members: topology.nodes().iter().map(|node| (node.label.clone(), node.v4)).collect(),
    })?;
    tell(&topology, hub, &cluster, &running);
    // Nobody asked for an end yet; a day is as good as any other length.
    while interruption.pause(Duration::from_secs(24 * 60 * 60)).is_ok() {}
    eprintln!("\nending …");
    drop((running, cluster, topology, place));
    Ok(ExitCode::from(INTERRUPTED))
}

/// Leaders where they are by default, if they go there; else where they are.
fn settle(cluster: &Cluster, interruption: &Interruption) -> Result<lab::zeebe::Leaders> {
    interruption.check()?;
    match cluster.rebalance(Duration::from_secs(15)) {
        Ok(leaders) => Ok(leaders),
        Err(ZeebeError::NotComplete { .. }) => Ok(cluster.wait_complete(START)?),
        Err(error) => Err(error.into()),
    }
}

fn tell(topology: &Topology, hub: &Node, cluster: &Cluster, running: &Running) {
    let gateway = cluster.gateway().socket_address(Family::V4, GATEWAY_PORT);
    let (hub, config) = (hub.namespace.name(), running.files.path("schism.toml"));
    eprintln!("\nthe namespaces of the nodes:");
    for node in topology.nodes() {
        eprintln!(
            "  {:<4} {:<12} netns:{}",
            node.label,
            node.v4.to_string(),
            node.namespace.name()
        );
    }
    eprintln!("\nsay `schism --config {} …` to command the agent", config.display());
    eprintln!("and `ip netns exec {hub} …` to reach the gateway at {gateway}");
    eprintln!("`cargo xtask lab zeebe down`, or Ctrl-C here, ends all of it");
}

/// A controller in the hub, and an agent for all nodes. The agent ends first.
#[derive(Debug)]
struct Running {
    _agent: Process,
    _controller: Process,
    files: Estate,
}

impl Running {
    fn start(topology: &Topology, options: Options, interruption: &Interruption) -> Result<Self> {
        let own = std::env::current_exe().context("where this binary lies is not known")?;
        let binaries = own.parent().unwrap_or(Path::new("/"));
        let files = Estate::bare(binaries, topology, &settings(topology, options))?;
        let controller = Process::start(quiet(&mut files.controller()))?;
        // One for all: several on one machine would see the processes of all nodes, and so each own them.
        let first = topology.nodes().first().context("a cluster has nodes")?;
        let agent = Process::start(quiet(&mut files.agent_of_all(first)))?;
        let running = Self { _agent: agent, _controller: controller, files };
        running.await_agent(interruption)?;
        Ok(running)
    }

    fn await_agent(&self, interruption: &Interruption) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let mut agents = self.files.schism();
            let output = agents.args(["agents", "-o", "json"]).output()?;
            let said: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
            let listed = said.as_ref().and_then(|said| said["agents"].as_array());
            if listed.into_iter().flatten().any(|one| one["connected"] == true) {
                return Ok(());
            }
            interruption.pause(LOOK)?;
        }
        bail!("the agent has not dialled within {} s", PATIENCE.as_secs())
    }
}

/// What agents and controllers log is of no use here.
fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

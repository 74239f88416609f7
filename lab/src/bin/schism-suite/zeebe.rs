//! A cluster of Zeebe for experiments, and the steps that know who leads it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::topology::{Family, Node, Topology};
use lab::zeebe::{
    Backups, Broker, Cluster, GATEWAY_PORT, MANAGEMENT_PORT, Options, Role, settings,
};
use serde_json::{Value, json};

use crate::scene::{Measured, System};
use crate::story::output;

/// The variable that names brokers: `NAME=ADDRESS` for each, with commas between.
pub(crate) const VARIABLE: &str = "SUITE_ZEEBE";

/// The variable that says where processes are that experiments deploy.
pub(crate) const MODELS: &str = "SUITE_MODELS";

/// How long a question may take.
const ANSWER: Duration = Duration::from_secs(2);

/// How long leaders may take to be where they are by default, after whatever was done.
const CALM: Duration = Duration::from_secs(120);

/// Between two looks at who leads: nobody announces it.
const LOOK: Duration = Duration::from_millis(100);

/// Who leads which partition, by names.
type Leaders = BTreeMap<u32, String>;

impl System for Cluster {
    const LABELS: &'static [&'static str] = &["b0", "b1", "b2", "gw"];
    const EXPERIMENTS: &'static str = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/zeebe");

    fn start(topology: &Topology) -> Result<(Self, String)> {
        let options = Options { backups: Backups::Hub, ..Options::default() };
        Ok((Self::start(topology, options)?, settings(topology, options)))
    }

    fn prepare(&self, mut schism: Command) -> Result<()> {
        let model = format!("{}/models/idle.bpmn", Self::EXPERIMENTS);
        let output = schism.args(["zeebe", "deploy", "process", &model]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{model} is not deployed: {said}");
        Ok(())
    }

    fn environment(&self, _: &Topology) -> Vec<(&'static str, String)> {
        let member = |node: &Node| format!("{}={}", node.label, node.address(Family::V4));
        let brokers: Vec<String> = (0..self.size()).map(|one| member(self.node(one))).collect();
        let models = format!("{}/models", Self::EXPERIMENTS);
        vec![(VARIABLE, brokers.join(",")), (MODELS, models)]
    }

    fn calm(&self) -> Result<()> {
        self.wait_complete(CALM)?;
        self.rebalance(CALM)?;
        Ok(())
    }

    /// What a load and a worker were told; experiments judge it themselves.
    fn measured(journal: &Value) -> Measured {
        let mut said = Vec::new();
        if let Some(load) = output(&journal["run"], "load") {
            let (due, succeeded) = (&load["due"], &load["succeeded"]);
            let gap = load["longest-gap-ms"].as_f64().unwrap_or_default();
            let p99 = load["latency-ms"]["p99"].as_f64().unwrap_or_default();
            let failures = load["failures"].as_object().into_iter().flatten();
            let failures: Vec<String> =
                failures.map(|(kind, count)| format!("{kind} {count}")).collect();
            let failures =
                if failures.is_empty() { "none".to_owned() } else { failures.join(", ") };
            said.push(format!(
                "{succeeded} of {due} instances (failures: {failures}), p99 {p99:.0} ms, longest gap {gap:.0} ms"
            ));
        }
        if let Some(worker) = output(&journal["run"], "work") {
            said.push(format!(
                "{} of {} jobs completed, {} pushed",
                worker["completed"], worker["taken"], worker["pushed"]
            ));
        }
        if let Some(moved) = output(&journal["run"], "another leads") {
            said.push(format!("another led after {} ms", moved["after-ms"]));
        }
        let said = if said.is_empty() { "-".to_owned() } else { said.join("; ") };
        Measured { well: true, said }
    }
}

/// Brokers as steps know them.
fn brokers() -> Result<BTreeMap<String, IpAddr>> {
    let text = std::env::var(VARIABLE).with_context(|| format!("{VARIABLE} is not set"))?;
    let brokers = text.split(',').map(|one| {
        let (name, address) = one.split_once('=').context("NAME=ADDRESS")?;
        Ok((name.to_owned(), address.parse().context("an address")?))
    });
    brokers.collect()
}

/// Who leads now, by the brokers' own words; the last to say so where several do. A broker that is silent leads
/// nothing.
fn now() -> Result<Leaders> {
    let mut leaders = Leaders::new();
    for (name, address) in brokers()? {
        let mut broker = Broker::from_here(SocketAddr::from((address, MANAGEMENT_PORT)));
        let Ok(own) = broker.partitions(ANSWER) else { continue };
        let leads = own.into_iter().filter(|(_, one)| one.role == Role::Leader);
        leaders.extend(leads.map(|(partition, _)| (partition, name.clone())));
    }
    Ok(leaders)
}

fn kept(file: &str) -> Result<Leaders> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    serde_json::from_str(&text).with_context(|| file.to_owned())
}

/// Notes who leads.
pub(crate) fn leaders(file: &str) -> Result<(bool, Value)> {
    let leaders = now()?;
    fs::write(file, serde_json::to_string(&leaders)?).with_context(|| file.to_owned())?;
    Ok((!leaders.is_empty(), json!(leaders)))
}

/// Whether those still lead that were noted.
pub(crate) fn unmoved(file: &str) -> Result<(bool, Value)> {
    let (before, after) = (kept(file)?, now()?);
    Ok((before == after, json!({"before": before, "after": after})))
}

/// Waits until a partition is led by another one than was noted.
pub(crate) fn moved(partition: u32, file: &str, limit: Duration) -> Result<(bool, Value)> {
    let (before, began) = (kept(file)?, Instant::now());
    let before = before.get(&partition).context("nobody led that partition")?;
    loop {
        let after = now()?.remove(&partition);
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if after.as_ref().is_some_and(|after| after != before) {
            return Ok((true, json!({"before": before, "after": after, "after-ms": took})));
        }
        if began.elapsed() > limit {
            return Ok((false, json!({"before": before, "after": after, "after-ms": took})));
        }
        std::thread::sleep(LOOK);
    }
}

/// Becomes `schism zeebe`, through the gateway in the broker that was noted as the leader of a partition.
pub(crate) fn through(partition: u32, file: &str, words: &[&str]) -> Result<(bool, Value)> {
    let leaders = kept(file)?;
    let leader = leaders.get(&partition).context("nobody led that partition")?;
    let brokers = brokers()?;
    let address = brokers.get(leader).context("no such broker")?;
    let mut schism = Command::new("schism");
    let gateway = SocketAddr::from((*address, GATEWAY_PORT)).to_string();
    schism.args(["zeebe", "--gateway", &gateway]).args(words).args(["-o", "json"]);
    bail!("schism: {}", schism.exec())
}

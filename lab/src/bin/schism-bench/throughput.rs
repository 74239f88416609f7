//! What a flow that no fault concerns pays for the faults beside it.

use anyhow::{Context as _, Result};
use lab::process::Process;
use lab::topology::{Family, Topology};

use crate::Effort;
use crate::node::Agent;
use crate::report::{Report, Verdict};

/// iperf3 over a veth, with and without 64 faults on the receiver, in turns.
pub(crate) async fn untouched(effort: Effort, report: &mut Report) -> Result<()> {
    let lab = Topology::pair()?;
    let mut agent = Agent::start().await?;
    let server = lab["b"].address(Family::V4).to_string();
    let mut serve = lab["b"].namespace.exec("iperf3");
    serve.args(["--server", "--bind", &server]).stdout(std::process::Stdio::null());
    let _server = Process::start(&mut serve)?;
    let mut without = Vec::new();
    let mut with = Vec::new();
    for _ in 0..effort.times(10) {
        without.push(flow(&lab, &server)?);
        let mut ids = Vec::new();
        for last in 0..64 {
            let stranger = format!("192.0.2.{last}").parse().context("an address")?;
            let fault = agent.fault_of(vec![stranger], &lab["b"]).await?;
            agent.prepare(&fault).await?;
            agent.commit(fault.id).await?;
            ids.push(fault.id);
        }
        agent.settle().await?;
        with.push(flow(&lab, &server)?);
        for id in ids {
            agent.heal(id).await?;
        }
    }
    let middle = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (without, with) = (middle(&mut without), middle(&mut with));
    report.add(
        "iperf3 over veth, with 64 faults / without",
        "≥ 0.97",
        format!("{:.3} ({:.1} / {:.1} Gbit/s)", with / without, with / 1e9, without / 1e9),
        Verdict::of(with / without >= 0.97),
    );
    Ok(())
}

/// Bits per second of two seconds.
fn flow(lab: &Topology, server: &str) -> Result<f64> {
    let mut client = lab["a"].namespace.exec("iperf3");
    client.args(["--client", server, "--time", "2", "--json"]);
    for _ in 0..50 {
        let output = client.output().context("run iperf3")?;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        if let Some(rate) = answer["end"]["sum_received"]["bits_per_second"].as_f64() {
            return Ok(rate);
        }
        // The server takes one client at a time, and a moment to begin.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("iperf3 gives no result")
}

//! How fast a cut comes and goes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use fault::{Fault, LeaseTerms};
use lab::clock::BootTime;
use lab::topology::{Family, Topology};
use lab::traffic::Pinger;
use nix::sys::signal::Signal;

use crate::Effort;
use crate::node::Agent;
use crate::report::{Report, Verdict};
use crate::statistics::{Sample, ms};

const PING: Duration = Duration::from_micros(100);
const LIMIT: Duration = Duration::from_secs(3);

/// From the commit call to its answer: verified in the kernel, gRPC included.
pub(crate) async fn commits(effort: Effort, report: &mut Report) -> Result<()> {
    let lab = Topology::pair()?;
    let mut agent = Agent::start().await?;
    let (mut prepares, mut measured) = (Vec::new(), Vec::new());
    for _ in 0..effort.times(1_000) {
        let fault = agent.fault(&lab["a"], &lab["b"]).await?;
        let began = Instant::now();
        agent.prepare(&fault).await?;
        prepares.push(began.elapsed());
        let began = Instant::now();
        agent.commit(fault.id).await?;
        measured.push(began.elapsed());
        agent.heal(fault.id).await?;
    }
    let (sample, prepare) = (Sample::new(measured), Sample::new(prepares));
    let (median, p99) = (sample.median(), sample.quantile(0.99));
    let reached = median <= Duration::from_millis(3) && p99 <= Duration::from_millis(15);
    report.add(
        "commit call until verified in the kernel",
        "median ≤ 3 ms, p99 ≤ 15 ms",
        format!("median {}, p99 {} (n = {})", ms(median), ms(p99), sample.count()),
        Verdict::of(reached),
    );
    report.add(
        "prepare call, object loaded anew each time",
        "",
        format!("median {}, p99 {}", ms(prepare.median()), ms(prepare.quantile(0.99))),
        Verdict::Shown,
    );
    Ok(())
}

/// Waits until nothing arrives any more.
fn await_silence(pinger: &Pinger) -> Result<()> {
    anyhow::ensure!(pinger.wait_silence(Duration::from_millis(5), LIMIT), "the cut does not act");
    Ok(())
}

/// From the heal call to the first datagram that arrives.
pub(crate) async fn heals(effort: Effort, report: &mut Report) -> Result<()> {
    let lab = Topology::pair()?;
    let mut agent = Agent::start().await?;
    let pinger = Pinger::start(&lab["a"], &lab["b"], Family::V4, PING)?;
    let mut measured = Vec::new();
    for _ in 0..effort.times(100) {
        let fault = agent.fault(&lab["a"], &lab["b"]).await?;
        agent.prepare(&fault).await?;
        agent.commit(fault.id).await?;
        await_silence(&pinger)?;
        let called = BootTime::now();
        agent.heal(fault.id).await?;
        let passed = pinger.wait_arrival(called, LIMIT).context("traffic does not come back")?;
        measured.push(passed - called);
    }
    let sample = Sample::new(measured);
    report.add(
        "heal until the first packet passes",
        "median ≤ 3 ms",
        format!(
            "median {}, worst {} (n = {})",
            ms(sample.median()),
            ms(sample.worst()),
            sample.count()
        ),
        Verdict::of(sample.median() <= Duration::from_millis(3)),
    );
    Ok(())
}

/// From the lease's end to the first datagram that arrives, with the agent alive and stopped.
pub(crate) async fn expiries(effort: Effort, report: &mut Report) -> Result<()> {
    for (name, stopped) in [("alive", false), ("stopped", true)] {
        let lab = Topology::pair()?;
        let mut measured = Vec::new();
        for _ in 0..effort.times(20) {
            let mut agent = Agent::start().await?;
            let pinger = Pinger::start(&lab["a"], &lab["b"], Family::V4, PING)?;
            let second = Duration::from_secs(1);
            let terms = LeaseTerms::new(second, 10 * second)?;
            let fault = Fault { terms, ..agent.fault(&lab["a"], &lab["b"]).await? };
            agent.prepare(&fault).await?;
            let status = agent.commit(fault.id).await?;
            if stopped {
                agent.process.signal(Signal::SIGSTOP)?;
            }
            let end = BootTime::from_nanos(status.lease_end);
            let passed = pinger.wait_arrival(end, LIMIT).context("traffic does not come back")?;
            measured.push(passed - end);
            agent.process.signal(Signal::SIGCONT)?;
        }
        let sample = Sample::new(measured);
        report.add(
            &format!("first packet after lease end, agent {name}"),
            "≤ 1 ms late",
            format!(
                "median {}, worst {} (n = {}; one packet every 0.1 ms)",
                ms(sample.median()),
                ms(sample.worst()),
                sample.count()
            ),
            Verdict::of(sample.worst() <= Duration::from_millis(1)),
        );
    }
    Ok(())
}

/// From SIGKILL of the agent to the first datagram that arrives.
pub(crate) async fn kills(effort: Effort, report: &mut Report) -> Result<()> {
    let lab = Topology::pair()?;
    let mut measured = Vec::new();
    for _ in 0..effort.times(30) {
        let mut agent = Agent::start().await?;
        let pinger = Pinger::start(&lab["a"], &lab["b"], Family::V4, PING)?;
        let fault = agent.fault(&lab["a"], &lab["b"]).await?;
        agent.prepare(&fault).await?;
        agent.commit(fault.id).await?;
        await_silence(&pinger)?;
        let killed = BootTime::now();
        agent.process.signal(Signal::SIGKILL)?;
        let passed = pinger.wait_arrival(killed, LIMIT).context("traffic does not come back")?;
        measured.push(passed - killed);
    }
    let sample = Sample::new(measured);
    report.add(
        "SIGKILL of the agent until the first packet passes",
        "≤ 100 ms",
        format!(
            "median {}, worst {} (n = {})",
            ms(sample.median()),
            ms(sample.worst()),
            sample.count()
        ),
        Verdict::of(sample.worst() <= Duration::from_millis(100)),
    );
    Ok(())
}

//! What a controller of a thousand agents takes: its own process, and the agents in another one with
//! kernels in memory. Real gRPC over mutual TLS on loopback.

pub(crate) mod crowd;
mod house;
mod relay;

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use proto::control::Stage;

use crate::Effort;
use crate::footprint::{MEBIBYTE, USER_HZ, resident, ticks};
use crate::report::{Report, Verdict};
use crate::statistics::{Sample, ms};
use house::House;
use relay::Relay;

/// All agents at the end.
const MOST: usize = 1_000;
/// Fewer, first.
const SOME: usize = 100;

/// Every row.
pub(crate) async fn everything(effort: Effort, report: &mut Report) -> Result<()> {
    let mut house = House::open(MOST + 1).await?;
    let _some = house.invite(0..SOME, None).await?;
    starts(&mut house, SOME, Duration::from_millis(150), effort.times(200), report).await?;
    let _rest = house.invite(SOME..MOST, None).await?;
    idle(&house, effort, report).await?;
    starts(&mut house, MOST, Duration::from_secs(1), effort.times(50), report).await?;
    link(&mut house, effort, report).await?;
    commands(&mut house, effort.times(50), report).await
}

/// From what is asked until the last of all agents has read back that it acts.
async fn starts(
    house: &mut House,
    agents: usize,
    most: Duration,
    times: usize,
    report: &mut Report,
) -> Result<()> {
    let (mut applied, mut healed) = (Vec::new(), Vec::new());
    let mut worst_spread = Duration::ZERO;
    for _ in 0..times {
        let began = Instant::now();
        let intent = house.cut("addr:192.0.2.0/24", "all:netns:shared").await?;
        applied.push(began.elapsed());
        ensure!(intent.stage() == Stage::Active, "{:?}: {}", intent.stage(), intent.reason);
        ensure!(intent.parts.len() == agents, "{} parts", intent.parts.len());
        let spread = intent.spread.context("no spread")?;
        let spread = Duration::from_nanos(spread.achieved_ns + spread.error_ns);
        worst_spread = worst_spread.max(spread);
        let began = Instant::now();
        house.heal(intent.id).await?;
        healed.push(began.elapsed());
    }
    let (applied, healed) = (Sample::new(applied), Sample::new(healed));
    let p99 = applied.quantile(0.99);
    report.add(
        &format!("plan until verified on the last of {agents} agents"),
        &format!("p99 ≤ {} ms", most.as_millis()),
        format!("median {}, p99 {} (n = {})", ms(applied.median()), ms(p99), applied.count()),
        Verdict::of(p99 <= most),
    );
    report.add(
        &format!("their heal, confirmed by the last of {agents} agents"),
        "",
        format!("median {}, p99 {}", ms(healed.median()), ms(healed.quantile(0.99))),
        Verdict::Shown,
    );
    report.add(
        &format!("their starts, first to last of {agents}, with the stated error"),
        "",
        format!("worst {}", ms(worst_spread)),
        Verdict::Shown,
    );
    Ok(())
}

/// Memory and CPU of a controller to which all agents are connected.
async fn idle(house: &House, effort: Effort, report: &mut Report) -> Result<()> {
    let watched = Duration::from_secs(effort.times(60) as u64);
    let pid = house.controller.id();
    // What letting everybody in has left under way.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let before = ticks(pid)?;
    tokio::time::sleep(watched).await;
    let share = (ticks(pid)? - before) as f64 / USER_HZ / watched.as_secs_f64() * 100.0;
    let resident = resident(pid)? / MEBIBYTE;
    report.add(
        &format!("controller with {MOST} agents, idle"),
        "≤ 100 MiB resident, ≤ 3 % of a core",
        format!("{resident:.1} MiB, {share:.1} % of a core over {} s", watched.as_secs()),
        Verdict::of(resident <= 100.0 && share <= 3.0),
    );
    Ok(())
}

/// Bytes on the wire of one agent that has nothing to do, TLS included.
async fn link(house: &mut House, effort: Effort, report: &mut Report) -> Result<()> {
    let watched = Duration::from_secs(effort.times(120) as u64);
    let relay = Relay::open(house.agents).await?;
    let _one = house.invite(MOST..MOST + 1, Some(relay.address)).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let before = relay.counted();
    tokio::time::sleep(watched).await;
    let after = relay.counted();
    let rate = |way: usize| (after[way] - before[way]) as f64 / 1_000.0 / watched.as_secs_f64();
    report.add(
        "link of an agent, idle",
        "≤ 0.15 KB/s each way",
        format!("{:.3} KB/s to it, {:.3} KB/s from it", rate(0), rate(1)),
        Verdict::of(rate(0) <= 0.15 && rate(1) <= 0.15),
    );
    Ok(())
}

/// A whole command that puts a cut in on two nodes, and ends.
async fn commands(house: &mut House, times: usize, report: &mut Report) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..times {
        let mut command = house.schism();
        command.args(["cut", "netns:shared@n1", "netns:shared@n2", "--both-ways", "--detach"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let status = command.status().context("run schism")?;
        took.push(began.elapsed());
        ensure!(status.success(), "schism cut: {status}");
        house.heal_all().await?;
    }
    let took = Sample::new(took);
    report.add(
        "`schism cut` over two nodes with a controller, the whole process",
        "≤ 100 ms",
        format!(
            "median {}, p99 {}; it acts up to 20 ms later, on both at once (n = {})",
            ms(took.median()),
            ms(took.quantile(0.99)),
            took.count()
        ),
        Verdict::of(took.quantile(0.99) <= Duration::from_millis(100)),
    );
    Ok(())
}

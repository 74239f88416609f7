//! What an idle agent costs, and how large the programs are.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::node::{Agent, sibling};
use crate::report::{Report, Verdict};

const WATCHED: Duration = Duration::from_secs(10);
pub(crate) const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// Clock ticks in a second, as every Linux that we know has them (USER_HZ).
pub(crate) const USER_HZ: f64 = 100.0;

/// Memory and CPU of an agent that has nothing to do, and the sizes of the programs.
pub(crate) async fn idle(report: &mut Report) -> Result<()> {
    let agent = Agent::start().await?;
    let pid = agent.process.id();
    agent.settle().await?;
    let before = ticks(pid)?;
    // The goal names this time: the agent is left alone for as long.
    tokio::time::sleep(WATCHED).await;
    let used = ticks(pid)? - before;
    let resident = resident(pid)?;
    let fits = resident <= 15.0 * MEBIBYTE && used == 0;
    report.add(
        "agent, idle",
        "≤ 15 MiB resident, no measurable CPU in 10 s",
        format!("{:.1} MiB resident, {used} clock ticks in 10 s", resident / MEBIBYTE),
        Verdict::of(fits),
    );
    for (name, most) in [("schism-agent", Some(12.0)), ("schism", None)] {
        let size =
            std::fs::metadata(sibling(name)?).context("look at the program")?.len() as f64 / 1e6;
        let goal = most.map_or(String::new(), |most| format!("≤ {most} MB"));
        let verdict = most.map_or(Verdict::Shown, |most| Verdict::of(size <= most));
        report.add(&format!("`{name}`, stripped"), &goal, format!("{size:.1} MB"), verdict);
    }
    Ok(())
}

/// CPU time in clock ticks.
pub(crate) fn ticks(pid: u32) -> Result<u64> {
    ticks_in(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?)
}

/// The same by what stands in /proc/PID/stat (fields 14 and 15).
pub(crate) fn ticks_in(stat: &str) -> Result<u64> {
    let (_, fields) = stat.rsplit_once(')').context("stat without a name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next().context("stat is short")?.parse::<u64>().context("stat");
    Ok(next()? + next()?)
}

/// Resident memory, bytes.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    resident_in(&std::fs::read_to_string(format!("/proc/{pid}/status"))?)
}

/// The same by what stands in /proc/PID/status.
pub(crate) fn resident_in(status: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024.0)
}

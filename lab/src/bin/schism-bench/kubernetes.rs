//! What an installation in a real Kubernetes cluster of two nodes takes, and then with a hundred more nodes, which
//! kwok plays, whose agents have kernels in memory. Images are the product's.

pub(crate) mod crowd;
mod mass;
mod site;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::directory::Directory;

use crate::Effort;
use crate::footprint::MEBIBYTE;
use crate::report::{Report, Verdict};
use crate::statistics::{Sample, ms};
use site::{Process, Site};

/// What a cut in the cluster is typed as; `--detach` ends once it acts on both nodes.
const CUT: &str = "cut pod/left pod/right --mode initiator --for 60s --detach -n default";

/// Every row, with the static programs of a directory.
pub(crate) fn everything(effort: Effort, programs: &Path, report: &mut Report) -> Result<()> {
    let files = Directory::create("bench")?;
    sizes(programs, files.path(), report)?;
    let mut site = Site::open(programs, files.path())?;
    commands(&site, effort.times(50), report)?;
    agent(&site, effort, report)?;
    mass::everything(&mut site, effort, report)
}

/// Archives as they are pushed and loaded: one layer, not compressed.
fn sizes(programs: &Path, files: &Path, report: &mut Report) -> Result<()> {
    for (image, name, most) in site::images(programs)?.into_iter().map(|(image, name)| {
        let most = if name == "agent" { 15.0 } else { 25.0 };
        (image, name, most)
    }) {
        let length = image.write(&files.join("image.tar"))? as f64 / 1e6;
        report.add(
            &format!("image of the {name}, not compressed"),
            &format!("≤ {most} MB"),
            format!("{length:.1} MB"),
            Verdict::of(length <= most),
        );
    }
    Ok(())
}

/// Cuts by `kubectl schism` as somebody outside of the cluster, one after another.
fn commands(site: &Site, times: usize, report: &mut Report) -> Result<()> {
    // Whatever is done once.
    site.schism(CUT)?;
    site.schism("heal --all -n default")?;
    let (before, began) = (site.counted()?, Instant::now());
    let mut took = Vec::new();
    for _ in 0..times {
        let typed = Instant::now();
        site.schism(CUT)?;
        took.push(typed.elapsed());
        site.schism("heal --all -n default")?;
    }
    let (after, lasted) = (site.counted()?, began.elapsed());
    let took = Sample::new(took);
    report.add(
        "`kubectl schism cut` of two pods, from Enter until both nodes have read back that it acts",
        "≤ 1 s",
        format!(
            "median {}, p99 {}, worst {} (n = {times})",
            ms(took.median()),
            ms(took.quantile(0.99)),
            ms(took.worst())
        ),
        Verdict::of(took.worst() <= Duration::from_secs(1)),
    );
    let applied = after.applied - before.applied;
    let quick = after.applied_in_50_ms - before.applied_in_50_ms;
    let mean = (after.applying - before.applying) / applied;
    report.add(
        "controller until verified on both nodes",
        "median ≤ 50 ms",
        format!("{quick} of {applied} within 50 ms, mean {:.1} ms", mean * 1e3),
        Verdict::of(quick * 2.0 >= applied),
    );
    // Renewing the lead goes on meanwhile.
    let idle = site.requests_of_an_idle_controller()?;
    let calls = after.requests - before.requests - idle * lasted.as_secs_f64();
    let each = calls / times as f64;
    report.add(
        "requests of the controller for one fault on two nodes, until it is healed and gone",
        "≤ 8 (6 + 1 per node)",
        format!(
            "{each:.1}, of which {:.1} read (n = {times})",
            (after.reads - before.reads) / times as f64
        ),
        Verdict::of(each <= 8.05),
    );
    Ok(())
}

/// An agent with nothing to do.
fn agent(site: &Site, effort: Effort, report: &mut Report) -> Result<()> {
    let watched = Duration::from_secs(effort.times(60).max(10) as u64);
    let agent = site.process(site.nodes()[0], "/usr/bin/schism-agent")?;
    let share = share(&agent, watched)?;
    let resident = agent.resident()? / MEBIBYTE;
    report.add(
        "agent in its pod, idle",
        "≤ 20 MiB resident, ≤ 0.1 % of a core",
        format!("{resident:.1} MiB, {share:.2} % of a core over {} s", watched.as_secs()),
        Verdict::of(resident <= 20.0 && share <= 0.1),
    );
    Ok(())
}

/// How much of a core a process takes, in percent.
fn share(process: &Process<'_>, watched: Duration) -> Result<f64> {
    let before = process.used()?;
    std::thread::sleep(watched);
    let used = process.used()?.checked_sub(before).context("time went back")?;
    ensure!(used <= watched * 2, "{used:?} of {watched:?}");
    Ok(used.as_secs_f64() / watched.as_secs_f64() * 100.0)
}

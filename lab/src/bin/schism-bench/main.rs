//! Figures measured on this machine: `schism-bench cut|fleet|clock|experiment|zeebe|kubernetes [--quick] [--json FILE]`.
//!
//! And what goes on for as long as one likes: `schism-bench soak [--seconds N] [--threads N] [--seed N]`.
//!
//! Ratios are taken within one run against a baseline or a peer; nothing here is a test.

mod clock;
mod experiment;
mod fleet;
mod footprint;
mod kubernetes;
mod latency;
mod node;
mod report;
mod rivals;
mod soak;
mod statistics;
mod throughput;
mod zeebe;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use report::Report;
use tokio::runtime::Runtime;

/// How many repetitions a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    /// For the table in the documentation.
    Full,
    /// To see that it works.
    Quick,
}

impl Effort {
    const fn times(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => full.div_ceil(10),
        }
    }
}

/// What there is.
const BENCHES: [&str; 6] = ["cut", "fleet", "clock", "experiment", "zeebe", "kubernetes"];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bench = arguments.next().unwrap_or_default();
    if bench == "crowd" {
        let arguments: Vec<String> = arguments.collect();
        let runtime = tokio::runtime::Runtime::new()?;
        return runtime.block_on(fleet::crowd::serve(&arguments));
    }
    if bench == kubernetes::crowd::COMMAND {
        let arguments: Vec<String> = arguments.collect();
        let runtime = tokio::runtime::Runtime::new()?;
        return runtime.block_on(kubernetes::crowd::serve(&arguments));
    }
    if bench == clock::reader::COMMAND {
        return clock::reader::serve(&arguments.collect::<Vec<_>>());
    }
    if bench == experiment::launch::COMMAND {
        return experiment::launch::serve(&arguments.collect::<Vec<_>>());
    }
    if bench == soak::COMMAND {
        return soak::run(&arguments.collect::<Vec<_>>());
    }
    if !BENCHES.contains(&bench.as_str()) {
        bail!(
            "usage: schism-bench {} [--quick] [--json FILE] [--chaos PROGRAM] [--programs DIRECTORY]",
            BENCHES.join("|")
        );
    }
    let mut effort = Effort::Full;
    let mut json: Option<PathBuf> = None;
    let mut chaos: Option<PathBuf> = None;
    let mut programs: Option<PathBuf> = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::Quick,
            "--json" => json = Some(arguments.next().context("--json needs a file")?.into()),
            "--chaos" => chaos = Some(arguments.next().context("--chaos needs a program")?.into()),
            "--programs" => {
                programs = Some(arguments.next().context("--programs needs a directory")?.into());
            }
            other => bail!("unknown argument {other}"),
        }
    }
    if !matches!(bench.as_str(), "experiment" | "zeebe") && !nix::unistd::geteuid().is_root() {
        bail!("this bench makes network namespaces and holds processes: run it as root");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut report = Report::default();
    match bench.as_str() {
        "fleet" => runtime.block_on(fleet::everything(effort, &mut report))?,
        "clock" => clock::everything(effort, &mut report)?,
        "zeebe" => zeebe::everything(effort, &mut report)?,
        "kubernetes" => {
            let programs = programs.context("--programs says where static programs are")?;
            kubernetes::everything(effort, &programs, &mut report)?;
        }
        "experiment" => experiment::everything(effort, chaos, &mut report)?,
        _ => cut(&runtime, effort, &mut report)?,
    }
    print!("{report}");
    if let Some(path) = json {
        std::fs::write(&path, report.json(&bench))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn cut(runtime: &Runtime, effort: Effort, report: &mut Report) -> Result<()> {
    runtime.block_on(async {
        latency::commits(effort, report).await?;
        latency::heals(effort, report).await?;
        latency::expiries(effort, report).await?;
        latency::kills(effort, report).await?;
        footprint::idle(report).await?;
        throughput::untouched(effort, report).await?;
        rivals::side_by_side(effort, report).await
    })?;
    rivals::per_packet(report)
}

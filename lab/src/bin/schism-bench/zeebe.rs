//! What asks Zeebe, measured against members in this process that answer at once.

mod mock;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::directory::Directory;
use serde_json::Value;

use crate::Effort;
use crate::experiment::launch::Launch;
use crate::node::sibling;
use crate::report::{Report, Verdict};
use crate::statistics::{Sample, ms};
use mock::Cluster;

/// How many instances a second.
const RATE: u32 = 1_000;

/// For how long.
const LOADED: Duration = Duration::from_secs(20);

/// Every row.
///
/// # Errors
/// A command fails, or there is no port.
pub(crate) fn everything(effort: Effort, report: &mut Report) -> Result<()> {
    let cluster = Cluster::start()?;
    let schism = Schism { gateway: cluster.gateway, brokers: cluster.brokers.to_vec() };
    let all = schism.times(&["topology"], effort.times(100))?;
    report.add(
        "who leads what, three brokers and a gateway: the whole process",
        "≤ 50 ms",
        told(&all),
        Verdict::of(all.quantile(0.99) <= Duration::from_millis(50)),
    );
    let dead = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let mut brokers = cluster.brokers.to_vec();
    // Takes connections and never says a word, as one does that stands still.
    brokers[1] = dead.local_addr()?;
    let without = Schism { gateway: cluster.gateway, brokers };
    let without = without.times(&["topology"], effort.times(20))?;
    report.add(
        "the same, one broker says nothing",
        "≤ 1 s",
        told(&without),
        Verdict::of(without.worst() <= Duration::from_secs(1)),
    );
    let created = schism.times(&["verify", "instance-creation"], effort.times(100))?;
    report.add(
        "`verify instance-creation` on three partitions: the whole process",
        "≤ 1 s",
        told(&created),
        Verdict::of(created.worst() <= Duration::from_secs(1)),
    );
    load(&schism, effort, report)
}

fn told(sample: &Sample) -> String {
    let (median, worst) = (ms(sample.median()), ms(sample.worst()));
    format!(
        "median {median}, p99 {}, worst {worst} (n = {})",
        ms(sample.quantile(0.99)),
        sample.count()
    )
}

/// What it costs to put on load, and how exactly it is sent.
fn load(schism: &Schism, effort: Effort, report: &mut Report) -> Result<()> {
    let directory = Directory::create("bench")?;
    let path = directory.path().join("load.json");
    let seconds = LOADED.as_secs().min(if effort == Effort::Quick { 2 } else { u64::MAX });
    let words =
        ["load", "--rate", &RATE.to_string(), "--for", &format!("{seconds}s"), "-o", "json"];
    let mut shell = Command::new("sh");
    // The launcher throws away what is printed.
    shell.args(["-c", "exec \"$@\" > \"$0\""]).arg(&path);
    let command = schism.command(&words);
    shell.arg(command.get_program()).args(command.get_args());
    let began = Instant::now();
    let launch = Launch::of(&shell)?;
    let took = began.elapsed();
    let text = std::fs::read_to_string(&path).context("what the load came to")?;
    let said: Value = serde_json::from_str(&text).context("what the load came to")?;
    let due = u64::from(RATE) * seconds;
    ensure!(said["succeeded"] == due, "{said}");
    let share = launch.processor.as_secs_f64() / took.as_secs_f64() * 100.0;
    report.add(
        &format!("load of {RATE} instances a second, its own process"),
        "≤ 25 % of a core",
        format!("{share:.1} % of a core over {seconds} s"),
        Verdict::of(share <= 25.0),
    );
    let late = |percentile: &str| said["lateness-ms"][percentile].as_f64().unwrap_or(f64::MAX);
    report.add(
        "the same, how late it sends",
        "p99 ≤ 2 ms",
        format!(
            "p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms",
            late("p50"),
            late("p99"),
            late("max")
        ),
        Verdict::of(late("p99") <= 2.0),
    );
    Ok(())
}

/// The command, and whom it asks.
struct Schism {
    gateway: SocketAddr,
    brokers: Vec<SocketAddr>,
}

impl Schism {
    fn command(&self, words: &[&str]) -> Command {
        let program = sibling("schism").unwrap_or_else(|_| "schism".into());
        let mut command = Command::new(program);
        command.args(["zeebe", "--gateway", &self.gateway.to_string()]);
        for broker in &self.brokers {
            command.args(["--broker", &broker.to_string()]);
        }
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn times(&self, words: &[&str], count: usize) -> Result<Sample> {
        let mut times = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            let status = self.command(words).status().context("start schism")?;
            times.push(began.elapsed());
            ensure!(status.success(), "schism zeebe {}: {status}", words.join(" "));
        }
        Ok(Sample::new(times))
    }
}

//! Partitions of five members, by their shapes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab::{
    clock::BootTime,
    etcd::{Cluster, Route},
    topology::Topology,
};

use super::writes;
use crate::{
    balance::Balance,
    estate::Estate,
    page::Page,
    quantity::{count, time},
    report,
    scene::Scene,
};

const MEMBERS: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

/// Shapes after which a majority can still talk.
const SHAPES: [&str; 3] = ["isolate", "bridge", "majorities-ring"];

/// Two halves by one seed and two by another leave no three that hear each other.
const HALVES: &str = "split";

const ELECTION: Duration = Duration::from_secs(20);

/// Tells it.
pub(super) fn tell(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    page.chapter("7  Partitions of five members, by a seed")?;
    let topology = Topology::hub(&MEMBERS)?;
    let cluster = Cluster::start(&topology, MEMBERS.len())?;
    scene.interruption.check()?;
    let estate = Estate::open(scene, &topology)?;
    for shape in SHAPES {
        partition(scene, &cluster, &estate, shape, page, balance)?;
    }
    let words =
        ["cut", "--preset", HALVES, "all:etcd:member", "--seed", "7", "--for", "5s", "--detach"];
    estate.does(&words, page)?;
    let words = ["cut", "--preset", HALVES, "all:etcd:member", "--seed", "8", "--for", "5s"];
    estate.types(&words, page)?;
    let refused = estate.ask(&words)?;
    let said = refused.err.lines().find(|line| line.contains("lose its majority"));
    page.aside(said.unwrap_or(refused.err.trim()))?;
    page.figure("the guard", &format!("two at once are refused: {}", refused.end()))?;
    if refused.code != Some(4) || said.is_none() {
        balance.deviates(page, format!("a majority was put at risk: {}", refused.err))?;
    }
    balance.note("7  a partition that would break the majority", refused.end());
    Ok(())
}

fn partition(
    scene: &Scene,
    cluster: &Cluster,
    estate: &Estate<'_>,
    shape: &str,
    page: &mut Page,
    balance: &mut Balance,
) -> Result<()> {
    let (leader, term) = cluster.wait_leader(1, ELECTION)?;
    let writer = writes::start(cluster, Route::Through(leader));
    writer.wait_acknowledged(BootTime::now(), ELECTION).context("no write before the partition")?;
    let words =
        ["cut", "--preset", shape, "all:etcd:member", "--seed", "7", "--for", "4s", "-ojson"];
    let ended = estate.does(&words, page)?;
    // Everything before the first line about a role is the matrix, after who answers.
    let matrix = ended.err.lines().skip(1).take_while(|line| !line.contains(" is "));
    matrix.filter(|line| !line.is_empty()).try_for_each(|line| page.aside(line))?;
    let document = ended.document("schism.fleet-cut/v1")?;
    let intent = document["intents"].get(0).context("the partition is one intent")?;
    let mut faults = Vec::new();
    for part in intent["parts"].as_array().into_iter().flatten() {
        faults.extend(report::faults(part)?);
    }
    let lost = faults.iter().map(|fault| fault.lost).sum();
    let error =
        Duration::from_secs_f64(intent["spread_error_seconds"].as_f64().unwrap_or_default());
    let starts = faults.iter().map(|fault| fault.start);
    let (start, last) = (starts.clone().min(), starts.max());
    let end = faults.iter().map(|fault| fault.end).max();
    let (Some(start), Some(last), Some(end)) = (start, last, end) else {
        bail!("a partition has faults");
    };
    let during = writer.finish().between(start, end);
    let told = format!(
        "{} one-way cuts on five machines began within {} by the one clock that they share here \
         (told: ± {}), lost {}",
        faults.len(),
        time(last - start),
        time(error),
        count(lost, "packet"),
    );
    page.figure(shape, &told)?;
    page.figure("writes", &writes::told(&during))?;
    balance.note(format!("7  {shape} of five"), told);
    let (_, later) = cluster.wait_leader(term, ELECTION)?;
    let elections = if later == term { "no".to_owned() } else { format!("{}", later - term) };
    page.figure("elections", &elections)?;
    scene.interruption.check()?;
    Ok(())
}

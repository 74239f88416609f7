//! A cut by role over nodes, through a controller that dies in the middle of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::etcd::Route;
use serde_json::Value;

use super::writes;
use crate::{
    balance::Balance,
    estate::Estate,
    page::Page,
    quantity::{bytes, count, time},
    report,
    scene::Scene,
};

/// How long the controller is dead: less than the lease, more than an agent's patience with a link.
const DEAD: Duration = Duration::from_millis(1_500);

const CUT: [&str; 9] = [
    "cut",
    "etcd:leader",
    "one:etcd:follower",
    "--for",
    "8s",
    "--lease",
    "4s",
    "--detach",
    "-ojson",
];

/// Tells it.
pub(super) fn tell(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let roles = scene.calm()?;
    page.chapter("6  Many nodes: the leader by its role, and a controller that dies meanwhile")?;
    page.say(
        "Each member's namespace is now a machine of its own, with an agent that sees nothing else \
         and has dialled a controller on the bridge, over mutual TLS. No agent listens. ada, who \
         types, has a certificate with the role operator.",
    )?;
    let mut estate = Estate::open(scene, scene.topology())?;
    let agents = estate.does(&["agents"], page)?;
    agents.out.lines().try_for_each(|line| page.aside(line))?;
    let writer = writes::start(&scene.cluster, Route::Through(roles.bystander));
    scene.first_write(&writer)?;

    let begun = estate.does(&CUT, page)?;
    for line in begun.err.lines().filter(|line| line.starts_with("etcd:")) {
        page.aside(line)?;
    }
    let document = begun.document("schism.fleet-cut/v1")?;
    let intent = document["intents"].get(0).context("the cut is one intent")?.clone();
    let fault = only(&intent)?;
    page.command(&["kill".to_owned(), "-KILL".to_owned(), "CONTROLLER".to_owned()])?;
    estate.kill_controller()?;
    scene.interruption.pause(DEAD)?;
    estate.start_controller()?;
    estate.await_agents()?;
    let found = same(&estate, &intent)?;
    let again = only(&found)?;
    page.figure(
        "the next start",
        &format!(
            "{} later it finds {} {}, of which {} lost",
            time(DEAD),
            found["id"].as_str().unwrap_or("?"),
            found["stage"].as_str().unwrap_or("?"),
            count(again.lost, "packet"),
        ),
    )?;
    if found["stage"] != "active" || again.start != fault.start {
        balance.deviates(page, format!("the cut is not the same any more: {found}"))?;
    }
    scene.until(fault.deadline + Duration::from_millis(500))?;
    let ended = same(&estate, &intent)?;
    let last = only(&ended)?;
    let writes = writer.finish().between(fault.start, fault.deadline);
    let acted = last.end - last.start;
    let told = format!(
        "acted for {} over the death of its controller, and lost {} ({})",
        time(acted),
        count(last.lost, "packet"),
        bytes(last.lost_bytes as f64)
    );
    page.figure("the cut", &told)?;
    page.figure("writes", &writes::told(&writes))?;
    balance.note("6  cut by role through a controller that died", told);
    if last.end != last.deadline || ended["stage"] != "expired" {
        balance.deviates(page, format!("the cut did not act to its end: {ended}"))?;
    }
    page.explain(
        "The lease stands in the receiver's kernel, so the cut went on without a controller; the \
         next life of it found the cut in its store and renewed it, and put nothing in twice.",
    )?;
    Ok(())
}

/// The same intent as it stands now.
fn same(estate: &Estate<'_>, intent: &Value) -> Result<Value> {
    let known = estate.intents()?.into_iter().find(|known| known["id"] == intent["id"]);
    known.context("the controller does not know the cut any more")
}

/// The only fault of an intent.
fn only(intent: &Value) -> Result<report::Fault> {
    let part = intent["parts"].get(0).context("a cut has a part")?;
    let faults = report::faults(part)?;
    faults.first().copied().context("the agent has told nothing of the fault")
}

//! Nothing is left.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use crate::{
    balance::Balance,
    page::Page,
    quantity::count,
    scene::{Scene, Traces},
};

const LIMIT: Duration = Duration::from_secs(10);

/// What `schism residue` finds.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// What nobody holds.
    pub(crate) left: Vec<Remnant>,
    /// How much agents that live hold.
    pub(crate) held: u64,
}

/// One thing that was left behind.
#[derive(Clone, Debug)]
pub(crate) struct Remnant {
    /// Such as `program` or `socket`.
    pub(crate) kind: String,
    /// The last part of its name.
    pub(crate) name: String,
}

impl fmt::Display for Remnant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Found {
    /// As a list of words.
    pub(crate) fn words(&self) -> String {
        let words: Vec<String> = self.left.iter().map(ToString::to_string).collect();
        if words.is_empty() { "nothing was left behind".to_owned() } else { words.join(", ") }
    }
}

/// Asks `schism residue`.
pub(crate) fn search(scene: &Scene) -> Result<Found> {
    let finished = scene.schism.run(&["schism", "residue", "-o", "json"], LIMIT)?;
    let document = finished.document("schism.residue/v1")?;
    let mut found = Found { left: Vec::new(), held: 0 };
    for remnant in document["remnants"].as_array().into_iter().flatten() {
        if remnant["holders"].as_array().is_some_and(|holders| !holders.is_empty()) {
            found.held += 1;
            continue;
        }
        let word = |key: &str| remnant[key].as_str().unwrap_or("?").to_owned();
        let name = word("name");
        let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
        found.left.push(Remnant { kind: word("kind"), name });
    }
    Ok(found)
}

/// Looks for what the tool left behind.
pub(crate) fn residue(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    page.chapter("9  What is left")?;
    page.command(&["schism", "residue"].map(ToOwned::to_owned))?;
    let found = search(scene)?;
    let mut text = found.words();
    if found.held > 0 {
        let held = count(found.held, "kernel object");
        text.push_str(&format!(" ({held} of other agents that are at work on this machine)"));
    }
    page.figure("residue", &text)?;
    balance.note("9  residue", text.clone());
    if !found.left.is_empty() {
        balance.deviates(page, format!("residue: {text}"))?;
    }
    Ok(())
}

/// Looks for what the demo itself left behind.
pub(crate) fn traces(traces: &Traces, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let mut left: Vec<PathBuf> =
        traces.paths.iter().filter(|path| path.exists()).cloned().collect();
    let processes = traces.processes.iter().map(|pid| Path::new("/proc").join(pid.to_string()));
    left.extend(processes.filter(|path| path.exists()));
    let text = format!(
        "{} namespaces and the demo's directory, {} members of etcd: {}",
        traces.paths.len() - 1,
        traces.processes.len(),
        if left.is_empty() { "all gone" } else { "not all gone" }
    );
    page.figure("the demo", &text)?;
    balance.note("   the demo's own traces", text);
    for path in left {
        balance.deviates(page, format!("{} is still there", path.display()))?;
    }
    Ok(())
}

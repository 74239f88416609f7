//! `--dry-run`: what would be put in place.

use std::collections::BTreeSet;

use fault::{Aspect, Fault, Process, Scheme, Target};
use serde::Serialize;

use crate::link::Prepared;
use crate::output::quantity::time;
use crate::output::route::{Route, describe};
use crate::output::{Detail, Report};

/// How many processes a plan names.
const NAMED: usize = 8;

/// The plan of a cut.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    schema: &'static str,
    seed: u64,
    parts: Vec<Part>,
}

/// What would be put in place for one fault.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    #[serde(flatten)]
    route: Route,
    fault: Fault,
    prepared: Prepared,
}

impl Plan {
    pub(crate) fn new(seed: u64, faults: Vec<Fault>, prepared: Vec<Prepared>) -> Self {
        let parts = faults
            .into_iter()
            .filter_map(|fault| {
                let prepared = prepared.iter().find(|prepared| prepared.id == fault.id)?.clone();
                Some(Part::new(fault, prepared))
            })
            .collect();
        Self { schema: "schism.plan/v1", seed, parts }
    }
}

impl Report for Plan {
    fn text(&self, detail: Detail) -> String {
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(&part.text(detail));
        }
        text.push_str("dry run: nothing was touched\n");
        text
    }

    fn names(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.fault.id.to_string()).collect()
    }
}

impl Part {
    pub(crate) fn new(fault: Fault, prepared: Prepared) -> Self {
        Self { route: Route::from(&fault), fault, prepared }
    }

    /// For people, in several lines.
    pub(crate) fn text(&self, detail: Detail) -> String {
        let (fault, prepared) = (&self.fault, &self.prepared);
        let mut text = format!(
            "{}, for {} with a lease of {}{}\n",
            describe(fault),
            time(fault.terms.total),
            time(fault.terms.lease),
            fault.kind.cut().map_or_else(String::new, |cut| format!(", seed {}", cut.seed)),
        );
        let peers: Vec<String> = prepared.peers.iter().map(ToString::to_string).collect();
        if let Some(target) = &prepared.target {
            let touched = match fault.kind.aspect() {
                Aspect::Network => touched(target, detail),
                Aspect::Processes => named(target, detail),
            };
            text.push_str(&format!("  target  {touched}\n"));
        }
        if !peers.is_empty() {
            text.push_str(&format!("  peers   {}\n", peers.join(", ")));
        }
        for (index, step) in prepared.steps.iter().enumerate() {
            text.push_str(&format!("  step {:<2} {step}\n", index + 1));
        }
        for note in &prepared.notes {
            text.push_str(&format!("  note    {note}\n"));
        }
        text
    }
}

/// A target with the processes that it names.
fn named(target: &Target, detail: Detail) -> String {
    let shown = match detail {
        Detail::Normal => NAMED,
        Detail::Wide => Target::PROCESSES_NAMED,
    };
    let is_meant = |process: &&Process| match &target.selector.scheme {
        Scheme::Pid(pid) => process.identity.pid == *pid,
        Scheme::Container(id) => process.container.as_ref() == Some(id),
        // Which of them are in which container is not told here.
        Scheme::Pod(pod) => pod.container.is_none(),
        Scheme::Netns(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => true,
    };
    let name = |process: &Process| format!("{} {}", process.name, process.identity.pid);
    let names: Vec<String> =
        target.processes.iter().filter(is_meant).take(shown).map(name).collect();
    if names.is_empty() {
        return target.selector.to_string();
    }
    format!("{}: {}", target.selector, names.join(", "))
}

/// A target with everything else that a fault on it touches: it acts on the whole namespace.
pub(crate) fn touched(target: &Target, detail: Detail) -> String {
    let shown = match detail {
        Detail::Normal => NAMED,
        Detail::Wide => Target::PROCESSES_NAMED,
    };
    let mut names: Vec<String> = target
        .processes
        .iter()
        .take(shown)
        .map(|process| format!("{} {}", process.name, process.identity.pid))
        .collect();
    if target.process_count > names.len() && !names.is_empty() {
        names.push("…".to_owned());
    }
    let containers: BTreeSet<&str> =
        target.processes.iter().filter_map(|process| process.container.as_deref()).collect();
    let mut text = format!(
        "{}, its whole namespace with {}",
        target.selector,
        processes(target.process_count),
    );
    if !names.is_empty() {
        text.push_str(&format!(": {}", names.join(", ")));
    }
    if !containers.is_empty() {
        let containers: Vec<&str> = containers.into_iter().collect();
        text.push_str(&format!("; containers {}", containers.join(", ")));
    }
    text
}

fn processes(count: usize) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

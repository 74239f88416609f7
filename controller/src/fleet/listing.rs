//! What can be named on the nodes of a controller, as people and programs read it. Pure.

use fault::Target;
use proto::control as wire;
use serde::Serialize;

use crate::output::table::Align::Left;
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Report};
use crate::targets::{cells, columns};

/// What can be named.
#[derive(Debug, Serialize)]
pub(super) struct ListingReport {
    schema: &'static str,
    nodes: Vec<NodeRecord>,
}

#[derive(Debug, Serialize)]
struct NodeRecord {
    node: String,
    targets: Vec<Target>,
    /// How many more there are.
    left_off: u32,
    /// What could not be looked at and why.
    unseen: Vec<String>,
}

impl ListingReport {
    pub(super) fn new(nodes: Vec<wire::NodeTargets>) -> Self {
        let nodes = nodes.into_iter().map(NodeRecord::from).collect();
        Self { schema: "schism.fleet-listing/v1", nodes }
    }

    /// What is missing in it.
    pub(super) fn gaps(&self) -> Vec<String> {
        let gaps = self.nodes.iter().flat_map(|one| {
            let more = (one.left_off > 0).then(|| format!("{} more are not shown", one.left_off));
            let all = one.unseen.iter().cloned().chain(more);
            all.map(|gap| format!("{}: {}", one.node, fault::Legible(&gap)))
        });
        gaps.collect()
    }
}

impl From<wire::NodeTargets> for NodeRecord {
    fn from(told: wire::NodeTargets) -> Self {
        let mut unseen = told.unseen;
        let mut targets = Vec::with_capacity(told.targets.len());
        for target in told.targets {
            match Target::try_from(target) {
                Ok(target) => targets.push(target),
                Err(invalid) => {
                    unseen.push(format!("a target of its agent makes no sense: {invalid}"))
                }
            }
        }
        Self { node: told.node, targets, left_off: told.left_off, unseen }
    }
}

impl Report for ListingReport {
    fn text(&self, detail: Detail) -> String {
        if self.nodes.is_empty() {
            return "no agent has dialled this controller".to_owned();
        }
        let mut all = vec![("NODE", Left)];
        all.extend(columns(detail));
        let mut table = Table::new(&all);
        for one in &self.nodes {
            for target in &one.targets {
                let mut row = vec![Cell::from(one.node.clone())];
                row.extend(cells(target, detail));
                table.row(row);
            }
        }
        table.text()
    }

    fn names(&self) -> Vec<String> {
        let names = self.nodes.iter().flat_map(|one| {
            let name = |target: &Target| format!("{}@{}", target.selector, one.node);
            one.targets.iter().map(name)
        });
        names.collect()
    }
}

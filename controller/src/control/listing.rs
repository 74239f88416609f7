//! What can be named on every node.

use std::collections::BTreeMap;
use std::time::Duration;

use fault::NodeName;
use futures_util::future::join_all;
use proto::control as wire;

use super::handle::Control;
use crate::link::{Link, Listing};

/// How long all agents together may take to look (5 s).
const PATIENCE: Duration = Duration::from_secs(5);
/// The most targets that are told of all nodes together: an answer has to be taken in whole.
const MOST: usize = 16_384;

impl Control {
    /// What can be named on every node, by name; of those that did not answer, that they did not.
    pub async fn targets(&self) -> Vec<wire::NodeTargets> {
        let look = |(node, mut link): (NodeName, Link)| async move {
            let listing = match tokio::time::timeout(PATIENCE, link.targets()).await {
                Ok(Ok(listing)) => listing,
                Ok(Err(failure)) => unseen(failure.reason),
                Err(_) => unseen("its agent did not answer in time".to_owned()),
            };
            (node, listing)
        };
        let found = join_all(self.agents().links().into_iter().map(look)).await;
        let mut nodes: BTreeMap<NodeName, Listing> = found.into_iter().collect();
        for agent in self.agents().seen().into_iter().filter(|agent| !agent.connected) {
            nodes.entry(agent.node).or_insert_with(|| unseen("its agent is away".to_owned()));
        }
        shortened(nodes, MOST)
    }
}

fn unseen(why: String) -> Listing {
    Listing { unseen: vec![why], ..Listing::default() }
}

/// As it is told; the same share of what there is room for to every node, and of the rest how much it is.
fn shortened(nodes: BTreeMap<NodeName, Listing>, most: usize) -> Vec<wire::NodeTargets> {
    let share = most / nodes.len().max(1);
    let told = nodes.into_iter().map(|(node, mut listing)| {
        let more = listing.targets.len().saturating_sub(share);
        listing.targets.truncate(share);
        wire::NodeTargets {
            node: node.to_string(),
            targets: listing.targets.into_iter().map(Into::into).collect(),
            left_off: listing.left_off.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)),
            unseen: listing.unseen,
        }
    });
    told.collect()
}

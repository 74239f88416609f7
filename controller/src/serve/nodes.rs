//! Nodes that their cluster does not have any more. Where agents come by token the API server says which those are.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{ApiError, Client, Name, Node, Reason, Within};
use fault::NodeName;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::control::Control;

/// How often it is looked, and how long an agent is away before the API server is asked for its node.
const LOOK: Duration = Duration::from_secs(60);

/// Has nodes forgotten that are not there any more, until the controller ends. Where nobody is away nobody is asked.
pub(super) async fn forget_removed(
    client: Client,
    control: Control,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            _ = tick.tick() => {}
        }
        // A controller that ends forgets nobody.
        let Ok(away) = control.away(LOOK).await else { return };
        match removed(&client, away).await {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => {
                if control.removed(removed).await.is_err() {
                    return;
                }
            }
            // Of who may be there nobody is forgotten.
            Err(error) => tracing::debug!(%error, "which nodes there are is not known"),
        }
    }
}

/// Those of some nodes that the cluster does not have.
async fn removed(
    client: &Client,
    nodes: BTreeSet<NodeName>,
) -> Result<BTreeSet<NodeName>, ApiError> {
    let mut removed = BTreeSet::new();
    for node in nodes {
        // Of such a name there is no node, and none of them can have dialled by token.
        let Ok(name) = node.as_str().parse::<Name>() else { continue };
        match client.get::<Node>(&Within::Cluster, &name).await {
            Err(error) if error.reason() == Some(&Reason::NotFound) => drop(removed.insert(node)),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::kubernetes::mock;

    #[tokio::test]
    async fn the_api_server_says_which_nodes_are_gone() {
        let there = ("/api/v1/nodes/a", json!({ "metadata": { "name": "a" } }));
        let client = mock::client([there].into()).await;
        let nodes = |names: &[&str]| -> BTreeSet<NodeName> {
            names.iter().map(|name| NodeName::new(name).unwrap()).collect()
        };
        assert_eq!(removed(&client, nodes(&["a", "b"])).await.unwrap(), nodes(&["b"]));
    }
}

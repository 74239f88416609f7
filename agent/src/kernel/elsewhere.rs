//! Names of what a node does not have, whatever is on it.

use fault::{NodeName, Scheme};

/// What is meant is not on this node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Elsewhere {
    /// Another node.
    #[error("this is node {own}, not {named}")]
    Node {
        /// Which was named.
        named: NodeName,
        /// Which this is.
        own: NodeName,
    },
    /// Who plays a role in a cluster, of which a node knows nothing.
    #[error("an agent cannot tell who is {0}")]
    Role(Scheme),
}

impl Elsewhere {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Node { own, .. } => format!("write host:{own}, or run the command there"),
            Self::Role(_) => {
                "roles are resolved by a controller (--controller); without one name a \
                              target such as netns:NAME"
                    .to_owned()
            }
        }
    }
}

//! Disruptions as objects of a Kubernetes cluster: whoever may create a `Disruption` there has pods restarted,
//! terminated or evicted, and by a `ClusterDisruption` a node cordoned or drained, for a while. Who deletes one has it
//! undone.
//!
//! As with faults: what an object asks for (`asked`) and what it says (`status`) is pure, and `keeper` alone asks the API
//! server. The id of the disruption is made of the object's UID.

pub(crate) mod asked;
mod definition;
pub(crate) mod keeper;
mod policy;
pub(crate) mod resource;
pub(crate) mod status;
#[cfg(test)]
mod tests;

pub use definition::definitions;
pub use keeper::{Means, keep};
pub(crate) use policy::{VERB, policies};

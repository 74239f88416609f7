//! Experiments as objects of a Kubernetes cluster: one object is one run, which begins once and ends with the object.
//!
//! As with faults: what an object asks for (`asked`), what it says (`status`) and what is to be done about it
//! (`decision`) is pure, and `keeper` alone asks the API server. The id of the run is made of the object's UID. What a
//! controller must not perform runs as a Job in the cluster (`job`).

pub(crate) mod asked;
mod decision;
mod definition;
pub(crate) mod job;
pub(crate) mod keeper;
mod mention;
mod policy;
pub(crate) mod resource;
mod status;
mod strays;
#[cfg(test)]
mod tests;

pub use definition::definitions;
pub use job::Jobs;
pub use keeper::{Means, keep};
pub(crate) use policy::policies;

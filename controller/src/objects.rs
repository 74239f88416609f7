//! Faults as objects of a Kubernetes cluster: whoever may create a `Fault` there has it put in, and who deletes it
//! has it healed.
//!
//! Pure: what an object asks for (`asked`), what its status is (`status`), what is to be done about it (`decision`) and
//! which of several installations does that (`installations`). `keeper` is what of it `keeping` does
//! not know; `tenure` asks the API server whose it is, and `user` for whoever has objects made. An object's intent has an
//! id that is made of the object's UID, so that whoever leads comes to the same one, and nothing is put in twice.

pub(crate) mod asked;
pub(crate) mod consent;
pub(crate) mod decision;
pub(crate) mod definition;
pub(crate) mod happening;
pub(crate) mod installations;
pub(crate) mod keeper;
mod mention;
pub(crate) mod policy;
pub(crate) mod resource;
pub(crate) mod status;
mod tenure;
#[cfg(test)]
mod tests;
pub(crate) mod user;

pub use crate::keeping::Lack;
pub use definition::definitions;
pub use keeper::Means;
pub(crate) use policy::{VERB, policies};
pub(crate) use tenure::while_own;
pub use tenure::{Tenure, keep};

//! The agent on the real kernel, in namespaces of its own. Needs root, and says so.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod bounds;
mod captures;
mod cut;
mod devices;
#[path = "../driven/mod.rs"]
mod driven;
mod foreign;
mod misfortune;
mod openers;
mod owners;
mod proof;
mod residue;
mod rig;
mod start;

//! Loads: one child of ours in the target's own control group takes what it is told to, within its limits.

mod account;
mod loading;
mod moving;
pub(in crate::kernel) mod worker;

pub(super) use loading::Load;
pub(super) use moving::Moving;

//! Clocks of real processes, skewed and restored. Needs root.
#![expect(clippy::unwrap_used, reason = "what the tests share fails them")]

#[path = "../driven/mod.rs"]
mod driven;
mod faults;
mod misfortune;
mod node;
mod places;
mod rig;
mod runtimes;
mod skew;
mod soak;
mod witness;

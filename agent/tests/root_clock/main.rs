//! Clocks of real processes, skewed and restored. Needs root.
#![expect(clippy::unwrap_used, reason = "what the tests share fails them")]

#[path = "../driven/container.rs"]
mod container;
#[path = "../driven/mod.rs"]
mod driven;
mod ends;
mod etcd;
mod faults;
mod leftovers;
mod misfortune;
mod mortal;
mod node;
mod places;
#[path = "../driven/pod.rs"]
mod pod;
mod rig;
mod runtimes;
mod siblings;
mod skew;
mod soak;
mod strangers;
mod witness;

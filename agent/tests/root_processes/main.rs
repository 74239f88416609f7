//! Real processes that stand still, are ended, and have to share. Needs root.
#![expect(clippy::unwrap_used, reason = "what the tests share fails them")]

#[path = "../driven/container.rs"]
mod container;
#[path = "../driven/mod.rs"]
mod driven;
mod freezes;
mod group;
mod kills;
mod loads;
mod logs;
mod misfortune;
#[path = "../driven/pod.rs"]
mod pod;
mod pods;
mod rig;
mod worker;

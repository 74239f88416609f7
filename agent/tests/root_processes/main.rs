//! Real processes that stand still and go on. Needs root.
#![expect(clippy::unwrap_used, reason = "what the tests share fails them")]

mod freezes;
mod misfortune;
mod rig;
mod worker;

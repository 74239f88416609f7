//! Runs whose steps somebody plays, in a time that passes only when nobody has anything to do.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod faults;
mod lacking;
mod properties;
mod rig;
mod strict;
mod verdicts;

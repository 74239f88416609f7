//! The `schism` binary on the real kernel, as people run it. Needs root, and says so.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod captures;
mod company;
mod cut;
mod daemon;
mod estate;
mod experiments;
mod fleet;
mod freeze;
mod kill;
mod logs;
mod machine;
mod refusals;
mod running;
mod signals;
mod skew;
mod units;

//! The agent's gRPC service over a kernel in memory: no privilege, no network.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod brake;
mod captures;
mod freezes;
mod holders;
mod lifecycle;
mod logs;
mod malformed;
mod misfortune;
mod order;
mod places;
mod refusals;
mod rig;
mod session;
mod skews;
mod tls;
mod uplink;

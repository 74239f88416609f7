//! The client against a gateway and a broker in this process.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod calls;
mod managed;
mod mock;
mod trouble;

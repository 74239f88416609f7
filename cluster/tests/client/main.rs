//! The client against an API server that says what it is told to, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod calls;
mod electing;
mod logins;
mod mock;
mod trouble;
mod watching;

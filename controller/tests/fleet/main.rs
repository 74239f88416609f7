//! A controller and many agents in one process: real gRPC, fake kernels.
#![expect(clippy::unwrap_used, reason = "a test fails where it fails")]

mod api_server;
mod authority;
mod cuts;
mod disk;
mod doors;
mod endings;
mod guards;
mod namespaces;
mod objects;
mod pods;
mod processes;
mod rig;
mod runs;
mod skews;
mod trouble;
mod watching;

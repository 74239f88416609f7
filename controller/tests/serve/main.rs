//! A controller as it is served: its sockets, who is let in, and what it says on them.
#![expect(clippy::unwrap_used, reason = "a test fails where it fails")]

mod captures;
mod exposition;
mod killed;
mod logs;
mod revocation;
mod rig;
mod runs;
mod supervision;
mod typed;
mod watching;

//! `schism run` as a program: what becomes of it, and of what it started, whatever happens to it. Needs nothing.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod ends;
mod inputs;
mod probes;
mod workshop;
mod written;

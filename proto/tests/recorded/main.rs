//! Neighbouring versions work together: the wire of the last release is recorded, and only grows.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod growth;
mod neighbour;

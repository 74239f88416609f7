//! The wall clock: for records that outlive a life of the controller, and for people. No lease is timed
//! by it.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::link::nanos;

/// Where the time of day comes from.
#[derive(Clone, Copy, Debug)]
pub enum Wall {
    /// From the machine.
    System,
    /// In a simulation, from a time of day (Unix time, ns) that it was at some moment of the runtime.
    Told(u64, Instant),
}

impl Wall {
    /// Unix time in ns.
    #[must_use]
    pub fn now(self) -> u64 {
        match self {
            Self::System => nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Told(time, at) => time.saturating_add(nanos(at.elapsed())),
        }
    }
}

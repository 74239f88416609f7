//! The wall clock: for records that outlive a life of the controller, and for people. No lease is timed
//! by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep_until};

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

/// A time of day at which something ends, by the clock of this life from when it was set: whoever sets the time of day
/// after that has it end neither early nor late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due(Instant);

impl Due {
    /// At that time of day (Unix time, ns), where it is so late now by both clocks.
    pub(super) fn at(time: u64, wall: u64, now: Instant) -> Self {
        Self(now + Duration::from_nanos(time.saturating_sub(wall)))
    }

    /// Waits for it.
    pub(super) async fn come(self) {
        sleep_until(self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of day stands still in it, while the other clock goes on: as if somebody had set it back, again and again.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_moves_nothing_that_is_due() {
        let (hour, begun) = (Duration::from_secs(3_600), Instant::now());
        let wall = Wall::System.now();
        let due = Due::at(wall + nanos(hour), wall, begun);
        tokio::time::advance(hour / 2).await;
        due.come().await;
        assert_eq!(begun.elapsed(), hour);
        // What has passed is due.
        let late = Due::at(wall - 1, wall, Instant::now());
        assert_eq!(late, Due(Instant::now()));
        late.come().await;
    }
}

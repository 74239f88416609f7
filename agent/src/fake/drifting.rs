//! The clock of a simulated node.

use fault::BootTime;
use tokio::time::Instant;

/// A boot clock that began at another time than others, and counts faster or slower. It follows the
/// runtime's clock, which a simulation may have stopped.
#[derive(Clone, Copy, Debug)]
pub struct Drifting {
    began: Instant,
    showed: BootTime,
    ppm: i32,
}

impl Drifting {
    /// Shows this time now, and gains so many microseconds in each second; a negative number loses them.
    #[must_use]
    pub fn new(shows: BootTime, ppm: i32) -> Self {
        Self { began: Instant::now(), showed: shows, ppm }
    }

    pub(super) fn now(&self) -> BootTime {
        let passed = self.began.elapsed();
        let gained = passed.mul_f64(f64::from(self.ppm.unsigned_abs()) / 1e6);
        let counted = if self.ppm < 0 { passed.saturating_sub(gained) } else { passed + gained };
        self.showed + counted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_gains_or_loses_what_it_should() {
        let shows = BootTime::from_nanos(5_000_000_000);
        let clocks = [0, 100, -100].map(|ppm| Drifting::new(shows, ppm));
        tokio::time::advance(Duration::from_secs(10)).await;
        let found = clocks.map(|clock| clock.now().since(shows));
        let micros = Duration::from_micros;
        assert_eq!(found, [10_000_000, 10_001_000, 9_999_000].map(micros));
    }
}

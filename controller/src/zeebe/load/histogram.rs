//! How often what lengths of time came, each known to a thousandth.

use std::time::Duration;

/// Lengths below this many microseconds have a place each.
const EXACT: u64 = 2048;

/// Places for each doubling above that.
const PER_DOUBLING: u64 = EXACT / 2;

/// Doublings: up to some 8,000 hours.
const DOUBLINGS: u64 = 24;

/// Counts of lengths of time, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u128,
    longest: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        let places = usize::try_from(EXACT + DOUBLINGS * PER_DOUBLING).unwrap_or_default();
        Self { counts: vec![0; places], total: 0, sum: 0, longest: 0 }
    }

    pub(super) fn add(&mut self, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        self.counts[place(micros).min(last)] += 1;
        self.total += 1;
        self.sum += u128::from(micros);
        self.longest = self.longest.max(micros);
    }

    /// The length that so many percent do not exceed, in milliseconds; 0 where there is none.
    pub(super) fn percentile_ms(&self, percent: f64) -> f64 {
        let wanted = (percent / 100.0 * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest(place).min(self.longest) as f64 / 1000.0;
            }
        }
        0.0
    }

    pub(super) fn longest_ms(&self) -> f64 {
        self.longest as f64 / 1000.0
    }

    pub(super) fn mean_ms(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 / 1000.0 }
    }
}

fn place(micros: u64) -> usize {
    let place = if micros < EXACT {
        micros
    } else {
        // So often it is halved until it has a place among the upper half of the exact ones.
        let halved = u64::from(micros.ilog2() - EXACT.ilog2() + 1);
        EXACT + (halved - 1) * PER_DOUBLING + (micros >> halved) - PER_DOUBLING
    };
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The longest that has this place.
fn highest(place: usize) -> u64 {
    let place = place as u64;
    if place < EXACT {
        return place;
    }
    let (halved, within) = ((place - EXACT) / PER_DOUBLING + 1, (place - EXACT) % PER_DOUBLING);
    ((within + PER_DOUBLING + 1) << halved) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_has_a_place_that_is_a_thousandth_wide() {
        let mut before = 0;
        for micros in (0..5000).chain([9_999, 65_535, 65_536, 1_000_000, 3_600_000_000]) {
            let place = place(micros);
            assert!(place >= before, "{micros}");
            before = place;
            let highest = highest(place);
            assert!(
                highest >= micros && highest - micros <= micros / 1000 + 1,
                "{micros}: {highest}"
            );
        }
    }

    #[test]
    fn percentiles_are_of_all() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile_ms(99.0), 0.0);
        for millis in 1..=1000 {
            histogram.add(Duration::from_millis(millis));
        }
        let near = |percent: f64, wanted: f64| {
            let found = histogram.percentile_ms(percent);
            assert!((found - wanted).abs() <= wanted / 1000.0 + 0.001, "{percent}: {found}");
        };
        near(50.0, 500.0);
        near(99.0, 990.0);
        near(100.0, 1000.0);
        assert_eq!(histogram.longest_ms(), 1000.0);
        assert_eq!(histogram.mean_ms(), 500.5);
    }

    #[test]
    fn what_is_longer_than_all_places_is_not_lost() {
        let mut histogram = Histogram::new();
        histogram.add(Duration::MAX);
        assert!(histogram.percentile_ms(50.0) > 0.0);
    }
}

//! `schism zeebe load` and `worker` as people type them.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use fault::Chance;

use super::InstanceArgs;

/// The highest rate: beyond it a single machine measures itself.
const HIGHEST_RATE: f64 = 100_000.0;

/// `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// How many instances each second; sent when it is time, whether or not earlier ones are answered
    #[arg(long, value_name = "N", default_value = "100")]
    pub rate: Rate,
    /// How long
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = fault::parse_duration)]
    pub total: Duration,
    /// Of what.
    #[command(flatten)]
    pub of: InstanceArgs,
    /// An instance counts when it is completed, not when it is there
    #[arg(long)]
    pub await_result: bool,
    /// How long each may take
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = fault::parse_duration)]
    pub each: Duration,
    /// How many may be under way; what comes on top of them is not sent, and counts as failed
    #[arg(long, value_name = "N", default_value = "10000")]
    pub in_flight: InFlight,
    /// How many may fail; exit code 1 if more do [default: none]
    #[arg(long, value_name = "PERCENT")]
    pub may_fail: Option<Chance>,
}

/// `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Of which type the jobs are
    #[arg(long, value_name = "TYPE", default_value = "benchmark-task")]
    pub job_type: String,
    /// Have jobs pushed, too
    #[arg(long)]
    pub stream: bool,
    /// How long after an answer it asks for jobs again
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = fault::parse_duration)]
    pub poll_every: Duration,
    /// How long a job takes [default: no time]
    #[arg(long, value_name = "TIME", value_parser = fault::parse_duration)]
    pub delay: Option<Duration>,
    /// How many jobs it has in hand at most
    #[arg(long, value_name = "N", default_value = "32")]
    pub capacity: InFlight,
    /// For how long nobody else is given a job that it was given
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = fault::parse_duration)]
    pub given_for: Duration,
    /// How long it works [default: until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = fault::parse_duration)]
    pub total: Option<Duration>,
}

/// How many a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// How many a second.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// How many there are to be in a time.
    #[must_use]
    pub fn within(self, time: Duration) -> u64 {
        // Ten to the ninth at most: a float holds it exactly.
        (self.0 * time.as_secs_f64()).round() as u64
    }

    /// When the one of a number is due, from 0.
    #[must_use]
    pub fn due(self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.0)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 && rate <= HIGHEST_RATE => Ok(Self(rate)),
            Ok(_) | Err(_) => Err(format!("a rate is a number up to {HIGHEST_RATE}")),
        }
    }
}

/// How many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight(NonZeroU32);

impl InFlight {
    /// How many.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for InFlight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number: &NonZeroU32| number.get() <= 1_000_000);
        number.map(Self).ok_or_else(|| "this is a number from 1 to 1000000".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_says_when_each_is_due() {
        let rate: Rate = "1000".parse().unwrap();
        assert_eq!(rate.within(Duration::from_secs(10)), 10_000);
        assert_eq!(rate.due(0), Duration::ZERO);
        assert_eq!(rate.due(2500), Duration::from_millis(2500));
        assert_eq!("0.5".parse::<Rate>().unwrap().within(Duration::from_secs(4)), 2);
        for text in ["0", "-1", "inf", "NaN", "1e9", "x", ""] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["0", "-1", "1000001"] {
            assert!(text.parse::<InFlight>().is_err(), "{text}");
        }
    }
}

//! Until when a fault may act.

use std::ops::Add;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A time of CLOCK_BOOTTIME in nanoseconds: never set, never stepped, counting on while suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct BootTime(u64);

impl BootTime {
    /// Takes nanoseconds since boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; nothing if it is yet to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// How long a fault may last: what is asked for before there is a time to count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseTerms {
    /// From one renewal to the end without another; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub lease: Duration,
    /// From the start to the deadline, whatever is renewed; in documents a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub total: Duration,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl LeaseTerms {
    /// The shortest lease (1 s): renewals come every third of it.
    pub const SHORTEST: Duration = Duration::from_secs(1);
    /// The longest fault (7 days).
    pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

    /// Takes a lease and a total; a lease beyond the total is cut to it.
    ///
    /// # Errors
    /// A lease under [`Self::SHORTEST`] (unless the fault itself is as short), a total over
    /// [`Self::LONGEST`] or of nothing.
    pub fn new(lease: Duration, total: Duration) -> Result<Self, TermsError> {
        if total.is_zero() || total > Self::LONGEST {
            return Err(TermsError::Total);
        }
        let lease = lease.min(total);
        if lease < Self::SHORTEST && lease < total {
            return Err(TermsError::Lease);
        }
        Ok(Self { lease, total })
    }

    /// How often to renew: thrice a lease.
    #[must_use]
    pub fn heartbeat(self) -> Duration {
        self.lease / 3
    }
}

/// Lengths that make no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Too short to be renewed in time.
    #[error("a lease is at least 1s")]
    Lease,
    /// Nothing, or too long.
    #[error("a fault lasts longer than nothing and at most 7 days")]
    Total,
}

/// When a fault acts: `start ≤ now < end ≤ deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    start: BootTime,
    end: BootTime,
    deadline: BootTime,
    terms: LeaseTerms,
}

/// Where a time lies with respect to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before its start.
    Ahead,
    /// The fault acts.
    Running,
    /// The lease was not renewed.
    Lapsed,
    /// The deadline has come.
    Over,
}

/// A lease that has ended is not renewed: the fault would come back after a gap that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease has ended")]
pub struct RenewError;

impl Lease {
    /// The lease of a fault that acts from `start` on.
    #[must_use]
    pub fn begin(start: BootTime, terms: LeaseTerms) -> Self {
        Self { start, end: start + terms.lease, deadline: start + terms.total, terms }
    }

    /// The lease of a fault that was to act from `start` on and is let act `now`. One that is late begins later, and
    /// ends when it would have otherwise: what kept it makes nothing longer than was asked.
    #[must_use]
    pub fn agreed(start: BootTime, now: BootTime, terms: LeaseTerms) -> Self {
        let (begun, deadline) = (start.max(now), start + terms.total);
        Self { start: begun, end: (begun + terms.lease).min(deadline), deadline, terms }
    }

    /// Moves the end to one lease from `now`, never beyond the deadline and never back.
    ///
    /// # Errors
    /// The lease has ended.
    pub fn renew(&mut self, now: BootTime) -> Result<(), RenewError> {
        match self.phase(now) {
            Phase::Lapsed | Phase::Over => Err(RenewError),
            Phase::Ahead | Phase::Running => {
                let from = now.max(self.start);
                self.end = (from + self.terms.lease).min(self.deadline).max(self.end);
                Ok(())
            }
        }
    }

    /// Where `now` lies.
    #[must_use]
    pub fn phase(&self, now: BootTime) -> Phase {
        if now < self.start {
            Phase::Ahead
        } else if now < self.end {
            Phase::Running
        } else if now < self.deadline {
            Phase::Lapsed
        } else {
            Phase::Over
        }
    }

    /// First instant.
    #[must_use]
    pub const fn start(&self) -> BootTime {
        self.start
    }

    /// First instant after it, unless renewed.
    #[must_use]
    pub const fn end(&self) -> BootTime {
        self.end
    }

    /// First instant after it in any case.
    #[must_use]
    pub const fn deadline(&self) -> BootTime {
        self.deadline
    }

    /// What it was made from.
    #[must_use]
    pub const fn terms(&self) -> LeaseTerms {
        self.terms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lease(start: u64, length: u64, total: u64) -> Lease {
        let terms =
            LeaseTerms::new(Duration::from_secs(length), Duration::from_secs(total)).unwrap();
        Lease::begin(BootTime::from_nanos(start), terms)
    }

    #[test]
    fn phases() {
        let lease = lease(1_000, 2, 5);
        let second = 1_000_000_000;
        let table = [
            (999, Phase::Ahead),
            (1_000, Phase::Running),
            (2 * second + 999, Phase::Running),
            (2 * second + 1_000, Phase::Lapsed),
            (5 * second + 1_000, Phase::Over),
        ];
        for (now, phase) in table {
            assert_eq!(lease.phase(BootTime::from_nanos(now)), phase, "{now}");
        }
    }

    #[test]
    fn who_is_late_begins_later_and_ends_in_time() {
        let terms = LeaseTerms::new(Duration::from_secs(2), Duration::from_secs(5)).unwrap();
        let at = |seconds: u64| BootTime::from_nanos(seconds * 1_000_000_000);
        // Now, where 10 was agreed on; then start, end and deadline.
        let table = [(8, (10, 12, 15)), (10, (10, 12, 15)), (11, (11, 13, 15)), (14, (14, 15, 15))];
        for (now, expected) in table {
            let mut lease = Lease::agreed(at(10), at(now), terms);
            let (start, end, deadline) = expected;
            let found = (lease.start(), lease.end(), lease.deadline());
            assert_eq!(found, (at(start), at(end), at(deadline)), "{now}");
            lease.renew(at(now)).unwrap();
            assert!(lease.end() <= at(15), "{now}");
        }
    }

    #[test]
    fn lengths() {
        let seconds = Duration::from_secs;
        assert!(LeaseTerms::new(seconds(15), seconds(60)).is_ok());
        assert_eq!(LeaseTerms::new(seconds(15), seconds(5)).unwrap().lease, seconds(5));
        let short = Duration::from_millis(10);
        assert_eq!(LeaseTerms::new(short, seconds(1)), Err(TermsError::Lease));
        assert!(LeaseTerms::new(seconds(15), short).is_ok());
        assert_eq!(LeaseTerms::new(short, Duration::ZERO), Err(TermsError::Total));
        assert_eq!(LeaseTerms::new(short, Duration::MAX), Err(TermsError::Total));
    }

    proptest! {
        #[test]
        fn no_renewal_moves_the_end_back_or_beyond_the_deadline(
            start in 0u64..u64::MAX / 2, length in 1u64..100, total in 1u64..1_000,
            renewals in proptest::collection::vec(0u64..200_000_000_000, 0..20),
        ) {
            let mut lease = lease(start, length, total);
            for offset in renewals {
                let before = lease;
                let now = BootTime::from_nanos(start + offset);
                let renewed = lease.renew(now);
                prop_assert!(lease.end() >= before.end());
                prop_assert!(lease.end() <= lease.deadline());
                prop_assert_eq!(lease.deadline(), before.deadline());
                if before.end() <= now {
                    prop_assert_eq!(renewed, Err(RenewError));
                    prop_assert_eq!(lease, before);
                }
            }
        }
    }
}

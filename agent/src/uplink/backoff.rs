//! How long to wait before the controller is dialled again. Pure: randomness is passed in.

use std::time::Duration;

/// The most that is waited after the first failure.
const FIRST: Duration = Duration::from_millis(100);
/// The most that is waited at all.
const MOST: Duration = Duration::from_secs(10);
/// The most that is waited while faults stand here, which somebody is to renew: far below a lease. And where another
/// one of several controllers may be, which may lead from now on.
const PRESSING: Duration = Duration::from_secs(1);
/// The most that is waited, and twice the least, where another one leads to whom there is a connection, and nothing here
/// would be renewed: who leads next is in no hurry, and the end of that connection is heard of at once.
const RELAXED: Duration = Duration::from_secs(3);
/// A connection that lived this long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Nobody was reached, or nobody answered as a controller does.
    Failed,
    /// A controller said no; asking it often changes nothing.
    Refused,
    /// There was a connection for this long.
    Lived(Duration),
}

/// What waits for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing that ends without one.
    None,
    /// Faults, whose leases run.
    Renewals,
    /// Whoever leads next: this is one of several places of a controller, and none of them is connected.
    Leader,
    /// The same, while another place is connected.
    Successor,
}

/// Counts attempts; full jitter but for who has a connection anyway, so that all agents of a controller that was away do not come at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    ceiling: Option<Duration>,
}

impl Backoff {
    /// How long to wait after `attempt`: a share of `random` / 2^32 of what may be waited by now. Of a
    /// refusal, and for a successor, at least the half.
    pub fn after(&mut self, attempt: Attempt, need: Need, random: u32) -> Duration {
        let most = match need {
            Need::None => MOST,
            Need::Renewals | Need::Leader => PRESSING,
            Need::Successor => RELAXED,
        };
        let ceiling = match (attempt, self.ceiling) {
            (Attempt::Refused, _) => MOST,
            (Attempt::Lived(time), _) if time >= GOOD => FIRST,
            (Attempt::Failed | Attempt::Lived(_), None) => FIRST,
            (Attempt::Failed | Attempt::Lived(_), Some(before)) => (before * 2).min(most),
        };
        self.ceiling = Some(ceiling);
        match (attempt, need) {
            (Attempt::Refused, _) | (Attempt::Failed | Attempt::Lived(_), Need::Successor) => {
                ceiling / 2 + share(ceiling / 2, random)
            }
            (Attempt::Failed | Attempt::Lived(_), Need::None | Need::Renewals | Need::Leader) => {
                share(ceiling, random)
            }
        }
    }
}

fn share(of: Duration, random: u32) -> Duration {
    of.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_waits_longer_each_time_and_less_after_a_good_connection() {
        use Attempt::{Failed, Lived, Refused};
        let ms = Duration::from_millis;
        // The attempt, and the most and the least that is waited after it, in ms.
        let table = [
            (Failed, 100, 0),
            (Failed, 200, 0),
            (Failed, 400, 0),
            (Lived(ms(9_999)), 800, 0),
            (Failed, 1_600, 0),
            (Lived(ms(10_000)), 100, 0),
            (Failed, 200, 0),
            (Refused, 10_000, 5_000),
            (Refused, 10_000, 5_000),
            (Failed, 10_000, 0),
            (Lived(ms(3_600_000)), 100, 0),
        ];
        let mut backoff = Backoff::default();
        for (step, (attempt, most, least)) in table.into_iter().enumerate() {
            let mut lucky = backoff.clone();
            assert_eq!(backoff.after(attempt, Need::None, u32::MAX), ms(most), "step {step}");
            assert_eq!(lucky.after(attempt, Need::None, 0), ms(least), "step {step}");
        }
    }

    #[test]
    fn who_holds_faults_dials_again_within_a_second_but_for_a_refusal() {
        use Attempt::{Failed, Refused};
        let mut backoff = Backoff::default();
        let mut waited = |attempt, need| backoff.after(attempt, need, u32::MAX).as_millis();
        for _ in 0..20 {
            waited(Failed, Need::None);
        }
        assert_eq!(waited(Failed, Need::Renewals), 1_000);
        assert_eq!(waited(Failed, Need::Leader), 1_000);
        assert_eq!(waited(Failed, Need::None), 2_000);
        assert_eq!(waited(Refused, Need::Renewals), 10_000);
        assert_eq!(waited(Failed, Need::Renewals), 1_000);
    }

    #[test]
    fn who_is_connected_and_holds_nothing_asks_rarely_for_who_leads_next() {
        use Attempt::Failed;
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.after(Failed, Need::Successor, 0);
        }
        for (random, need, millis) in [
            (u32::MAX, Need::Successor, 3_000),
            (0, Need::Successor, 1_500),
            // Its connection is lost, or there is something to be renewed.
            (u32::MAX, Need::Leader, 1_000),
            (u32::MAX, Need::Renewals, 1_000),
        ] {
            assert_eq!(backoff.after(Failed, need, random).as_millis(), millis, "{need:?}");
        }
    }

    proptest! {
        #[test]
        fn it_never_waits_longer_than_ten_seconds(randoms in proptest::collection::vec(any::<u32>(), 0..64)) {
            let mut backoff = Backoff::default();
            for random in randoms {
                prop_assert!(backoff.after(Attempt::Failed, Need::None, random) <= MOST);
            }
        }
    }
}

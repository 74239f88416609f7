//! Which faults stood at a target while its packets were captured, in words for whoever reads them. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use experiment::timestamp::Timestamp;
use fault::{BootTime, FaultId, Status, TargetIdentity};

use crate::output::route::describe;

/// A fault as it was heard of.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// How it stood.
    pub(crate) status: Status,
    /// When that was, by the clock of whoever heard it.
    pub(crate) at: SystemTime,
}

impl Heard {
    /// Whether it stands at this target, or about it.
    fn concerns(&self, target: &TargetIdentity) -> bool {
        let fault = &self.status.fault;
        let followed = fault.peers.followed.iter().map(|peer| &peer.identity);
        let mut all = followed.chain([&fault.target]);
        all.any(|one| (one.boot, one.namespace) == (target.boot, target.namespace))
    }

    fn wall(&self, boot: BootTime) -> SystemTime {
        let now = self.status.now;
        if boot > now { self.at + boot.since(now) } else { self.at - now.since(boot) }
    }

    /// When it began and ends or ended, at the latest; `None` for one that was never let act.
    fn span(&self) -> Option<(SystemTime, SystemTime)> {
        let window = self.status.lease?;
        Some((self.wall(window.start), self.wall(window.deadline)))
    }
}

/// What is to be said first: the faults that stand already.
pub(crate) fn standing(heard: &[Heard], target: &TargetIdentity) -> Vec<String> {
    let now = heard.iter().filter(|one| one.concerns(target) && !one.status.state.is_final());
    now.filter_map(|one| {
        let (from, until) = one.span()?;
        let words = describe(&one.status.fault);
        Some(format!("{words}, from {} until {} at the latest", moment(from), moment(until)))
    })
    .collect()
}

/// What is to be said last: what became of all that stood at some time since a capture began.
pub(crate) fn stood(
    heard: &[Heard],
    target: &TargetIdentity,
    before: &[FaultId],
    began: SystemTime,
) -> Vec<String> {
    let met = |one: &&Heard| {
        let id = one.status.fault.id;
        one.concerns(target)
            && (before.contains(&id) || one.span().is_some_and(|(from, _)| from >= began))
    };
    let said = heard.iter().filter(met).filter_map(|one| {
        let (from, _) = one.span()?;
        let (words, state) = (describe(&one.status.fault), one.status.standing());
        Some(format!("{words}, from {}; {state} at {}", moment(from), moment(one.at)))
    });
    said.collect()
}

/// Those of them that stand at a target now.
pub(crate) fn known(heard: &[Heard], target: &TargetIdentity) -> Vec<FaultId> {
    let now = heard.iter().filter(|one| one.concerns(target) && !one.status.state.is_final());
    now.map(|one| one.status.fault.id).collect()
}

fn moment(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use fault::State;

    use super::*;
    use crate::cut::specimen;

    fn second(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A cut that acts from the second 998 of 1970 for a minute, heard of at 1,000.
    fn heard() -> Heard {
        let status = specimen::status(0, State::Active, 1, 1);
        Heard { status, at: UNIX_EPOCH + second(1_000) }
    }

    #[test]
    fn what_stands_is_said_with_its_times() {
        let one = heard();
        let target = one.status.fault.target;
        let said = standing(std::slice::from_ref(&one), &target);
        assert_eq!(said.len(), 1);
        let times = "from 1970-01-01T00:16:38.000000+00:00 until 1970-01-01T00:17:38.000000+00:00";
        assert!(said[0].contains(times), "{said:?}");
        assert!(said[0].contains(&one.status.fault.id.to_string()), "{said:?}");
        assert_eq!(known(std::slice::from_ref(&one), &target), [one.status.fault.id]);
        let mut other = target;
        other.namespace = fault::NamespaceCookie::new(999_999);
        assert!(standing(std::slice::from_ref(&one), &other).is_empty());
        let mut over = one;
        over.status.state = State::Healed;
        assert!(standing(&[over], &target).is_empty());
    }

    #[test]
    fn what_came_or_went_meanwhile_is_said_at_the_end() {
        let mut one = heard();
        let (target, id) = (one.status.fault.target, one.status.fault.id);
        one.status.state = State::Healed;
        let (early, late) = (UNIX_EPOCH + second(900), UNIX_EPOCH + second(999));
        let said =
            |before: &[FaultId], began| stood(std::slice::from_ref(&one), &target, before, began);
        assert_eq!(said(&[], early).len(), 1, "it began meanwhile");
        assert!(said(&[], late).is_empty(), "it was over before");
        let told = said(&[id], late);
        assert!(told[0].ends_with("; healed at 1970-01-01T00:16:40.000000+00:00"), "{told:?}");
    }
}

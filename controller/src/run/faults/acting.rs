//! The faults of a run that act, in a few words each, for whoever looks on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use experiment::model::FaultLabel;
use fault::{IntentId, Status};
use proto::control as wire;

use super::Faults;
use crate::control::is_over;
use crate::fleet::client::Client;
use crate::fleet::statuses;
use crate::output::quantity::time;
use crate::output::route::done;

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acting {
    /// What the run calls it, and what it has done.
    pub(crate) doing: String,
    /// Until its end.
    pub(crate) left: Option<Duration>,
    /// Until the end of its lease.
    pub(crate) lease: Option<Duration>,
}

/// Where faults are looked at.
#[derive(Clone)]
pub(crate) enum Sight {
    /// Where this command keeps them.
    Kept(Arc<Faults>),
    /// At the controller that has put them in for a run of its own.
    Elsewhere(Arc<Elsewhere>),
}

impl Sight {
    /// The faults that act; none while nobody can say.
    pub(crate) async fn acting(&self) -> Vec<Acting> {
        match self {
            Self::Kept(faults) => faults.acting().await,
            Self::Elsewhere(elsewhere) => elsewhere.acting().await,
        }
    }
}

/// Faults of a run that a controller decides.
pub(crate) struct Elsewhere {
    client: Client,
    own: Mutex<BTreeMap<FaultLabel, IntentId>>,
}

impl Elsewhere {
    /// None yet.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, own: Mutex::default() }
    }

    fn own(&self) -> MutexGuard<'_, BTreeMap<FaultLabel, IntentId>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of which faults the run has.
    pub(crate) fn hear(&self, run: &wire::Run) {
        let named = run.faults.iter().filter_map(|fault| {
            Some((fault.label.parse().ok()?, IntentId::from_random(fault.intent)))
        });
        *self.own() = named.collect();
    }

    async fn acting(&self) -> Vec<Acting> {
        let own = self.own().clone();
        if own.is_empty() {
            return Vec::new();
        }
        let intents = self.client.clone().list().await.unwrap_or_default();
        told(&own, &living(&intents))
    }
}

/// The parts of everything that has not ended.
pub(super) fn living(intents: &[wire::Intent]) -> Vec<Status> {
    intents.iter().filter(|intent| !is_over(intent)).flat_map(statuses).collect()
}

/// Those of a run that act, in the order of their names.
pub(super) fn told(own: &BTreeMap<FaultLabel, IntentId>, statuses: &[Status]) -> Vec<Acting> {
    let acting = own.iter().filter_map(|(label, intent)| {
        let parts: Vec<&Status> = statuses
            .iter()
            .filter(|status| status.fault.id.intent == *intent && !status.state.is_final())
            .collect();
        let done = parts.first().map(|first| match parts.len() {
            1 => done(first),
            several => format!("{} and {} more", done(first), several - 1),
        })?;
        Some(Acting {
            doing: format!("{label}: {done}"),
            left: parts.iter().filter_map(|part| part.time_left()).min(),
            lease: parts.iter().filter_map(|part| part.lease_left()).min(),
        })
    });
    acting.collect()
}

impl Acting {
    /// How long it acts still, and its lease.
    pub(crate) fn times(&self) -> [String; 2] {
        let shown = |name: &str, span: Option<Duration>| {
            span.map_or_else(String::new, |span| format!(", {name} {}", time(span)))
        };
        [shown("left", self.left), shown("lease", self.lease)]
    }
}

#[cfg(test)]
mod tests {
    use fault::State;

    use super::*;
    use crate::cut::specimen;

    #[test]
    fn what_acts_is_told_with_its_times_and_what_has_ended_is_not() {
        let own = BTreeMap::from([("cut".parse().unwrap(), IntentId::from_random(10))]);
        let statuses =
            [specimen::status(0, State::Active, 9, 9), specimen::status(1, State::Active, 1, 1)];
        let acting = told(&own, &statuses);
        assert_eq!(acting[0].doing, "cut: lost 9 packets, 900 B and 1 more");
        assert_eq!(acting[0].times(), [", left 58s", ", lease 13s"]);
        assert_eq!(told(&own, &[specimen::status(0, State::Healed, 9, 9)]), []);
        assert_eq!(told(&BTreeMap::new(), &statuses), []);
    }

    #[test]
    fn what_is_over_at_a_controller_is_none_of_the_living() {
        let status = Some(specimen::status(0, State::Active, 1, 1).into());
        let part = wire::Part { status, ..wire::Part::default() };
        let intent = |stage: wire::Stage| wire::Intent {
            stage: stage.into(),
            parts: vec![part.clone()],
            ..wire::Intent::default()
        };
        let all = [intent(wire::Stage::Active), intent(wire::Stage::Healed)];
        assert_eq!(living(&all).len(), 1);
    }
}

//! What faults did, as a run takes it.

use std::collections::BTreeMap;

use experiment::run::{Effect, HadEffect};
use fault::Status;
use proto::control::Intent;
use serde_json::{Map, Value};

use crate::fleet;
use crate::output::route::Route;

/// All parts of a fault together.
pub(crate) fn of(statuses: &[Status]) -> Effect {
    let mut routes: BTreeMap<String, bool> = BTreeMap::new();
    for status in statuses {
        *routes.entry(Route::from(&status.fault).to_string()).or_default() |= status.happened();
    }
    Effect { had: had(routes.into_values()), figures: figures(statuses) }
}

/// All parts of an intent together.
pub(crate) fn of_intent(intent: &Intent) -> Effect {
    let had = had(fleet::happened(intent).into_iter());
    Effect { had, figures: figures(&fleet::statuses(intent)) }
}

/// Whether there was an effect wherever there should be one.
fn had(happened: impl Iterator<Item = bool>) -> HadEffect {
    let each: Vec<bool> = happened.collect();
    match (each.is_empty(), each.iter().all(|happened| *happened)) {
        (true, _) => HadEffect::Unknown,
        (false, true) => HadEffect::Yes,
        (false, false) => HadEffect::No,
    }
}

fn figures(statuses: &[Status]) -> Map<String, Value> {
    let matched: u64 = statuses.iter().map(|status| status.effect.matched).sum();
    let lost: u64 = statuses.iter().map(|status| status.effect.lost).sum();
    let mut figures = Map::new();
    if statuses.iter().any(|status| status.fault.kind.cut().is_some()) {
        let passed = matched.saturating_sub(lost);
        figures.insert("matched".to_owned(), matched.into());
        figures.insert("lost".to_owned(), lost.into());
        figures.insert("passed".to_owned(), passed.into());
        figures.insert("delivered".to_owned(), passed.into());
    }
    let measured: Vec<Value> = statuses
        .iter()
        .filter_map(|status| serde_json::to_value(status.measured.as_ref()?).ok())
        .collect();
    if !measured.is_empty() {
        figures.insert("measured".to_owned(), measured.into());
    }
    figures
}

#[cfg(test)]
mod tests {
    use fault::State;
    use proto::control as wire;
    use serde_json::json;

    use super::*;
    use crate::cut::specimen;

    /// One direction that is enforced at both ends, which matched so many packets.
    fn at_both_ends(matched: [u64; 2]) -> Intent {
        let part = |(number, matched): (u16, u64)| wire::Part {
            part: number.into(),
            status: Some(specimen::status(number, State::Healed, matched, matched).into()),
            ..Default::default()
        };
        Intent {
            cuts: vec![wire::Cut { parts: vec![0, 1], ..Default::default() }],
            parts: (0..).zip(matched).map(part).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn what_one_end_loses_never_comes_to_the_other() {
        let whole = of_intent(&at_both_ends([0, 9]));
        assert_eq!((whole.had, &whole.figures["lost"]), (HadEffect::Yes, &json!(9)));
        assert_eq!(of_intent(&at_both_ends([0, 0])).had, HadEffect::No);
        assert_eq!(of_intent(&Intent::default()).had, HadEffect::Unknown);
    }
}

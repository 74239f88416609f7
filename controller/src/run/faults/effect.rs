//! What faults did, as a run takes it.

use std::collections::BTreeMap;

use experiment::run::{Effect, HadEffect};
use fault::Status;
use serde_json::{Map, Value, json};

use crate::output::route::Route;

/// All parts of a fault together.
pub(crate) fn of(statuses: &[Status]) -> Effect {
    let mut routes: BTreeMap<String, bool> = BTreeMap::new();
    for status in statuses {
        *routes.entry(Route::from(&status.fault).to_string()).or_default() |= status.happened();
    }
    let had = match (routes.is_empty(), routes.values().all(|happened| *happened)) {
        (true, _) => HadEffect::Unknown,
        (false, true) => HadEffect::Yes,
        (false, false) => HadEffect::No,
    };
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
    Effect { had, figures }
}

/// The same as the output of a probe.
pub(crate) fn value(effect: &Effect) -> Value {
    let mut value = Value::Object(effect.figures.clone());
    value["effect"] = match effect.had {
        HadEffect::Yes => json!(true),
        HadEffect::No => json!(false),
        HadEffect::Unknown => Value::Null,
    };
    value
}

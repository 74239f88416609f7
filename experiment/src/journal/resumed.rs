//! The journal of a run whose rollbacks another one plays.

use serde_json::{Map, Value, json};

use super::Journal;

/// The journal of a run that was killed, with what the one came to that finishes what it owed.
#[must_use]
pub fn resumed(before: &Map<String, Value>, by: &Journal) -> Map<String, Value> {
    let mut whole = before.clone();
    if let Some(Value::Array(list)) = whole.get_mut("rollbacks") {
        list.extend(by.rollbacks.iter().filter_map(|item| serde_json::to_value(item).ok()));
    }
    let Some(Value::Object(ours)) = whole.get_mut("schism") else { return whole };
    for key in ["unfinished", "owed"] {
        match by.ours.get(key) {
            Some(value) => ours.insert(key.to_owned(), value.clone()),
            None => ours.shift_remove(key),
        };
    }
    if let (Some(Value::Object(faults)), Some(Value::Object(new))) =
        (ours.get_mut("faults"), by.ours.get("faults"))
    {
        faults.extend(new.clone());
    }
    let entry = json!({
        "start": by.start,
        "end": by.end,
        "status": by.status,
        "reasons": by.ours.get("reasons"),
    });
    let list = ours.entry("resumed").or_insert_with(|| json!([]));
    if let Value::Array(list) = list {
        list.push(entry);
    }
    whole
}

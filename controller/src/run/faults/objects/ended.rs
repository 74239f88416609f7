//! How objects have ended, as their run takes it. Pure.

use experiment::model::FaultLabel;
use experiment::run::{Effect, Event, HadEffect, Healing};
use serde_json::{Map, Value};

use crate::objects::status::{Phase, Status};
use crate::outcome::Outcome;

/// What is said of an end of which nobody told.
pub(super) const UNTOLD: &str = "its object is gone, and its end was not told: its lease ends it";

/// What a fault has done, by what its object says.
pub(super) fn effect(status: &Status) -> Effect {
    Effect { had: had(status), figures: figures(status) }
}

fn had(status: &Status) -> HadEffect {
    // A controller that is older says it at the end, by what a command would come to.
    let of_code = match status.exit_code {
        Some(code) if code == Outcome::Effective.code() => Some(true),
        Some(code) if code == Outcome::NothingMatched.code() => Some(false),
        Some(_) | None => None,
    };
    let of_links = || {
        let links = &status.directions;
        (!links.is_empty()).then(|| links.iter().all(|direction| direction.silent == 0))
    };
    match status.had_effect.or(of_code).or_else(of_links) {
        Some(true) => HadEffect::Yes,
        Some(false) => HadEffect::No,
        None => HadEffect::Unknown,
    }
}

/// Packets of a cut, and on how many links nothing was lost; of what is done to processes the sentence.
fn figures(status: &Status) -> Map<String, Value> {
    let mut figures = Map::new();
    let mut put = |key: &str, value: Value| figures.insert(key.to_owned(), value);
    if let (Some(matched), Some(lost)) = (status.matched, status.lost) {
        let passed = matched.saturating_sub(lost);
        put("matched", matched.into());
        put("lost", lost.into());
        put("passed", passed.into());
        put("delivered", passed.into());
        let sum = |of: fn(&crate::objects::status::Direction) -> u32| {
            status.directions.iter().map(|direction| u64::from(of(direction))).sum::<u64>()
        };
        put("links", sum(|direction| direction.links).into());
        put("silent", sum(|direction| direction.silent).into());
    } else if !status.effect.is_empty() {
        put("said", status.effect.clone().into());
    }
    figures
}

/// What is not confirmed to be out, if anything is not.
fn unconfirmed(status: &Status) -> Option<String> {
    let said = Some(status.unconfirmed.clone()).filter(|said| !said.is_empty());
    match status.phase {
        Phase::Unconfirmed => Some(said.unwrap_or_else(|| why(status))),
        // An older controller says so by what a command would come to.
        Phase::Failed if status.started_at.is_some() => said.or_else(|| {
            let stays = status.exit_code == Some(Outcome::Unconfirmed.code());
            stays.then(|| why(status))
        }),
        Phase::Failed => said,
        Phase::Pending
        | Phase::Refused
        | Phase::Active
        | Phase::Healing
        | Phase::Healed
        | Phase::Expired
        | Phase::Unknown => None,
    }
}

/// Why it ended as it did.
fn why(status: &Status) -> String {
    let failed = status.failures.first();
    match (&*status.message, failed) {
        ("", Some(failed)) => format!("{}: {}", failed.node, failed.message),
        ("", None) => status.phase.word().to_lowercase(),
        (message, _) => message.to_owned(),
    }
}

/// What the last state of an object says that was to go.
pub(super) fn healing(status: &Status) -> Healing {
    if let Some(why) = unconfirmed(status) {
        return Healing::Unconfirmed(why);
    }
    match status.phase {
        Phase::Pending | Phase::Refused => Healing::Absent,
        Phase::Failed | Phase::Healed | Phase::Expired if status.started_at.is_none() => {
            Healing::Absent
        }
        Phase::Failed => Healing::Broken(effect(status), why(status)),
        Phase::Healed | Phase::Expired => Healing::Out(effect(status)),
        Phase::Active | Phase::Healing | Phase::Unconfirmed | Phase::Unknown => {
            Healing::Unconfirmed(UNTOLD.to_owned())
        }
    }
}

/// What a run is told of a fault that is over, and that it did not end itself; nothing of one that never acted, of which
/// whoever asked for it is told.
pub(super) fn over(label: &FaultLabel, status: &Status) -> Vec<Event> {
    if status.started_at.is_none() {
        return Vec::new();
    }
    let stays = unconfirmed(status);
    let is_early = match status.phase {
        Phase::Healed => true,
        // It is failed, too, if it ran its time and could not be taken out.
        Phase::Failed => stays.is_none() || status.ended_at < status.until,
        // Also not when it ended.
        Phase::Unconfirmed => {
            return vec![Event::FaultLost(label.clone(), stays.unwrap_or_default())];
        }
        Phase::Expired => false,
        Phase::Pending | Phase::Refused | Phase::Active | Phase::Healing | Phase::Unknown => {
            return Vec::new();
        }
    };
    let broke = is_early.then(|| Event::FaultBroke(label.clone(), why(status)));
    let over = match stays {
        None => Event::FaultEnded(label.clone(), effect(status)),
        Some(why) => Event::FaultStays(label.clone(), why),
    };
    broke.into_iter().chain([over]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::faults::ended::tests::{word, words};

    fn status(said: Value) -> Status {
        let mut whole = json!({
            "startedAt": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:01:00Z",
            "endedAt": "2026-01-01T00:00:09Z", "matched": 9, "lost": 7,
            "directions": [{"links": 3, "silent": 1}, {"links": 2}],
        });
        whole.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn ends_are_told_as_wherever_else_faults_are_put_in() {
        let whole = "2026-01-01T00:01:00Z";
        let never = json!({"phase": "Failed", "exitCode": 5, "startedAt": null});
        let table = [
            (json!({"phase": "Healed", "exitCode": 0}), "out", vec!["broke", "ended"]),
            (json!({"phase": "Expired", "exitCode": 3}), "out", vec!["ended"]),
            (json!({"phase": "Failed", "exitCode": 1}), "broken", vec!["broke", "ended"]),
            (json!({"phase": "Failed", "exitCode": 5}), "unconfirmed", vec!["broke", "stays"]),
            (
                json!({"phase": "Failed", "exitCode": 5, "unconfirmed": "x", "endedAt": whole}),
                "unconfirmed",
                vec!["stays"],
            ),
            (json!({"phase": "Unconfirmed", "exitCode": 5}), "unconfirmed", vec!["lost"]),
            (never, "absent", vec![]),
            (json!({"phase": "Refused", "startedAt": null}), "absent", vec![]),
            (json!({"phase": "Pending", "startedAt": null}), "absent", vec![]),
            // Nobody has said how they ended.
            (json!({"phase": "Active"}), "unconfirmed", vec![]),
            (json!({"phase": "Healing"}), "unconfirmed", vec![]),
        ];
        let label: FaultLabel = "the-cut".parse().unwrap();
        for (said, expected, told) in table {
            let status = status(said.clone());
            assert_eq!(word(&healing(&status)), expected, "{said}");
            assert_eq!(words(&over(&label, &status)), told, "{said}");
        }
    }

    #[test]
    fn an_effect_is_what_the_status_counts() {
        let figures =
            json!({"matched": 9, "lost": 7, "passed": 2, "delivered": 2, "links": 5, "silent": 1});
        let table = [
            (json!({"hadEffect": true}), HadEffect::Yes),
            (json!({"exitCode": 0}), HadEffect::Yes),
            (json!({"exitCode": 3}), HadEffect::No),
            (json!({"exitCode": 0, "hadEffect": false}), HadEffect::No),
            (json!({}), HadEffect::No),
            (json!({"directions": []}), HadEffect::Unknown),
        ];
        for (said, had) in table {
            let effect = effect(&status(said.clone()));
            assert_eq!(effect.had, had, "{said}");
            assert_eq!(effect.figures["lost"], figures["lost"]);
        }
        assert_eq!(Value::Object(effect(&status(json!({}))).figures), figures);
        let frozen = Status { effect: "held 9 threads".to_owned(), ..Status::default() };
        assert_eq!(effect(&frozen).figures["said"], "held 9 threads");
    }
}

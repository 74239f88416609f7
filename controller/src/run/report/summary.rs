//! The last words of a command: what it came to in one line, for whoever reads nothing else of it. Kubernetes keeps
//! 4096 bytes of what a container says as it ends.

use serde_json::{Map, Value, json};

use super::{Dues, Entry, Step};
use crate::failure::Failure;
use crate::outcome::Outcome;

/// So long is the whole, with the end of its line, in bytes.
const LONGEST: usize = 4096;

/// How much of it is told: characters of a text, and how many of each list. The first that fits is taken.
const ROOMS: [Room; 5] = [
    Room { text: 300, items: 10 },
    Room { text: 160, items: 5 },
    Room { text: 80, items: 3 },
    Room { text: 40, items: 1 },
    Room { text: 0, items: 0 },
];

#[derive(Clone, Copy, Debug)]
struct Room {
    text: usize,
    items: usize,
}

/// What a command came to, with the end of its line.
pub(in crate::run) fn summary(done: &Result<Outcome, Failure>, entries: &[Entry]) -> String {
    let lines = ROOMS.map(|room| {
        let mut teller = Teller { room, left_out: false };
        let whole = teller.whole(done, entries);
        format!("{whole}\n")
    });
    let [.., least] = &lines;
    lines.iter().find(|line| line.len() <= LONGEST).unwrap_or(least).clone()
}

/// Tells as much as there is room for.
struct Teller {
    room: Room,
    left_out: bool,
}

impl Teller {
    fn whole(&mut self, done: &Result<Outcome, Failure>, entries: &[Entry]) -> Value {
        let (outcome, error) = match done {
            Ok(outcome) => (*outcome, Value::Null),
            Err(failure) => (failure.outcome, self.error(failure)),
        };
        let runs: Vec<Value> = self.some(entries).iter().map(|entry| self.run(entry)).collect();
        json!({
            "schema": "schism.run-summary/v1",
            "exit_code": outcome.code(),
            "error": error,
            "runs": runs,
            "left_out": self.left_out,
        })
    }

    fn error(&mut self, failure: &Failure) -> Value {
        let hint = failure.hint.as_deref().map(|hint| self.short(hint));
        let message = self.short(&failure.to_string());
        json!({"kind": failure.cause, "message": message, "hint": hint})
    }

    fn run(&mut self, entry: &Entry) -> Value {
        let reasons: Vec<String> =
            self.some(&entry.reasons).iter().map(|reason| self.short(reason)).collect();
        json!({
            "title": entry.title.as_str().map(|title| self.short(title)),
            "status": entry.status,
            "deviated": entry.deviated,
            "exit_code": entry.exit_code,
            "reasons": reasons,
            "steps": counts(&entry.steps, "method"),
            "rollbacks": counts(&entry.steps, "rollbacks"),
            "faults": self.faults(&entry.faults),
            "owed": self.owed(&entry.owed),
            "seed": entry.seed,
            "seconds": entry.seconds,
        })
    }

    fn owed(&mut self, owed: &Dues) -> Value {
        let mut names = |all: &[String]| -> Vec<String> {
            self.some(all).iter().map(|name| self.short(name)).collect()
        };
        json!({"rollbacks": names(&owed.rollbacks), "faults": names(&owed.faults)})
    }

    fn faults(&mut self, faults: &Value) -> Value {
        let all: Vec<(&String, &Value)> = faults.as_object().into_iter().flatten().collect();
        let told = self.some(&all).iter().map(|(label, fault)| {
            let effect = match fault["had_effect"].as_bool() {
                Some(true) => "yes",
                Some(false) => "no",
                None => "unknown",
            };
            let mut shown = json!({"effect": effect});
            if let Some(lost) = fault["effect"]["lost"].as_u64() {
                shown["lost"] = lost.into();
            }
            ((*label).clone(), shown)
        });
        Value::Object(told.collect::<Map<_, _>>())
    }

    /// The first of a list.
    fn some<'a, T>(&mut self, all: &'a [T]) -> &'a [T] {
        self.left_out |= all.len() > self.room.items;
        &all[..all.len().min(self.room.items)]
    }

    /// The beginning of a text.
    fn short(&mut self, text: &str) -> String {
        let Some((end, _)) = text.char_indices().nth(self.room.text) else {
            return text.to_owned();
        };
        self.left_out = true;
        format!("{}…", &text[..end])
    }
}

/// How many steps of a section have ended in which way.
fn counts(steps: &[Step], section: &str) -> Value {
    let count = |is: fn(&Value) -> bool| {
        steps.iter().filter(|step| step.section == section && is(&step.status)).count()
    };
    json!({
        "succeeded": count(|status| status == "succeeded"),
        "failed": count(|status| status == "failed"),
        // In the words of the original such a step has no status.
        "interrupted": count(|status| status != "succeeded" && status != "failed"),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Told;
    use super::*;
    use crate::failure::Cause;

    fn entry(reasons: Vec<String>) -> Entry {
        let step = |status: &str| json!({"activity": {"name": "x"}, "status": status});
        let journal = json!({
            "experiment": {"title": "a \"title\"", "rollbacks": []},
            "run": [step("succeeded"), step("failed"), step("interrupted")],
            "rollbacks": [step("succeeded")],
            "duration": 1.5,
            "schism": {
                "seed": 7,
                "faults": {
                    "the-cut": {"state": "ended", "had_effect": true, "effect": {"lost": 9}},
                    "the-freeze": {"state": "unconfirmed"},
                },
                "owed": {"rollbacks": [], "faults": {"the-freeze": "000000000007"}},
            },
        });
        let told = Told { status: "failed".to_owned(), deviated: true, reasons, explanation: None };
        Entry::new("a.json".to_owned(), Path::new("j.json"), &journal, told, Outcome::Deviated)
    }

    #[test]
    fn a_run_is_told_in_a_line() {
        let said = summary(&Ok(Outcome::Deviated), &[entry(vec!["`x` failed".to_owned()])]);
        assert!(said.ends_with("}\n") && said.lines().count() == 1, "{said}");
        let said: Value = serde_json::from_str(&said).unwrap();
        let run = json!({
            "title": "a \"title\"", "status": "failed", "deviated": true, "exit_code": 1,
            "reasons": ["`x` failed"],
            "steps": {"succeeded": 1, "failed": 1, "interrupted": 1},
            "rollbacks": {"succeeded": 1, "failed": 0, "interrupted": 0},
            "faults": {"the-cut": {"effect": "yes", "lost": 9}, "the-freeze": {"effect": "unknown"}},
            "owed": {"rollbacks": [], "faults": ["the-freeze"]},
            "seed": 7, "seconds": 1.5,
        });
        let whole = json!({
            "schema": "schism.run-summary/v1", "exit_code": 1, "error": null, "runs": [run],
            "left_out": false,
        });
        assert_eq!(said, whole);
    }

    #[test]
    fn however_much_there_is_to_say_it_fits() {
        // The longest texts there are as JSON.
        let reasons = || vec!["\u{1}".repeat(5_000); 50];
        let many: Vec<Entry> = (0..50).map(|_| entry(reasons())).collect();
        let failure = Failure::caused(Cause::Unreachable, "cannot begin", "\u{1}".repeat(9_000));
        for (done, entries) in [
            (Ok(Outcome::Deviated), &many[..1]),
            (Ok(Outcome::Deviated), &many[..]),
            (Err(failure.clone()), &many[..]),
            (Err(failure.hint("\u{1}".repeat(9_000))), &many[..0]),
        ] {
            let said = summary(&done, entries);
            assert!(said.len() <= LONGEST, "{}", said.len());
            let said: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(said["left_out"], true);
            assert_eq!(said["exit_code"], if done.is_ok() { 1 } else { 5 });
            assert_eq!(said["error"].is_null(), done.is_ok());
        }
    }
}

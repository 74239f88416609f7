//! In `compat`, what the original comes to, for every row of `vectors/verdicts.json`.

use std::time::Duration;

use experiment::journal::Status;
use experiment::run::invocation::Invocation;
use experiment::run::{Ending, FailFast, Interruption, Perform, Terms, Verdicts};
use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// The functions that the original was given, and its other steps.
pub(crate) fn player() -> impl FnMut(&Perform) -> Answer {
    let mut calls = 0;
    move |perform| {
        let ending = match perform.invocation.reveal() {
            Invocation::Http { .. } => Ending::Crashed("no such address".into()),
            Invocation::Process { .. } => {
                Ending::Returned(json!({"status": 1, "stdout": "", "stderr": ""}))
            }
            Invocation::Python { func, arguments, .. } => {
                let within = |calls: &mut i64| {
                    *calls += 1;
                    *calls <= arguments["n"].as_i64().unwrap()
                };
                match func.as_str() {
                    "ok" => Ending::Returned(json!(true)),
                    "not_ok" => Ending::Returned(json!(false)),
                    "boom" => Ending::Failed("RuntimeError: boom".into()),
                    "nap" => {
                        return (Duration::from_millis(200), Ending::Returned(Value::Null));
                    }
                    "first" => Ending::Returned(json!(within(&mut calls))),
                    "boom_after" if within(&mut calls) => Ending::Returned(json!(true)),
                    "boom_after" => Ending::Failed("RuntimeError: boom".into()),
                    "mapping_after" if within(&mut calls) => Ending::Returned(json!("text")),
                    "mapping_after" => Ending::Returned(json!({"a": 1})),
                    other => panic!("nobody knows {other}"),
                }
            }
            other @ (Invocation::Schism { .. } | Invocation::Targets { .. }) => {
                panic!("{other:?}")
            }
        };
        (Duration::ZERO, ending)
    }
}

fn terms(row: &Value) -> Terms {
    let mut terms = Terms::new(Verdicts::Compat);
    terms.frequency = Duration::from_millis(50);
    terms.hypothesis = row["strategy"].as_str().unwrap().parse().unwrap();
    terms.rollbacks = row["rollback-strategy"].as_str().unwrap().parse().unwrap();
    terms.fail_fast = if row["fail-fast"] == true { FailFast::Stops } else { FailFast::GoesOn };
    terms
}

#[test]
fn compat_comes_to_what_the_original_comes_to() {
    let table: Value = serde_json::from_str(include_str!("../vectors/verdicts.json")).unwrap();
    let mut wrong = Vec::new();
    let rows = table["rows"].as_array().unwrap();
    for row in rows {
        let named = |section: &str, key: &str| table[section][row[key].as_str().unwrap()].clone();
        let mut file = json!({
            "title": "t", "description": "d",
            "method": named("methods", "method"),
            "rollbacks": named("rollbacks", "rollbacks"),
        });
        let hypothesis = named("hypotheses", "hypothesis");
        if !hypothesis.is_null() {
            file["steady-state-hypothesis"] = hypothesis;
        }
        let mut rig = Rig::new(&file, terms(row));
        let verdict = rig.play(player());
        if row["original"] == "traceback" {
            if verdict.exit.code() != 1 {
                wrong.push(format!("{row}\n  ended with {}", verdict.exit.code()));
            }
            continue;
        }
        let journal = rig.journal();
        let states = &journal["steady_states"];
        let is_unmet = |state: &Value| state["steady_state_met"] == false;
        let ours = json!({
            "status": journal["status"],
            "deviated": journal["deviated"],
            "run": rig.items("run"),
            "played": rig.items("rollbacks"),
            "before": states["before"].get("steady_state_met"),
            "after": states["after"].get("steady_state_met"),
            "during-unmet": states["during"].as_array().unwrap().iter().any(is_unmet),
        });
        let exit = u8::from(journal["status"] != "completed" || journal["deviated"] == true);
        if ours != row["original"] || verdict.exit.code() != exit {
            wrong.push(format!("{row}\n  ours: {ours}"));
        }
    }
    assert!(rows.len() > 500, "the table is cut short");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// As the original did when it was sent these signals. They are not in the table, since each needs a process
/// of its own.
#[test]
fn who_interrupts_decides_about_rollbacks() {
    let nap = json!({"type": "action", "name": "nap", "provider": {"type": "python", "module": "cases", "func": "nap"}});
    let mut beside = nap.clone();
    beside["background"] = json!(true);
    beside["name"] = json!("beside");
    let file =
        json!({"title": "t", "description": "d", "method": [beside, nap], "rollbacks": [nap]});
    for (by, strategy, played) in [
        (Interruption::Sigint, "default", false),
        (Interruption::Sigterm, "always", true),
        (Interruption::Sigusr1, "always", true),
        (Interruption::Sigusr2, "always", false),
        (Interruption::Sigusr1, "deviated", false),
    ] {
        let mut terms = Terms::new(Verdicts::Compat);
        terms.rollbacks = strategy.parse().unwrap();
        let mut rig = Rig::new(&file, terms);
        let waits = !matches!(by, Interruption::Sigint | Interruption::Sigusr2);
        rig.interrupt(100, by.clone());
        let verdict = rig.play(player());
        assert_eq!((verdict.status, verdict.exit.code()), (Status::Interrupted, 1));
        assert_eq!(!rig.items("rollbacks").is_empty(), played, "{by:?} {strategy}");
        let beside = if waits { "beside succeeded" } else { "beside -" };
        assert_eq!(rig.items("run"), [beside, "nap -"], "what runs beside is waited for");
    }
}

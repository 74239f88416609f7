//! The news of a run as lines of JSON (`--events`): the original's, and ours beside them.

use serde_json::{Map, Value, json};

use crate::hint;
use crate::journal::Status;
use crate::model::{FaultLabel, Lane};
use crate::run::{HadEffect, Interruption, Progress, Section};
use crate::timestamp::Timestamp;

/// Outputs longer than this are left to the journal.
const LONGEST: usize = 4096;

/// One line, without its end.
#[must_use]
pub fn line(progress: &Progress, at: Timestamp) -> String {
    let (kind, Value::Object(rest)) = event(progress) else { return String::new() };
    let mut event = Map::new();
    event.insert("type".to_owned(), kind.into());
    event.insert("timestamp".to_owned(), at.to_string().into());
    event.extend(rest);
    Value::Object(event).to_string()
}

fn event(progress: &Progress) -> (&'static str, Value) {
    match progress {
        Progress::RunBegan { title } => ("run-started", json!({"title": title})),
        Progress::RunEnded { status, deviated } => {
            ("run-finished", json!({"status": status, "deviated": deviated}))
        }
        Progress::EvaluationBegan(section) => ("hypothesis-started", evaluated(*section)),
        Progress::EvaluationEnded { section, met, probe } => {
            let mut event = evaluated(*section);
            event["steady_state_met"] = (*met).into();
            if let Some(probe) = probe {
                event["probe"] = probe.clone().into();
            }
            ("hypothesis-completed", event)
        }
        Progress::MethodBegan => ("method-started", json!({})),
        Progress::MethodEnded => ("method-completed", json!({})),
        Progress::RollbacksBegan => ("rollbacks-started", json!({})),
        Progress::RollbacksEnded => ("rollbacks-completed", json!({})),
        Progress::RollbacksLeftOut => ("rollbacks-left-out", json!({})),
        Progress::StepBegan { section: _, name, kind, lane } => (
            "activity-started",
            json!({
                "name": name,
                "activity_type": kind.to_string(),
                "background": *lane == Lane::Background,
            }),
        ),
        Progress::StepEnded { section: _, name, kind, status, took, output, error, met } => {
            let mut event = json!({
                "name": name,
                "activity_type": kind.to_string(),
                "status": status.and_then(shown),
                "duration": took.as_secs_f64(),
            });
            bounded(&mut event, output);
            if let Some(error) = error {
                tell(&mut event, "error", error);
            }
            if let Some(met) = met {
                event["tolerance_met"] = (*met).into();
            }
            ("activity-completed", event)
        }
        Progress::Pause { name, time } => {
            ("pause", json!({"name": name, "seconds": time.as_secs_f64()}))
        }
        Progress::FaultBegan(label) => ("fault-began", json!({"fault": label.as_str()})),
        Progress::FaultEnded(label, effect) => {
            let had = match effect.had {
                HadEffect::Yes => Value::Bool(true),
                HadEffect::No => Value::Bool(false),
                HadEffect::Unknown => Value::Null,
            };
            let label = label.as_str();
            ("fault-ended", json!({"fault": label, "had_effect": had, "effect": effect.figures}))
        }
        Progress::FaultBroke(label, why) => ("fault-broke", of_fault(label, why)),
        Progress::FaultLost(label, why) => ("fault-lost", of_fault(label, why)),
        Progress::FaultUnconfirmed(label, why) => ("fault-unconfirmed", of_fault(label, why)),
        Progress::Interrupted(by) => {
            let kind = match by {
                Interruption::Asked(_)
                | Interruption::Lost
                | Interruption::Unwritten(_)
                | Interruption::Sighup
                | Interruption::Sigterm => "run-interrupted",
                Interruption::Sigint | Interruption::Sigusr1 | Interruption::Sigusr2 => {
                    "run-signal-exit"
                }
            };
            (kind, json!({"by": by.named().1}))
        }
        Progress::Noted(reason) => ("noted", json!({"reason": reason.to_string()})),
    }
}

/// What went wrong, and what to do about it.
fn tell(event: &mut Value, key: &str, why: &str) {
    let (why, hint) = hint::apart(why);
    event[key] = why.into();
    if let Some(hint) = hint {
        event["hint"] = hint.into();
    }
}

fn of_fault(label: &FaultLabel, why: &str) -> Value {
    let mut event = json!({"fault": label.as_str()});
    tell(&mut event, "reason", why);
    event
}

fn evaluated(section: Section) -> Value {
    match section {
        Section::Before => json!({"phase": "before"}),
        Section::After => json!({"phase": "after"}),
        Section::During(iteration) => json!({"phase": "during", "iteration": iteration}),
        Section::Configuration | Section::Method | Section::Rollbacks => json!({}),
    }
}

/// The original has words for the first two ways only.
fn shown(status: Status) -> Option<&'static str> {
    match status {
        Status::Completed => Some("succeeded"),
        Status::Failed => Some("failed"),
        Status::Interrupted => Some("interrupted"),
        Status::Aborted => None,
    }
}

fn bounded(event: &mut Value, output: &Value) {
    let length = output.to_string().len();
    if length > LONGEST {
        event["output_truncated"] = true.into();
        event["output_size"] = length.into();
    } else {
        event["output"] = output.clone();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::ActivityKind;

    fn ended(output: Value) -> Progress {
        Progress::StepEnded {
            section: Section::Method,
            name: "a".into(),
            kind: ActivityKind::Action,
            status: Some(Status::Completed),
            took: Duration::from_millis(1500),
            output,
            error: None,
            met: None,
        }
    }

    #[test]
    fn a_line_is_one_event() {
        let at = Timestamp::from_micros(0);
        assert_eq!(
            line(&ended("x\ny".into()), at),
            r#"{"type":"activity-completed","timestamp":"1970-01-01T00:00:00.000000+00:00","name":"a","activity_type":"action","status":"succeeded","duration":1.5,"output":"x\ny"}"#
        );
        let mut failed = ended(Value::Null);
        if let Progress::StepEnded { error, .. } = &mut failed {
            *error = Some("no\n  hint: look".to_owned());
        }
        assert!(line(&failed, at).ends_with(r#""error":"no","hint":"look"}"#));
        let long = line(&ended("x".repeat(LONGEST).into()), at);
        assert!(long.contains("\"output_size\":4098") && !long.contains("xxx"));
    }
}

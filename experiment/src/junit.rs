//! A run as a test suite (`--junit`), for whatever reads these.

use std::fmt::Write;

use crate::journal::{Item, Journal, StepStatus};
use crate::run::{Exit, Verdict};

/// One suite: a case for each step and for each steady state, and one for the verdict.
#[must_use]
pub fn suite(journal: &Journal, verdict: &Verdict) -> String {
    let mut cases = Vec::new();
    let states = &journal.steady_states;
    for (name, state) in [("before", &states.before), ("after", &states.after)] {
        let Some(state) = state else { continue };
        let wrong = state.probes.iter().filter(|probe| probe.tolerance_met == Some(false));
        let wrong: Vec<&str> = wrong.map(Item::name).collect();
        cases.push(Case {
            class: "steady state",
            name: name.to_owned(),
            seconds: state.probes.iter().filter_map(|probe| probe.duration).sum(),
            failure: (state.steady_state_met == Some(false)).then(|| wrong.join(", ")),
        });
    }
    if !states.during.is_empty() {
        let unmet = states.during.iter().filter(|state| state.steady_state_met == Some(false));
        let (unmet, all) = (unmet.count(), states.during.len());
        cases.push(Case {
            class: "steady state",
            name: "during".to_owned(),
            seconds: 0.0,
            failure: (unmet > 0).then(|| format!("not met in {unmet} of {all} evaluations")),
        });
    }
    cases.extend(journal.run.iter().map(|item| item.case("method")));
    cases.extend(journal.rollbacks.iter().map(|item| item.case("rollbacks")));
    let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
    cases.push(Case {
        class: "verdict",
        name: verdict.status.to_string(),
        seconds: journal.duration,
        failure: (verdict.exit != Exit::Done).then(|| reasons.join("; ")),
    });
    let title = journal.experiment.get("title").and_then(|title| title.as_str());
    write(title.unwrap_or_default(), journal, &cases)
}

struct Case {
    class: &'static str,
    name: String,
    seconds: f64,
    failure: Option<String>,
}

impl Item {
    fn name(&self) -> &str {
        self.activity.get("name").and_then(|name| name.as_str()).unwrap_or_default()
    }

    fn case(&self, class: &'static str) -> Case {
        let failure = match (self.status, self.tolerance_met) {
            (Some(StepStatus::Succeeded), Some(false)) => {
                Some("not within its tolerance".to_owned())
            }
            (Some(StepStatus::Succeeded), Some(true) | None) => None,
            (Some(StepStatus::Failed), _) => {
                Some(self.exception.as_ref().map(|lines| lines.concat()).unwrap_or_default())
            }
            (Some(StepStatus::Interrupted) | None, _) => {
                Some("it did not come to its end".to_owned())
            }
        };
        // Its failure fails no run, and no suite.
        let forgiven = self.activity.get("may-fail") == Some(&serde_json::Value::Bool(true));
        let failure = failure.filter(|_| !forgiven);
        let seconds = self.duration.unwrap_or_default();
        Case { class, name: self.name().to_owned(), seconds, failure }
    }
}

fn write(title: &str, journal: &Journal, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a text does not fail.
    let _written = writeln!(
        text,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" time=\"{:.3}\" timestamp=\"{}\">",
        escaped(title),
        cases.len(),
        journal.duration,
        journal.start,
    );
    for case in cases {
        let Case { class, name, seconds, failure } = case;
        let name = escaped(name);
        let _written =
            write!(text, "  <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\"");
        let _written = match failure {
            Some(why) => {
                writeln!(text, "><failure message=\"{}\"/></testcase>", escaped(why.trim()))
            }
            None => writeln!(text, "/>"),
        };
    }
    text.push_str("</testsuite>\n");
    text
}

/// Text inside of an attribute. What XML has no way to write is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\u{fffe}' | '\u{ffff}' => (),
            control if control.is_control() && control != '\t' => (),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_an_attribute() {
        assert_eq!(escaped("a<b>&\"c\"\n\u{0}\u{1b}[0m"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;[0m");
    }
}

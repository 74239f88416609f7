//! What is written of a run while it goes on: its journal, its events, and lines for people.

use std::path::Path;
use std::time::Duration;

use experiment::hint;
use experiment::journal::Status;
use experiment::run::{Progress, Reason, Run, Section, Verdict, Verdicts};
use experiment::timestamp::Timestamp;
use fault::OnOneLine;
use serde_json::Value;

use super::book::{Book, Readers, replace};
use super::news::News;
use super::view::View;
use crate::output::quantity::time;

/// Where it goes.
pub(super) struct Outlets {
    book: Book,
    verdicts: Verdicts,
    events: Option<News>,
    view: View,
    /// What is said before the first rollback.
    heading: Option<&'static str>,
    /// Why the journal, or the events, are not whole.
    troubled: Option<String>,
}

impl Outlets {
    pub(super) const fn new(
        book: Book,
        events: Option<News>,
        verdicts: Verdicts,
        view: View,
    ) -> Self {
        Self { book, verdicts, events, view, heading: None, troubled: None }
    }

    /// Writes the journal as it is now. Why it could not be written, where a run has to end by that: the
    /// original writes its journal at the end, and knows nothing of it before.
    pub(super) fn record(&mut self, run: &mut Run, now: Duration) -> Option<String> {
        let error = self.book.record(run, now).err()?;
        let is_news = self.troubled.is_none();
        self.trouble(format!("the journal {} is not written: {error}", self.book.path().display()));
        let ends = is_news && !run.is_leaving() && self.verdicts == Verdicts::Strict;
        ends.then(|| error.to_string())
    }

    /// Writes the journal as somebody else has it: whole, or not at all.
    pub(super) fn keep(&mut self, journal: &[u8]) {
        if let Err(error) = self.book.keep(journal) {
            let path = self.book.path().display();
            self.trouble(format!("the journal {path} is not written: {error}"));
        }
    }

    /// Writes what it came to for those who read suites of tests, as somebody else has it.
    pub(super) fn suite(&mut self, suite: &str, path: &Path) {
        if let Err(error) = replace(path, suite.as_bytes(), Readers::Everybody) {
            self.trouble(format!("{} is not written: {error}", path.display()));
        }
    }

    fn trouble(&mut self, why: String) {
        if self.troubled.is_none() {
            self.view.tell(&why);
        }
        self.troubled = Some(why);
    }

    /// Writes what it came to for those who read suites of tests.
    pub(super) fn judge(&mut self, run: &Run, verdict: &Verdict, now: Duration, path: &Path) {
        let suite = experiment::junit::suite(&run.journal(now), verdict);
        if let Err(error) = replace(path, suite.as_bytes(), Readers::Everybody) {
            self.trouble(format!("{} is not written: {error}", path.display()));
        }
    }

    /// Why something was not written, if anything was not.
    pub(super) fn troubled(&self) -> Option<&str> {
        self.troubled.as_deref()
    }

    /// What people see.
    pub(super) const fn view(&mut self) -> &mut View {
        &mut self.view
    }

    /// Where the journal stands.
    pub(super) fn journal(&self) -> &Path {
        self.book.path()
    }

    /// Tells whoever reads the events. Why they are not told any more, once.
    pub(super) fn publish(&mut self, progress: &Progress, now: Timestamp) -> Option<String> {
        let events = self.events.as_ref()?;
        let error = events.tell(&experiment::events::line(progress, now)).err()?;
        self.events = None;
        self.trouble(format!("events are not written any more: {error}"));
        Some(error.to_string())
    }

    /// Tells people.
    pub(super) fn tell(&mut self, progress: &Progress) {
        self.view.hear(progress);
        if *progress == Progress::RollbacksBegan {
            self.heading = Some("rollbacks");
        }
        if let Some(line) = line(progress) {
            if let Some(heading) = self.heading.take_if(|_| is_of_rollbacks(progress)) {
                self.view.tell(heading);
            }
            // Names and outputs are somebody else's.
            let (line, hint) = hint::apart(&line);
            self.view.tell(&OnOneLine(line).to_string());
            if let Some(hint) = hint {
                self.view.tell(&format!("      hint: {}", OnOneLine(hint)));
            }
        }
    }
}

/// What a part of a run is called.
pub(super) fn place(section: Section) -> String {
    match section {
        Section::Configuration => "setting".to_owned(),
        Section::Before => "before".to_owned(),
        Section::During(number) => format!("during #{number}"),
        Section::After => "after".to_owned(),
        Section::Method => "method".to_owned(),
        Section::Rollbacks => "rollback".to_owned(),
    }
}

const fn is_of_rollbacks(progress: &Progress) -> bool {
    matches!(progress, Progress::StepEnded { section: Section::Rollbacks, .. })
}

/// The longest output that people are told, in characters; the journal has all of it.
const LONGEST: usize = 200;
/// The longest error, which may name several things that it may be about.
const LONGEST_ERROR: usize = 1_000;

fn found(output: &Value) -> String {
    format!(": found {}", short(&output.to_string(), LONGEST))
}

/// An error, and what to do about it.
fn why(error: &str) -> String {
    let (error, hint) = hint::apart(error);
    let hint = hint.map(|hint| format!("{}{}", hint::MARK, short(hint, LONGEST_ERROR)));
    format!(": {}{}", short(error, LONGEST_ERROR), hint.unwrap_or_default())
}

fn short(whole: &str, longest: usize) -> String {
    let short: String = whole.chars().take(longest).collect();
    let more = if short.len() < whole.len() { "…" } else { "" };
    format!("{short}{more}")
}

/// Whether the line of a step or of a steady state has said it already.
const fn repeats(reason: &Reason) -> bool {
    match reason {
        Reason::Baseline(_)
        | Reason::BaselineUnknown(_)
        | Reason::After(_)
        | Reason::AfterUnknown(_)
        | Reason::Probe(_)
        | Reason::Step(_)
        | Reason::Crash(_)
        | Reason::BackgroundCrash(_)
        | Reason::Rollback(_)
        | Reason::RollbackCrash(_) => true,
        Reason::During(_)
        | Reason::DuringUnknown(_)
        | Reason::FailedFast
        | Reason::Setting(_)
        | Reason::RollbackStopped(_)
        | Reason::NoEffect(_)
        | Reason::Broke(_)
        | Reason::Lost(_)
        | Reason::Unconfirmed(_)
        | Reason::Untold(_)
        | Reason::Interrupted(_) => false,
    }
}

/// What people are told; nothing of what only repeats.
fn line(progress: &Progress) -> Option<String> {
    Some(match progress {
        Progress::RunBegan { title } => format!("experiment: {title}"),
        Progress::EvaluationEnded { section, met, probe } => match (section, met, probe) {
            // A line each would be thousands.
            (Section::During(_), true, _) => return None,
            (_, true, _) => format!("  ✓ steady state ({})", place(*section)),
            (_, false, Some(probe)) => format!("  ✗ steady state ({}): {probe}", place(*section)),
            (_, false, None) => format!("  ✗ steady state ({})", place(*section)),
        },
        Progress::StepEnded { section, name, status, took, error, met, output, .. } => {
            let hypothesis = section.is_hypothesis();
            if hypothesis && error.is_none() && *met != Some(false) {
                return None;
            }
            let (mark, why) = match (status, error) {
                (Some(Status::Interrupted), Some(error)) => ("■", why(error)),
                (_, Some(error)) => ("✗", why(error)),
                // Whatever it did, it did not come to its end.
                (Some(Status::Interrupted), None) => ("■", ": interrupted".to_owned()),
                (_, None) if *met == Some(false) => {
                    ("✗", format!("{}, not within its tolerance", found(output)))
                }
                (_, None) => ("✓", String::new()),
            };
            format!("  {mark} {}: {name} ({}){why}", place(*section), time(*took))
        }
        Progress::Pause { name, time: pause } => format!("  … {name}: pause of {}", time(*pause)),
        Progress::RollbacksLeftOut => "no rollbacks are played".to_owned(),
        Progress::FaultBegan(label) => format!("  ! fault {label} acts"),
        Progress::FaultEnded(label, effect) => {
            let figures: Vec<String> = ["lost", "passed"]
                .iter()
                .filter_map(|name| Some(format!("{name} {}", effect.figures.get(*name)?)))
                .collect();
            let had = match effect.had {
                experiment::run::HadEffect::Yes => "had an effect",
                experiment::run::HadEffect::No => "had no effect",
                experiment::run::HadEffect::Unknown => "nobody knows what it did",
            };
            let figures = figures.join(", ");
            let comma = if figures.is_empty() { "" } else { ", " };
            format!("  ! fault {label} is out: {had}{comma}{figures}")
        }
        Progress::FaultBroke(label, why) => {
            format!("  ! fault {label} ended before its time: {why}")
        }
        Progress::FaultLost(label, why) => {
            format!("  ! nobody knows how long fault {label} acts: {why}")
        }
        Progress::FaultUnconfirmed(label, why) => {
            format!("  ! fault {label} may still act until its lease ends: {why}")
        }
        Progress::Interrupted(by) => format!("interrupted ({by})"),
        Progress::Noted(reason) if repeats(reason) => return None,
        Progress::Noted(reason) => format!("  ✗ {reason}"),
        Progress::RunEnded { status, deviated } => {
            let deviated = if *deviated { ", deviated" } else { "" };
            format!("run {status}{deviated}")
        }
        Progress::EvaluationBegan(_)
        | Progress::MethodBegan
        | Progress::MethodEnded
        | Progress::RollbacksBegan
        | Progress::RollbacksEnded
        | Progress::StepBegan { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use experiment::model::ActivityKind;

    use super::*;

    #[test]
    fn no_step_floods_a_terminal() {
        let ended = |error: Option<String>, output: Value| Progress::StepEnded {
            section: Section::Method,
            name: "step".to_owned(),
            kind: ActivityKind::Probe,
            status: Some(Status::Failed),
            took: Duration::from_millis(5),
            met: Some(error.is_some()),
            output,
            error,
        };
        let flood = "x".repeat(4 << 20);
        for told in [ended(Some(flood.clone()), Value::Null), ended(None, flood.into())] {
            let line = line(&told).unwrap();
            assert!(line.len() < 1_100 && line.contains("x…"), "{}", line.len());
        }
    }
}

//! What is written of a run while it goes on: its journal, its events, and lines for people.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use experiment::run::{Progress, Run, Section, Verdict};
use experiment::timestamp::Timestamp;

use crate::output::Output;
use crate::output::quantity::time;

/// Where it goes.
pub(super) struct Outlets {
    journal: PathBuf,
    events: Option<fs::File>,
    output: Output,
    /// Why the journal, or the events, are not whole.
    troubled: Option<String>,
}

impl Outlets {
    /// Opens what has to be open all the time.
    ///
    /// # Errors
    /// The file of events cannot be made, or something else than a file stands where the journal goes.
    pub(super) fn open(
        journal: PathBuf,
        events: Option<&Path>,
        output: Output,
    ) -> io::Result<Self> {
        replaceable(&journal)?;
        let events = events.map(fs::File::create).transpose()?;
        Ok(Self { journal, events, output, troubled: None })
    }

    /// Writes the journal as it is now: whole, or not at all.
    pub(super) fn record(&mut self, run: &Run, now: Duration) {
        let written = serde_json::to_vec_pretty(&run.journal(now)).map_err(io::Error::from);
        let written = written.and_then(|text| replace(&self.journal, &text));
        if let Err(error) = written {
            self.trouble(format!("the journal {} is not written: {error}", self.journal.display()));
        }
    }

    /// Writes the journal as somebody else has it: whole, or not at all.
    pub(super) fn keep(&mut self, journal: &[u8]) {
        if let Err(error) = replace(&self.journal, journal) {
            self.trouble(format!("the journal {} is not written: {error}", self.journal.display()));
        }
    }

    /// Writes what it came to for those who read suites of tests, as somebody else has it.
    pub(super) fn suite(&mut self, suite: &str, path: &Path) {
        if let Err(error) = replace(path, suite.as_bytes()) {
            self.trouble(format!("{} is not written: {error}", path.display()));
        }
    }

    fn trouble(&mut self, why: String) {
        if self.troubled.is_none() {
            self.output.note(&why);
        }
        self.troubled = Some(why);
    }

    /// Writes what it came to for those who read suites of tests.
    pub(super) fn judge(&mut self, run: &Run, verdict: &Verdict, now: Duration, path: &Path) {
        let suite = experiment::junit::suite(&run.journal(now), verdict);
        if let Err(error) = replace(path, suite.as_bytes()) {
            self.trouble(format!("{} is not written: {error}", path.display()));
        }
    }

    /// Why something was not written, if anything was not.
    pub(super) fn troubled(&self) -> Option<&str> {
        self.troubled.as_deref()
    }

    /// Tells people and whoever reads the events.
    pub(super) fn tell(&mut self, progress: &Progress, now: Timestamp) {
        if let Some(line) = line(progress) {
            self.output.note(line);
        }
        if let Some(events) = &mut self.events
            && let Err(error) = writeln!(events, "{}", experiment::events::line(progress, now))
        {
            self.events = None;
            self.trouble(format!("events are not written any more: {error}"));
        }
    }
}

/// Puts a new file in the place of an old one, so that whoever reads has one of both.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    replaceable(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = fs::File::create(&new).and_then(|mut file| {
        file.write_all(text)?;
        file.write_all(b"\n")
    });
    let moved = written.and_then(|()| fs::rename(&new, path));
    if moved.is_err() {
        // It helps nobody.
        let _ = fs::remove_file(&new);
    }
    moved
}

/// Whether a file may be put there: in the place of a device or a link nothing ever is, whoever runs this.
fn replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is no regular file, and is not replaced", path.display()),
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn place(section: Section) -> String {
    match section {
        Section::Configuration => "setting".to_owned(),
        Section::Before => "before".to_owned(),
        Section::During(number) => format!("during #{number}"),
        Section::After => "after".to_owned(),
        Section::Method => "method".to_owned(),
        Section::Rollbacks => "rollback".to_owned(),
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
        Progress::StepEnded { section, name, took, error, met, .. } => {
            let hypothesis = section.is_hypothesis();
            if hypothesis && error.is_none() && *met != Some(false) {
                return None;
            }
            let mark = if error.is_some() || *met == Some(false) { "✗" } else { "✓" };
            let why = error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            format!("  {mark} {}: {name} ({}){why}", place(*section), time(*took))
        }
        Progress::Pause { name, time: pause } => format!("  … {name}: pause of {}", time(*pause)),
        Progress::RollbacksBegan => "rollbacks".to_owned(),
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
        Progress::FaultUnconfirmed(label, why) => {
            format!("  ! fault {label} may still act until its lease ends: {why}")
        }
        Progress::Interrupted(by) => format!("interrupted ({})", by.named().1),
        Progress::Noted(reason) => format!("  ✗ {reason}"),
        Progress::RunEnded { status, deviated } => {
            let deviated = if *deviated { ", deviated" } else { "" };
            format!("run {status}{deviated}")
        }
        Progress::EvaluationBegan(_)
        | Progress::MethodBegan
        | Progress::MethodEnded
        | Progress::RollbacksEnded
        | Progress::StepBegan { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        replace(&path("journal"), b"one").unwrap();
        replace(&path("journal"), b"two").unwrap();
        assert_eq!(fs::read_to_string(path("journal")).unwrap(), "two\n");
        std::os::unix::fs::symlink(path("journal"), path("link")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        for other in ["link", "directory"] {
            let error = replace(&path(other), b"x").unwrap_err();
            assert!(error.to_string().contains("is no regular file"), "{other}: {error}");
        }
        assert!(replaceable(Path::new("/dev/null")).is_err());
    }
}

//! Whether the original's reports can be made of our journals.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use lab::directory::Directory;
use serde_json::Value;

use crate::comparison::Comparison;
use crate::runner::Place;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// How many of our journals were shown.
    pub(crate) shown: usize,
    /// How many were not, and the original's of the same case neither.
    pub(crate) neither: usize,
    /// Cases of which only the original's was.
    pub(crate) missing: Vec<String>,
}

/// Has `chaos report` make a report of every journal that we wrote.
///
/// # Errors
/// It cannot be started.
pub(crate) fn check(venv: &Path, place: &Place<'_>, done: &[Comparison]) -> Result<Rendered> {
    let chaos = std::path::absolute(venv.join("bin/chaos"))?;
    let directory = Directory::create("report")?;
    let mut rendered = Rendered::default();
    for one in done {
        let Some(journal) = &one.ours.journal else { continue };
        let mut command = Command::new(&chaos);
        // It determines configurations anew.
        command.envs(place.environment()).envs(&one.case.environment);
        command.current_dir(directory.path()).stdin(Stdio::null());
        if is_shown(&mut command, directory.path(), journal)? {
            rendered.shown += 1;
            continue;
        }
        let theirs = one.original.journal.as_ref();
        match theirs.map(|theirs| is_shown(&mut command, directory.path(), theirs)).transpose()? {
            Some(true) => rendered.missing.push(one.case.name.clone()),
            Some(false) | None => rendered.neither += 1,
        }
    }
    Ok(rendered)
}

fn is_shown(chaos: &mut Command, place: &Path, journal: &str) -> Result<bool> {
    let file = |name: &str| -> PathBuf { place.join(name) };
    fs::write(file("journal.json"), journal)?;
    // The arguments stay with the command; only the journal is another one the second time.
    if chaos.get_args().next().is_none() {
        chaos.args(["--no-version-check", "--no-log-file", "--settings", "none.yaml", "report"]);
        chaos.args(["--export-format=markdown", "journal.json", "report.md"]);
    }
    let output = chaos.output().context("start `chaos report`")?;
    let report = fs::read_to_string(file("report.md")).unwrap_or_default();
    if file("report.md").exists() {
        fs::remove_file(file("report.md"))?;
    }
    let read: Value = serde_json::from_str(journal).unwrap_or_default();
    let title = read["experiment"]["title"].as_str().unwrap_or_default();
    // The report breaks lines and escapes; the words stay.
    let words =
        |text: &str| -> String { text.chars().filter(|one| one.is_alphanumeric()).collect() };
    Ok(output.status.success() && words(&report).contains(&words(title)))
}

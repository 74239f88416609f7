//! All experiments on a system, one after the other, and what they came to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::Length;
use crate::scene::{Scene, System};
use crate::story::{self, Story};

/// Runs them, or only those of these names, and says whether all came to what they should.
///
/// # Errors
/// The cluster does not start, or a command cannot be run.
pub(crate) fn run<S: System>(
    length: Length,
    report: Option<&Path>,
    only: &[String],
) -> Result<ExitCode> {
    let began = Instant::now();
    let files = files(S::EXPERIMENTS, only)?;
    let scene = Scene::<S>::open()?;
    eprintln!(
        "all members, a controller and an agent after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let values = values(length);
    let mut stories = Vec::new();
    for file in files {
        let began = Instant::now();
        let ended = scene.run(&file, &values)?;
        let story = Story::read::<S>(&file, &ended, began.elapsed());
        eprintln!("{story}");
        if !story.is_well() {
            eprintln!("{}\n{}\n{}", ended.said, ended.journal, scene.logs());
        }
        stories.push(story);
        if let Err(error) = scene.calm() {
            // The next would be judged by what this one has left behind; what all came to so far is told.
            tell(&stories, report)?;
            return Err(error.context(format!("after {}", file.display())));
        }
    }
    tell(&stories, report)
}

/// Prints what all came to, and writes it to a file where one is named.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn tell(stories: &[Story], report: Option<&Path>) -> Result<ExitCode> {
    let text = story::report(stories);
    println!("{text}");
    if let Some(path) = report {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    let well = stories.iter().all(Story::is_well);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How long faults act and there is load, as experiments are told.
pub(crate) fn values(length: Length) -> [(&'static str, String); 2] {
    let (hold, writes) = match length {
        Length::Full => (10.0, 14.0),
        Length::Short => (2.5, 4.5),
    };
    [("hold:float", format!("{hold}")), ("writes:float", format!("{writes}"))]
}

/// The experiments of a directory, or those of these names, in the order of their names.
///
/// # Errors
/// There are none.
pub(crate) fn files(place: &str, only: &[String]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place).with_context(|| place.to_owned())? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_meant = only.is_empty() || only.contains(&name);
        if path.extension().is_some_and(|extension| extension == "yaml") && is_meant {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "{place} has no such experiment");
    files.sort();
    Ok(files)
}

//! All experiments on etcd, one after the other, and what they came to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::Length;
use crate::scene::Scene;
use crate::story::{self, Story};

/// Where they are.
const EXPERIMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/etcd");

/// Runs them, and says whether all came to what they should.
///
/// # Errors
/// The cluster does not start, or a command cannot be run.
pub(crate) fn run(length: Length, report: Option<&Path>) -> Result<ExitCode> {
    let began = Instant::now();
    let scene = Scene::open()?;
    eprintln!(
        "three members, a controller and an agent after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let (hold, writes) = match length {
        Length::Full => (10.0, 14.0),
        Length::Short => (2.5, 4.5),
    };
    let values = [("hold:float", format!("{hold}")), ("writes:float", format!("{writes}"))];
    let mut stories = Vec::new();
    for file in files()? {
        let began = Instant::now();
        let ended = scene.run(&file, &values)?;
        let story = Story::read(&file, &ended, began.elapsed());
        eprintln!("{story}");
        if !story.is_well() {
            eprintln!("{}\n{}\n{}", ended.said, ended.journal, scene.logs());
        }
        stories.push(story);
        scene.calm()?;
    }
    let text = story::report(&stories);
    println!("{text}");
    if let Some(path) = report {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    let well = stories.iter().all(Story::is_well);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn files() -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(EXPERIMENTS).context(EXPERIMENTS)?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

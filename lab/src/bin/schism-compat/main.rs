//! `schism-compat`: the same experiments by the Chaos Toolkit and by `schism run --compat`, side by side.
//!
//! What is compared is what suites act on: exit code, status, deviated, the steady states, and the steps and
//! rollbacks in their order with what they found. Times, texts of exceptions and headers are left out.

mod answering;
mod case;
mod comparison;
mod outcome;
mod recorded;
mod rendering;
mod runner;
mod table;
mod toxiproxy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use answering::Answering;
use case::Case;
use comparison::Comparison;
use recorded::Recorded;
use runner::{Original, Ours, Place};
use toxiproxy::Toxiproxy;

const USAGE: &str = "\
schism-compat --venv DIRECTORY [--toxiproxy PROGRAM] [--document FILE] [FILE|DIRECTORY…]
schism-compat --recorded

  --venv       where the original is installed
  --toxiproxy  a toxiproxy-server, for what needs one
  --document   write the table there, and record what the original came to
  --recorded   compare with what was recorded, without the original

Without files, those of the project are taken.";

/// What was asked for.
#[derive(Debug, Default)]
struct Asked {
    venv: Option<PathBuf>,
    toxiproxy: Option<PathBuf>,
    document: Option<PathBuf>,
    recorded: bool,
    files: Vec<PathBuf>,
}

impl Asked {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut asked = Self::default();
        while let Some(word) = words.next() {
            let mut path = || words.next().map(PathBuf::from).context(USAGE);
            match word.as_str() {
                "--venv" => asked.venv = Some(path()?),
                "--toxiproxy" => asked.toxiproxy = Some(path()?),
                "--document" => asked.document = Some(path()?),
                "--recorded" => asked.recorded = true,
                flag if flag.starts_with('-') => bail!("{USAGE}"),
                file => asked.files.push(file.into()),
            }
        }
        if asked.recorded == asked.venv.is_some() {
            bail!("{USAGE}");
        }
        Ok(asked)
    }
}

/// The experiments of the project.
fn own() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/compat"))
}

fn main() -> Result<ExitCode> {
    let asked = Asked::read(std::env::args().skip(1))?;
    let answering = Answering::start().context("answer requests")?;
    let toxiproxy = match &asked.toxiproxy {
        Some(program) => Some(Toxiproxy::start(program, answering.address())?),
        None => None,
    };
    let modules = own().join("modules");
    let place = Place { modules, answering: &answering, toxiproxy: toxiproxy.as_ref() };
    let ours = Ours::find(asked.venv.as_deref())?;
    let is_own = asked.files.is_empty();
    let files = if is_own { vec![own().to_owned()] } else { asked.files.clone() };
    let root = files.first().filter(|first| first.is_dir()).cloned().unwrap_or_default();
    let cases = Case::find(&files, &root)?;
    let done = match &asked.venv {
        Some(venv) => side_by_side(&cases, &place, &Original::find(venv)?, &ours)?,
        None => against_the_record(&cases, &place, &ours)?,
    };
    let rendered = match &asked.venv {
        Some(venv) => Some(rendering::check(venv, &place, &done)?),
        None => None,
    };
    println!("{}", table::text(&done));
    let unexpected = done.iter().filter(|one| !one.is_as_stated()).count();
    if let Some(document) = &asked.document {
        let text = table::document(&done, rendered.as_ref());
        std::fs::write(document, text).with_context(|| document.display().to_string())?;
        if is_own {
            Recorded::of(&done).write(&own().join(recorded::FILE))?;
        }
    }
    let summary = table::summary(&done, rendered.as_ref());
    println!("{summary}");
    let is_well = unexpected == 0 && rendered.is_none_or(|rendered| rendered.missing.is_empty());
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn side_by_side(
    cases: &[Case],
    place: &Place<'_>,
    original: &Original,
    ours: &Ours,
) -> Result<Vec<Comparison>> {
    let mut done = Vec::new();
    for case in cases.iter().filter(|case| place.has_what_it_needs(case)) {
        let by_original = original.run(case, place)?;
        let by_us = ours.run(case, place)?;
        let comparison = Comparison::new(case, by_original, by_us);
        eprintln!("{comparison}");
        done.push(comparison);
    }
    Ok(done)
}

fn against_the_record(cases: &[Case], place: &Place<'_>, ours: &Ours) -> Result<Vec<Comparison>> {
    let recorded = Recorded::read(&own().join(recorded::FILE))?;
    let mut done = Vec::new();
    for case in cases.iter().filter(|case| place.has_what_it_needs(case)) {
        let by_original = recorded.outcome(&case.name)?;
        let comparison = Comparison::new(case, by_original, ours.run(case, place)?);
        eprintln!("{comparison}");
        done.push(comparison);
    }
    Ok(done)
}

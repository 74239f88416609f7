//! An experiment that both are given, and how they are started with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use experiment::document::{Node, Notation};
use nix::sys::signal::Signal;
use serde_json::Value;

/// The extension in which a file says how it is to be run.
const EXTENSION: &str = "compat";

/// One file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// What it is called in the table: its path below the directory that was given.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it shows.
    pub(crate) shows: String,
    /// Options of `run` that both have.
    pub(crate) arguments: Vec<String>,
    /// Variables of the environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// Files beside it, by name.
    pub(crate) files: BTreeMap<String, String>,
    /// What the runner is sent once the file `begun` is there.
    pub(crate) signal: Option<Signal>,
    /// Why ours does otherwise, where it does on purpose.
    pub(crate) differs: Option<String>,
}

impl Case {
    /// All experiments among files and in directories, in the order of their names.
    ///
    /// # Errors
    /// A directory cannot be read, or there is none.
    pub(crate) fn find(files: &[PathBuf], root: &Path) -> Result<Vec<Self>> {
        let mut paths = Vec::new();
        for file in files {
            collect(file, &mut paths)?;
        }
        paths.sort();
        ensure!(!paths.is_empty(), "there is no experiment (.json, .yaml, .yml)");
        paths.iter().map(|path| Self::read(path, root)).collect()
    }

    fn read(path: &Path, root: &Path) -> Result<Self> {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let path = fs::canonicalize(path).with_context(|| path.display().to_string())?;
        let mut case = Self { name, path, ..Self::default() };
        let Some(said) = said(&case.path) else { return Ok(case) };
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let pairs = |value: &Value| -> BTreeMap<String, String> {
            let map = value.as_object().into_iter().flatten();
            map.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
        };
        case.shows = text(&said["shows"]).unwrap_or_default();
        case.differs = text(&said["differs"]);
        case.environment = pairs(&said["environment"]);
        case.files = pairs(&said["files"]);
        case.arguments =
            said["arguments"].as_array().into_iter().flatten().filter_map(text).collect();
        if let Some(signal) = text(&said["signal"]) {
            let known = signal.parse().with_context(|| format!("{}: {signal}", case.name))?;
            case.signal = Some(known);
        }
        Ok(case)
    }

    /// Whether it makes sense only beside a Toxiproxy.
    pub(crate) fn needs_toxiproxy(&self) -> bool {
        self.name.starts_with("toxiproxy/")
    }
}

/// What a file says about how it is to be run; many say nothing, or are none on purpose.
fn said(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    let value = Node::read(&text, Notation::of(path)?).ok()?.value();
    let extensions = value["extensions"].as_array()?;
    extensions.iter().find(|one| one["name"] == EXTENSION).cloned()
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let path = entry?.path();
        let is_own = path.file_name().is_some_and(|name| name == crate::recorded::FILE);
        if path.is_dir() || (Notation::of(&path).is_some() && !is_own) {
            collect(&path, found)?;
        }
    }
    Ok(())
}

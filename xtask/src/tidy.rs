//! The rules of the house that no compiler checks, over every file that git knows.

mod manifest;
mod markdown;
mod rust;
mod source;

use std::{fmt, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: PathBuf,
    /// From 1; the whole file is meant where it is 1 and the rule is about the file.
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

/// Checks every file of the tree and reports all violations at once.
pub(crate) fn run() -> Result<()> {
    let files = workspace::files()?;
    let mut found = Vec::new();
    let mut manifests = Vec::new();
    for file in &files {
        let extension = file.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("rs" | "toml" | "md")) {
            continue;
        }
        let path = workspace::root().join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        match extension {
            Some("rs") => rust::check(file, &text, &mut found),
            Some("toml") => {
                manifest::check(file, &text, &mut found);
                manifests.push((file.as_path(), text));
            }
            _ => markdown::check(workspace::root(), file, &text, &mut found),
        }
    }
    let manifests: Vec<_> = manifests.iter().map(|(file, text)| (*file, text.as_str())).collect();
    manifest::check_binaries(&manifests, &mut found);
    for violation in &found {
        eprintln!("{violation}");
    }
    if !found.is_empty() {
        bail!("{} violations of the rules of the house", found.len());
    }
    eprintln!("{} files are tidy", files.len());
    Ok(())
}

//! How results and progress are printed: results to stdout, progress to stderr.

pub(crate) mod clocks;
pub(crate) mod freezes;
pub(crate) mod kills;
pub(crate) mod loads;
pub(crate) mod quantity;
pub(crate) mod record;
pub(crate) mod route;
pub(crate) mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstyle::AnsiColor;
use clap::ValueEnum;
use fault::{Kind, Status};
use serde::Serialize;

use crate::failure::Failure;
use crate::outcome::Outcome;

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One document with its schema's name inside
    Json,
    /// The same as YAML
    Yaml,
    /// A table with more columns
    Wide,
    /// Only ids or names, one a line
    Name,
}

/// What faults did, a table for each kind of them.
pub(crate) fn effects(faults: &[Status], detail: Detail) -> String {
    let has = |is: fn(&Kind) -> bool| faults.iter().any(|status| is(&status.fault.kind));
    let mut tables = Vec::new();
    if has(|kind| matches!(kind, Kind::Cut(_))) {
        tables.push(crate::cut::report::effects(faults, detail).text());
    }
    if has(|kind| matches!(kind, Kind::Skew(_))) {
        tables.push(clocks::effects(faults).text());
    }
    if has(|kind| matches!(kind, Kind::Freeze(_))) {
        tables.push(freezes::effects(faults).text());
    }
    if has(|kind| matches!(kind, Kind::Kill(_))) {
        tables.push(kills::effects(faults).text());
    }
    if has(|kind| matches!(kind, Kind::Stress(_))) {
        tables.push(loads::effects(faults).text());
    }
    tables.join("\n")
}

/// What the figures of a fault in processes mean, in sentences.
pub(crate) fn meaning(status: &Status) -> Vec<String> {
    match status.fault.kind {
        Kind::Skew(_) => clocks::meaning(status),
        Kind::Freeze(_) => freezes::meaning(status),
        Kind::Kill(_) => kills::meaning(status),
        Kind::Stress(_) => loads::meaning(status),
        Kind::Cut(_) => Vec::new(),
    }
}

/// How much a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What one needs.
    Normal,
    /// All of it.
    Wide,
}

/// Whether somebody watches a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A terminal: lines may be rewritten.
    Terminal,
    /// A file or another program: lines are only added.
    File,
}

/// A result that can be printed in every format. As a document it names its schema itself.
pub(crate) trait Report: Serialize {
    /// For people.
    fn text(&self, detail: Detail) -> String;
    /// Only names.
    fn names(&self) -> Vec<String>;
}

/// Where a command's words go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Option<Format>,
    results: Results,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
enum Results {
    Stdout,
    /// To stderr: stdout is for something else.
    Stderr,
}

impl Output {
    pub(crate) const fn new(format: Option<Format>) -> Self {
        Self { format, results: Results::Stdout }
    }

    /// The same, which leaves stdout alone.
    pub(crate) const fn aside(self) -> Self {
        Self { results: Results::Stderr, ..self }
    }

    /// Whether only names are wanted.
    pub(crate) const fn is_for_names(self) -> bool {
        match self.format {
            Some(Format::Name) => true,
            Some(Format::Json | Format::Yaml | Format::Wide) | None => false,
        }
    }

    /// Prints a result.
    ///
    /// # Errors
    /// It could not be written whole. A reader that went away is no error.
    pub(crate) fn show(self, report: &impl Report) -> Result<(), Failure> {
        let text = match self.format {
            None => report.text(Detail::Normal),
            Some(Format::Wide) => report.text(Detail::Wide),
            Some(Format::Json) => {
                serde_json::to_string_pretty(report).map_err(|error| unwritten(&error))?
            }
            Some(Format::Yaml) => yaml(report)?,
            Some(Format::Name) => report.names().join("\n"),
        };
        self.print(&text)
    }

    /// Prints text that is a result.
    ///
    /// # Errors
    /// It could not be written whole. A reader that went away is no error.
    pub(crate) fn print(self, text: &str) -> Result<(), Failure> {
        let text = text.trim_end_matches('\n');
        if text.is_empty() {
            return Ok(());
        }
        let printed = match self.results {
            Results::Stdout => {
                let mut stdout = anstream::stdout().lock();
                writeln!(stdout, "{text}").and_then(|()| stdout.flush())
            }
            Results::Stderr => writeln!(anstream::stderr().lock(), "{text}"),
        };
        match printed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Says how it goes.
    pub(crate) fn note(self, text: impl Display) {
        // Nobody is there to be told that nobody can be told; the work itself goes on.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// Says what is wrong, where that keeps the command from nothing.
    pub(crate) fn warn(self, text: impl Display) {
        let yellow = AnsiColor::Yellow.on_default().bold();
        self.note(format!("{yellow}warning:{yellow:#} {text}"));
    }

    /// Says why the command did nothing: to people, or, where results are documents, as a document,
    /// which is the last thing on stderr.
    pub(crate) fn fail(self, failure: &Failure) {
        let document = match self.format {
            None | Some(Format::Wide | Format::Name) => None,
            Some(Format::Json) => serde_json::to_string(&failure.document()).ok(),
            Some(Format::Yaml) => yaml(&failure.document()).ok(),
        };
        let red = AnsiColor::Red.on_default().bold();
        let text = document.unwrap_or_else(|| format!("{red}error:{red:#} {}", failure.text()));
        self.note(text.trim_end());
    }

    /// Who reads stderr.
    pub(crate) fn audience(self) -> Audience {
        if io::stderr().is_terminal() { Audience::Terminal } else { Audience::File }
    }

    /// Who reads stdout.
    pub(crate) fn reader(self) -> Audience {
        if io::stdout().is_terminal() { Audience::Terminal } else { Audience::File }
    }
}

/// Through JSON's data model, so that both documents have the same shape: YAML's own form of an enum
/// is a tag, which most readers refuse.
fn yaml(report: &impl Serialize) -> Result<String, Failure> {
    let value = serde_json::to_value(report).map_err(|error| unwritten(&error))?;
    let text = serde_saphyr::to_string(&value).map_err(|error| unwritten(&error))?;
    Ok(format!("---\n{text}"))
}

fn unwritten(error: &dyn std::error::Error) -> Failure {
    Failure::new(Outcome::Unconfirmed, "cannot print the result", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    enum Kind {
        Cut { port: u16 },
    }

    #[derive(Serialize)]
    struct Document {
        schema: &'static str,
        kind: Kind,
        seed: u64,
        text: &'static str,
    }

    #[test]
    fn yaml_has_the_shape_of_json() {
        let document = Document {
            schema: "schism.test/v1",
            kind: Kind::Cut { port: 1 },
            seed: u64::MAX,
            text: "10",
        };
        let text = yaml(&document).unwrap();
        let expected = "---\nschema: schism.test/v1\nkind:\n  Cut:\n    port: 1\n\
                        seed: 18446744073709551615\ntext: \"10\"\n";
        assert_eq!(text, expected);
    }
}

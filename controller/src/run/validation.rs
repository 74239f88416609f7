//! What is wrong with files, as one document (`validate -o json`).

use experiment::problem::{Problem, Severity};
use serde::Serialize;

use super::Source;
use crate::output::{Detail, Report};

/// What is wrong with files.
#[derive(Debug, Serialize)]
pub(super) struct Validation {
    schema: &'static str,
    /// How many of the problems keep a file from being run.
    errors: usize,
    problems: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    file: String,
    line: usize,
    column: usize,
    /// Where in the experiment; empty for the whole.
    place: String,
    severity: &'static str,
    message: String,
}

impl Validation {
    pub(super) const fn new() -> Self {
        Self { schema: "schism.validation/v1", errors: 0, problems: Vec::new() }
    }

    /// Takes up what is wrong with a file.
    pub(super) fn add(&mut self, file: &Source, problems: &[Problem]) {
        self.errors += problems.iter().filter(|one| one.severity == Severity::Error).count();
        self.problems.extend(problems.iter().map(|problem| Entry {
            file: file.to_string(),
            line: problem.at.line,
            column: problem.at.column,
            place: problem.place.clone(),
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: problem.fault.to_string(),
        }));
    }

    pub(super) const fn errors(&self) -> usize {
        self.errors
    }
}

impl Report for Validation {
    /// People were told each.
    fn text(&self, _: Detail) -> String {
        String::new()
    }

    fn names(&self) -> Vec<String> {
        self.problems
            .iter()
            .map(|one| format!("{}:{}:{}", one.file, one.line, one.column))
            .collect()
    }
}

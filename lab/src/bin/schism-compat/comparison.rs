//! Two outcomes of one case.

use std::fmt;

use serde_json::Value;

use crate::case::Case;
use crate::outcome::Outcome;

/// The two, and in what they differ.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// What was run.
    pub(crate) case: Case,
    /// The original's.
    pub(crate) original: Outcome,
    /// Ours.
    pub(crate) ours: Outcome,
    /// A line for each difference.
    pub(crate) differences: Vec<String>,
}

impl Comparison {
    /// Looks for all differences.
    pub(crate) fn new(case: &Case, original: Outcome, ours: Outcome) -> Self {
        let mut differences = Vec::new();
        let mut theirs = original.compared.clone();
        // The original does not always say who it was; ours does.
        if theirs["interrupted by"].is_null() && theirs["status"] == "interrupted" {
            theirs["interrupted by"] = ours.compared["interrupted by"].clone();
        }
        compare("", &theirs, &ours.compared, &mut differences);
        Self { case: case.clone(), original, ours, differences }
    }

    /// Whether they are the same.
    pub(crate) fn is_same(&self) -> bool {
        self.differences.is_empty()
    }

    /// Whether it is as the file says: the same, or another one on purpose.
    pub(crate) fn is_as_stated(&self) -> bool {
        self.is_same() == self.case.differs.is_none()
    }
}

impl fmt::Display for Comparison {
    /// A line, and the differences that nobody expects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.is_same(), &self.case.differs) {
            (true, None) => "same",
            (false, Some(_)) => "differs as stated",
            (true, Some(_)) => "SAME, ALTHOUGH STATED TO DIFFER",
            (false, None) => "DIFFERS",
        };
        write!(f, "{:<44} {:<44} {verdict}", self.case.name, self.original.summary())?;
        if !self.is_as_stated() {
            for difference in &self.differences {
                write!(f, "\n    {difference}")?;
            }
            for (who, said) in [("there", &self.original.said), ("here", &self.ours.said)] {
                for line in said.lines().rev().take(3) {
                    write!(f, "\n    said {who}: {line}")?;
                }
            }
        }
        Ok(())
    }
}

fn compare(path: &str, original: &Value, ours: &Value, found: &mut Vec<String>) {
    if original == ours {
        return;
    }
    match (original, ours) {
        (Value::Object(left), Value::Object(right)) => {
            let mut names: Vec<&String> = left.keys().chain(right.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let (left, right) = (left.get(name), right.get(name));
                let nothing = Value::Null;
                let (left, right) = (left.unwrap_or(&nothing), right.unwrap_or(&nothing));
                compare(&format!("{path}/{name}"), left, right, found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}/{index}"), left, right, found);
            }
        }
        _ => found.push(format!("{path}: {} there, {} here", shortened(original), shortened(ours))),
    }
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_has_its_place() {
        let original = json!({"exit": 0, "run": [{"status": "failed"}], "same": 1});
        let ours = json!({"exit": 1, "run": [{"status": "succeeded"}], "same": 1});
        let mut found = Vec::new();
        compare("", &original, &ours, &mut found);
        assert_eq!(
            found,
            ["/exit: 0 there, 1 here", "/run/0/status: \"failed\" there, \"succeeded\" here"]
        );
    }
}

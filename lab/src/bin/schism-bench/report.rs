//! The table, for people and as JSON.

use std::fmt;

use serde_json::json;

/// Whether a figure reached what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did.
    Reached,
    /// It did not.
    Missed,
    /// There is nothing that it must reach.
    Shown,
}

impl Verdict {
    /// By a condition.
    pub(crate) const fn of(reached: bool) -> Self {
        if reached { Self::Reached } else { Self::Missed }
    }
}

#[derive(Debug)]
struct Row {
    what: String,
    goal: String,
    measured: String,
    verdict: Verdict,
}

/// All rows so far.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// Adds a row, and shows it at once.
    pub(crate) fn add(&mut self, what: &str, goal: &str, measured: String, verdict: Verdict) {
        eprintln!("{what}: {measured}");
        let (what, goal) = (what.to_owned(), goal.to_owned());
        self.0.push(Row { what, goal, measured, verdict });
    }

    /// The rows as JSON.
    pub(crate) fn json(&self, bench: &str) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|row| {
                json!({
                    "what": row.what,
                    "goal": row.goal,
                    "measured": row.measured,
                    "reached": match row.verdict {
                        Verdict::Reached => Some(true),
                        Verdict::Missed => Some(false),
                        Verdict::Shown => None,
                    },
                })
            })
            .collect();
        format!("{:#}\n", json!({ "schema": "schism.bench/v1", "bench": bench, "rows": rows }))
    }
}

impl fmt::Display for Report {
    /// As a Markdown table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | must reach | measured | |\n|---|---|---|---|")?;
        for row in &self.0 {
            let mark = match row.verdict {
                Verdict::Reached => "reached",
                Verdict::Missed => "missed",
                Verdict::Shown => "",
            };
            writeln!(f, "| {} | {} | {} | {mark} |", row.what, row.goal, row.measured)?;
        }
        Ok(())
    }
}

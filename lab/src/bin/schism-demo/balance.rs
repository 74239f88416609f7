//! All figures of the run, and what was otherwise than promised.

use std::{io, time::Duration};

use crate::{page::Page, quantity::time};

/// What is told at the end.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    rows: Vec<(String, String)>,
    deviations: Vec<String>,
}

impl Balance {
    /// Notes a figure for the summary.
    pub(crate) fn note(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        self.rows.push((what.into(), figure.into()));
    }

    /// Says that something is otherwise than promised; the demo will fail.
    pub(crate) fn deviates(&mut self, page: &mut Page, text: String) -> io::Result<()> {
        page.deviation(&text)?;
        self.deviations.push(text);
        Ok(())
    }

    /// Whether everything was as promised.
    pub(crate) fn is_clean(&self) -> bool {
        self.deviations.is_empty()
    }

    /// The summary.
    pub(crate) fn show(&self, page: &mut Page, took: Duration) -> io::Result<()> {
        page.chapter("All figures of this run")?;
        let width = self.rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
        for (what, figure) in &self.rows {
            page.row(what, width, figure)?;
        }
        page.row("The whole demo", width, &time(took))?;
        if self.is_clean() {
            page.explain("Everything that Schism promises held in this run.")?;
        }
        for deviation in &self.deviations {
            page.deviation(deviation)?;
        }
        Ok(())
    }
}

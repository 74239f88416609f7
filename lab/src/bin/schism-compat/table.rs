//! The table, for a terminal and for the documentation.

use crate::comparison::Comparison;
use crate::rendering::Rendered;

const BEGINNING: &str = "\
<!-- Written by `cargo xtask compat chaostoolkit`; change the experiments in lab/compat instead. -->

# Experiments by the Chaos Toolkit and here

Every row is one file, run by `chaos run` (chaostoolkit 1.21.4, chaostoolkit-lib 1.45.1) and by `schism run \
--compat` with the same options and environment, each in a fresh directory. Compared are exit code, status and \
deviated, the steady states before and after with their probes, whether it was looked and found deviating \
meanwhile, every step and rollback in its order with its activity, status, output and tolerance, who interrupted, \
and, with Toxiproxy, which toxics stay. Not compared are times, texts of exceptions, and headers of answers other \
than their type. `3 + 1` are three steps and one rollback.

";

/// For a terminal: only what is not the same.
pub(crate) fn text(done: &[Comparison]) -> String {
    let each = done.iter().filter(|one| !one.is_same());
    let lines = each.map(|one| {
        let why = one.case.differs.as_deref().unwrap_or("NOT STATED");
        let (there, here) = (one.original.summary(), one.ours.summary());
        format!("{}\n    there: {there}\n    here:  {here}\n    {why}\n", one.case.name)
    });
    lines.collect()
}

/// In a line.
pub(crate) fn summary(done: &[Comparison], rendered: Option<&Rendered>) -> String {
    let same = done.iter().filter(|one| one.is_same()).count();
    let stated = done.iter().filter(|one| !one.is_same() && one.is_as_stated()).count();
    let wrong = done.iter().filter(|one| !one.is_as_stated()).count();
    let mut text = format!(
        "{} experiments: {same} the same, {stated} another on purpose, {wrong} not as stated.",
        done.len()
    );
    if let Some(rendered) = rendered {
        let all = rendered.shown + rendered.neither + rendered.missing.len();
        text.push_str(&format!(" `chaos report` shows {} of our {all} journals", rendered.shown));
        if rendered.neither > 0 {
            text.push_str(&format!(
                ", and of {} neither ours nor the original's",
                rendered.neither
            ));
        }
        text.push('.');
        for name in &rendered.missing {
            text.push_str(&format!("\nonly the original's: {name}"));
        }
    }
    text
}

/// For the documentation.
pub(crate) fn document(done: &[Comparison], rendered: Option<&Rendered>) -> String {
    let mut text = BEGINNING.to_owned();
    text.push_str(&summary(done, rendered));
    text.push_str(
        "\n\n| file | what it shows | Chaos Toolkit | `schism run --compat` |\n|---|---|---|---|\n",
    );
    for one in done {
        let here = match (&one.case.differs, one.is_same()) {
            (_, true) => "the same".to_owned(),
            (Some(why), false) => format!("{}: {why}", one.ours.summary()),
            (None, false) => format!("**{}**", one.ours.summary()),
        };
        let shows = if one.case.shows.is_empty() { "refused" } else { &one.case.shows };
        let cells = [&one.case.name, shows, &one.original.summary(), &here];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

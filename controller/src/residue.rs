//! `schism residue`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use fault::{Remnant, RemnantKind};
use serde::Serialize;

use crate::cli::ResidueArgs;
use crate::failure::Failure;
use crate::local::{self, Removal};
use crate::outcome::Outcome;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table, Tone};
use crate::output::{Detail, Output, Report};

/// What was left behind.
#[derive(Debug, Serialize)]
struct ResidueReport {
    schema: &'static str,
    remnants: Vec<Remnant>,
}

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    InUse,
    Removed,
    LeftBehind,
}

fn standing(remnant: &Remnant) -> Standing {
    match (remnant.holders.is_empty(), remnant.removed) {
        (_, true) => Standing::Removed,
        (false, false) => Standing::InUse,
        (true, false) => Standing::LeftBehind,
    }
}

impl ResidueReport {
    fn outcome(&self) -> Outcome {
        if self.remnants.iter().any(|remnant| standing(remnant) == Standing::LeftBehind) {
            Outcome::Deviated
        } else {
            Outcome::Effective
        }
    }
}

impl Report for ResidueReport {
    fn text(&self, detail: Detail) -> String {
        let (used, rest): (Vec<_>, Vec<_>) =
            self.remnants.iter().partition(|remnant| standing(remnant) == Standing::InUse);
        let shown = match detail {
            // What living agents hold is no news: one line for all of it.
            Detail::Normal => rest,
            Detail::Wide => self.remnants.iter().collect(),
        };
        let holders: BTreeSet<u32> =
            used.iter().flat_map(|remnant| remnant.holders.iter().copied()).collect();
        let holders: Vec<String> = holders.iter().map(u32::to_string).collect();
        let in_use = match used.len() {
            0 => String::new(),
            1 => format!("1 object is in use by pid {}", holders.join(", ")),
            count => format!("{count} objects are in use by pid {}", holders.join(", ")),
        };
        if shown.is_empty() {
            let nothing = "nothing was left behind";
            return if in_use.is_empty() {
                nothing.to_owned()
            } else {
                format!("{nothing}; {in_use}")
            };
        }
        let columns =
            [("KIND", Left), ("NAME", Left), ("ID", Right), ("", Left), ("HELD BY", Left)];
        let mut table = Table::new(&columns);
        for remnant in shown {
            let kind = match remnant.kind {
                RemnantKind::Program => "program",
                RemnantKind::Map => "map",
                RemnantKind::Socket => "socket",
                RemnantKind::Lock => "lock",
                RemnantKind::Clock => "clock",
                RemnantKind::Holder => "process",
            };
            let (word, tone) = match standing(remnant) {
                Standing::InUse => ("in use", Tone::Plain),
                Standing::Removed => ("removed", Tone::Good),
                Standing::LeftBehind => ("left behind", Tone::Bad),
            };
            let holders: Vec<String> = remnant.holders.iter().map(u32::to_string).collect();
            let id = if remnant.id == 0 { "-".to_owned() } else { remnant.id.to_string() };
            let holders = if holders.is_empty() { "-".to_owned() } else { holders.join(",") };
            table.row(vec![
                kind.into(),
                (&remnant.name).into(),
                id.into(),
                Cell::toned(word, tone),
                holders.into(),
            ]);
        }
        match detail {
            Detail::Normal if !in_use.is_empty() => format!("{}\n{in_use}", table.text()),
            Detail::Normal | Detail::Wide => table.text(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.remnants.iter().map(|remnant| remnant.name.clone()).collect()
    }
}

/// Runs `schism residue`.
pub(crate) async fn run(
    args: &ResidueArgs,
    socket: Option<PathBuf>,
    output: Output,
) -> Result<Outcome, Failure> {
    let removal = if args.remove { Removal::Remove } else { Removal::Keep };
    let socket = socket.unwrap_or_else(local::default_socket);
    let fail = |reason: String| {
        Failure::new(Outcome::Unconfirmed, "cannot look for what was left behind", reason)
            .hint("looking at the kernel's programs takes root")
    };
    let searched = tokio::task::spawn_blocking(move || local::residue(removal, &socket)).await;
    let remnants = searched.map_err(|error| fail(error.to_string()))?.map_err(fail)?;
    let report = ResidueReport { schema: "schism.residue/v1", remnants };
    let outcome = report.outcome();
    output.show(&report)?;
    if outcome == Outcome::Deviated {
        match removal {
            Removal::Keep => output.note("remove it with: schism residue --remove"),
            Removal::Remove => output.note("what is left could not be removed"),
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_residue() {
        let remnant = |holders: &[u32], removed| Remnant {
            kind: RemnantKind::Map,
            name: "schism_faults".to_owned(),
            id: 7,
            holders: holders.to_vec(),
            removed,
        };
        let table = [
            (vec![], 0),
            (vec![remnant(&[4711], false)], 0),
            (vec![remnant(&[], true)], 0),
            (vec![remnant(&[4711], false), remnant(&[], false)], 1),
        ];
        for (remnants, code) in table {
            let report = ResidueReport { schema: "schism.residue/v1", remnants };
            assert_eq!(report.outcome().code(), code, "{report:?}");
        }
    }
}

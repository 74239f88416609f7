//! `schism doctor`.

use fault::{Capability, Presence};
use serde::Serialize;

use crate::failure::Failure;
use crate::local;
use crate::outcome::Outcome;
use crate::output::table::Align::Left;
use crate::output::table::{Cell, Table, Tone};
use crate::output::{Detail, Output, Report};

/// What a machine can do.
#[derive(Debug, Serialize)]
struct DoctorReport {
    schema: &'static str,
    capabilities: Vec<Capability>,
}

impl DoctorReport {
    fn outcome(&self) -> Outcome {
        let missing = |one: &Capability| one.presence == Presence::Missing;
        if self.capabilities.iter().any(missing) { Outcome::Deviated } else { Outcome::Effective }
    }
}

impl Report for DoctorReport {
    fn text(&self, _detail: Detail) -> String {
        let mut table = Table::new(&[("CAPABILITY", Left), ("", Left), ("FOUND", Left)]);
        let mut meanings = String::new();
        for capability in &self.capabilities {
            let (word, tone) = match capability.presence {
                Presence::There => ("there", Tone::Good),
                Presence::Missing => ("missing", Tone::Bad),
                Presence::Warning => ("warning", Tone::Doubtful),
            };
            table.row(vec![
                (&capability.name).into(),
                Cell::toned(word, tone),
                (&capability.finding).into(),
            ]);
            if !capability.meaning.is_empty() {
                meanings.push_str(&format!("\n{}: {}", capability.name, capability.meaning));
            }
        }
        format!("{}{meanings}", table.text())
    }

    fn names(&self) -> Vec<String> {
        let missing = self.capabilities.iter().filter(|one| one.presence == Presence::Missing);
        missing.map(|capability| capability.name.clone()).collect()
    }
}

/// Runs `schism doctor`.
pub(crate) async fn run(output: Output) -> Result<Outcome, Failure> {
    let examined = tokio::task::spawn_blocking(local::examine).await;
    let capabilities = examined.map_err(|error| {
        Failure::new(Outcome::Unconfirmed, "cannot examine this machine", error)
    })?;
    let report = DoctorReport { schema: "schism.doctor/v1", capabilities };
    let outcome = report.outcome();
    output.show(&report)?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(name: &str, presence: Presence, meaning: &str) -> Capability {
        Capability {
            name: name.to_owned(),
            presence,
            finding: "6.18".to_owned(),
            meaning: meaning.to_owned(),
        }
    }

    #[test]
    fn what_is_missing_counts() {
        let report = |capabilities| DoctorReport { schema: "schism.doctor/v1", capabilities };
        let there = capability("kernel", Presence::There, "");
        let warning = capability("xdp", Presence::Warning, "frames may pass by");
        let missing = capability("tcx", Presence::Missing, "no cut can be put in");
        let fine = report(vec![there.clone(), warning.clone()]);
        assert_eq!(fine.outcome(), Outcome::Effective);
        let bad = report(vec![there, warning, missing]);
        assert_eq!(bad.outcome(), Outcome::Deviated);
        assert_eq!(bad.names(), ["tcx"]);
        let plain = anstream::adapter::strip_str(&bad.text(Detail::Normal)).to_string();
        let expected = "\
CAPABILITY           FOUND
kernel      there    6.18
xdp         warning  6.18
tcx         missing  6.18

xdp: frames may pass by
tcx: no cut can be put in";
        assert_eq!(plain, expected);
    }
}

//! `schism doctor`.

use fault::{Capability, Presence, Remnant};
use proto::agent::Description;
use serde::Serialize;

use crate::connect::{self, Choice};
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
    /// The one that runs, if one does.
    agent: Option<RunningAgent>,
}

/// What an agent that runs says of itself.
#[derive(Debug, Serialize)]
struct RunningAgent {
    node: String,
    version: String,
    pid: u32,
    /// Whether it ends with a command.
    embedded: bool,
    /// What agents before it had left behind.
    found_at_start: Vec<Remnant>,
}

impl From<Description> for RunningAgent {
    fn from(description: Description) -> Self {
        let Description { node, version, pid, embedded, found_at_start, .. } = description;
        // A kind of thing that only a newer agent knows is not what keeps the rest from being told.
        let found_at_start =
            found_at_start.into_iter().filter_map(|found| found.try_into().ok()).collect();
        Self { node, version, pid, embedded, found_at_start }
    }
}

impl RunningAgent {
    fn text(&self) -> String {
        let mut text = format!("\nagent {} (pid {})", self.version, self.pid);
        if self.found_at_start.is_empty() {
            text.push_str(" found nothing left behind when it started");
            return text;
        }
        text.push_str(" found when it started:");
        for remnant in &self.found_at_start {
            let fate = if remnant.removed { "; removed" } else { "" };
            text.push_str(&format!("\n  {}{fate}", remnant.name));
        }
        text
    }
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
        let agent = self.agent.as_ref().map(RunningAgent::text).unwrap_or_default();
        format!("{}{meanings}{agent}", table.text())
    }

    fn names(&self) -> Vec<String> {
        self.capabilities.iter().map(|capability| capability.name.clone()).collect()
    }
}

/// Runs `schism doctor`.
pub(crate) async fn run(choice: &Choice, output: Output) -> Result<Outcome, Failure> {
    let examined = tokio::task::spawn_blocking(local::examine).await;
    let capabilities = examined.map_err(|error| {
        Failure::new(Outcome::Unconfirmed, "cannot examine this machine", error)
    })?;
    let agent = match connect::find(choice, output).await {
        Ok(connection) => connection.map(|connection| connection.description.into()),
        // What the machine can do is worth telling all the more.
        Err(failure) => {
            output.note(format!("note: {failure}"));
            None
        }
    };
    let report = DoctorReport { schema: "schism.doctor/v1", capabilities, agent };
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
        let report =
            |capabilities| DoctorReport { schema: "schism.doctor/v1", capabilities, agent: None };
        let there = capability("kernel", Presence::There, "");
        let warning = capability("xdp", Presence::Warning, "frames may pass by");
        let missing = capability("tcx", Presence::Missing, "no cut can be put in");
        let fine = report(vec![there.clone(), warning.clone()]);
        assert_eq!(fine.outcome(), Outcome::Effective);
        let bad = report(vec![there, warning, missing]);
        assert_eq!(bad.outcome(), Outcome::Deviated);
        assert_eq!(bad.names(), ["kernel", "xdp", "tcx"]);
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

    #[test]
    fn what_an_agent_found_at_its_start_is_told() {
        let remnant = |kind: i32, name: &str| proto::agent::Remnant {
            kind,
            name: name.to_owned(),
            removed: kind == 3,
            ..proto::agent::Remnant::default()
        };
        let mut description =
            Description { version: "0.1.0".to_owned(), pid: 9, ..Description::default() };
        let clean = RunningAgent::from(description.clone());
        assert_eq!(clean.text(), "\nagent 0.1.0 (pid 9) found nothing left behind when it started");
        description.found_at_start =
            vec![remnant(2, "schism_faults"), remnant(3, "/x/agent.sock"), remnant(99, "later")];
        let told = "\nagent 0.1.0 (pid 9) found when it started:\n  schism_faults\n  /x/agent.sock; removed";
        assert_eq!(RunningAgent::from(description).text(), told);
    }
}

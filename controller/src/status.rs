//! `schism status`.

use std::time::Duration;

use fault::{Aspect, Kind, Legible, Status};
use serde::Serialize;

use crate::cli::StatusArgs;
use crate::connect::{self, Choice};
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::quantity::{bytes, time};
use crate::output::route::{Route, done, drifts, got_through, lost, place, selection, tone, what};
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Audience, Detail, Output, Report, record};

/// How often a watched status is shown.
const LOOK: Duration = Duration::from_millis(500);
/// To the top of the terminal, and nothing below.
const HOME: &str = "\x1b[H\x1b[2J";

/// The faults of a machine.
#[derive(Debug, Serialize)]
struct StatusReport {
    schema: &'static str,
    #[serde(serialize_with = "record::faults")]
    faults: Vec<Status>,
    /// Why no fault is let in; empty where one is.
    halted: String,
}

impl StatusReport {
    fn new(faults: Vec<Status>, halted: String, args: &StatusArgs) -> Self {
        let shown = |status: &Status| args.all || !status.state.is_final();
        let mut faults: Vec<Status> = faults.into_iter().filter(shown).collect();
        // What has no start yet comes last.
        faults.sort_by_key(|status| {
            let start = status.lease.map(|window| window.start);
            (start.is_none(), start, status.fault.id)
        });
        Self { schema: "schism.status/v1", faults, halted }
    }
}

impl Report for StatusReport {
    fn text(&self, detail: Detail) -> String {
        let mut text = self.table(detail);
        if !self.halted.is_empty() {
            let reason = Legible(&self.halted);
            let line = format!("the brake is on: {reason}; no fault is let in before it is off");
            text = format!("{}\n{line}", text.trim_end());
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.faults.iter().map(|status| status.fault.id.to_string()).collect()
    }
}

/// What is left of a time; nothing of what has ended.
fn left(status: &Status, left: Option<Duration>) -> String {
    match left {
        Some(left) if !status.state.is_final() => time(left),
        Some(_) | None => "-".to_owned(),
    }
}

impl StatusReport {
    fn table(&self, detail: Detail) -> String {
        if self.faults.is_empty() {
            return "no fault is active on this machine".to_owned();
        }
        let has = |aspect| self.faults.iter().any(|status| status.fault.kind.aspect() == aspect);
        let mut tables = Vec::new();
        if has(Aspect::Network) {
            tables.push(self.cuts(detail).text());
        }
        if has(Aspect::Processes) {
            tables.push(self.in_processes().text());
        }
        let mut text = tables.join("\n");
        for note in self.faults.iter().flat_map(drifts) {
            text.push_str(&format!("{note}\n"));
        }
        text
    }

    fn cuts(&self, detail: Detail) -> Table {
        let mut columns = vec![
            ("ID", Left),
            ("FROM → TO", Left),
            ("MODE", Left),
            ("STATE", Left),
            ("LEFT", Right),
            ("LEASE", Right),
            ("LOST", Right),
            ("PASSED", Right),
        ];
        if detail == Detail::Wide {
            columns.extend([
                ("AT", Left),
                ("MATCHED", Right),
                ("BYTES", Right),
                ("SEEN", Right),
                ("SEED", Right),
            ]);
        }
        let mut table = Table::new(&columns);
        for status in &self.faults {
            let Kind::Cut(cut) = &status.fault.kind else { continue };
            let effect = &status.effect;
            let mut cells: Vec<Cell> = vec![
                status.fault.id.into(),
                Route::from(&status.fault).into(),
                selection(cut).into(),
                Cell::toned(status.standing(), tone(status.standing())),
                left(status, status.time_left()).into(),
                left(status, status.lease_left()).into(),
                lost(cut, effect.lost).into(),
                got_through(cut, effect).into(),
            ];
            if detail == Detail::Wide {
                cells.extend::<[Cell; 5]>([
                    place(cut.side).into(),
                    effect.matched.into(),
                    lost(cut, bytes(effect.lost_bytes)).into(),
                    status.hook.seen.into(),
                    cut.seed.into(),
                ]);
            }
            table.row(cells);
        }
        table
    }

    fn in_processes(&self) -> Table {
        let mut table = Table::new(&[
            ("ID", Left),
            ("PROCESSES OF", Left),
            ("FAULT", Left),
            ("STATE", Left),
            ("LEFT", Right),
            ("LEASE", Right),
            ("MEASURED", Left),
        ]);
        for status in &self.faults {
            if status.fault.kind.cut().is_some() {
                continue;
            }
            table.row(vec![
                status.fault.id.into(),
                Route::from(&status.fault).into(),
                what(&status.fault.kind).into(),
                Cell::toned(status.standing(), tone(status.standing())),
                left(status, status.time_left()).into(),
                left(status, status.lease_left()).into(),
                done(status).into(),
            ]);
        }
        table
    }
}

/// Runs `schism status`.
pub(crate) async fn run(
    args: &StatusArgs,
    choice: &Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let Some(mut connection) = connect::find(choice, output).await? else {
        output.note(format!(
            "no agent listens at {}, and what an agent cut ends with it (clocks that it moved come back with \
             their lease, or by `schism residue --remove`)",
            choice.place().display()
        ));
        output.show(&StatusReport::new(Vec::new(), String::new(), args))?;
        return Ok(Outcome::Effective);
    };
    let mut look = async || {
        let faults = connection.link.list().await?;
        let halted = connection.link.describe().await?.halted;
        Ok(StatusReport::new(faults, halted, args))
    };
    if args.watch {
        return again(output, look).await;
    }
    output.show(&look().await?)?;
    Ok(Outcome::Effective)
}

/// Shows a report again and again, until Ctrl-C.
///
/// # Errors
/// What is looked at cannot be seen any more, or nobody can be shown it.
pub(crate) async fn again<R: Report>(
    output: Output,
    mut look: impl AsyncFnMut() -> Result<R, Failure>,
) -> Result<Outcome, Failure> {
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, "cannot watch the faults", error))?;
    loop {
        let report = look().await?;
        match output.reader() {
            Audience::Terminal => output.print(HOME)?,
            Audience::File => {}
        }
        output.show(&report)?;
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            // Only the looking on was interrupted.
            _ = interrupts.next() => return Ok(Outcome::Effective),
        }
    }
}

#[cfg(test)]
mod tests {
    use fault::State;

    use super::*;
    use crate::cut::specimen;

    #[test]
    fn the_table() {
        let args = StatusArgs { all: false, watch: false };
        let faults = vec![
            specimen::status(0, State::Active, 12, 10),
            specimen::status(1, State::Healed, 1, 1),
        ];
        let report = StatusReport::new(faults, String::new(), &args);
        let plain = anstream::adapter::strip_str(&report.text(Detail::Normal)).to_string();
        let expected = "\
ID              FROM → TO          MODE    STATE   LEFT  LEASE  LOST  PASSED
00000000000a.0  netns:a → netns:b  packet  active   58s    13s    10       2
";
        assert_eq!(plain, expected);
        assert_eq!(report.names(), ["00000000000a.0"]);
    }

    #[test]
    fn rows_stand_in_the_order_of_their_starts() {
        let args = StatusArgs { all: false, watch: false };
        let mut faults: Vec<Status> =
            (0..3).map(|part| specimen::status(part, State::Active, 1, 1)).collect();
        faults[0].lease = None;
        if let Some(window) = &mut faults[1].lease {
            window.start = window.start + Duration::from_secs(1);
        }
        let report = StatusReport::new(faults, String::new(), &args);
        assert_eq!(report.names(), ["00000000000a.2", "00000000000a.1", "00000000000a.0"]);
    }

    #[test]
    fn what_is_yet_to_begin_is_prepared() {
        let args = StatusArgs { all: false, watch: false };
        let mut status = specimen::status(0, State::Active, 0, 0);
        status.now = fault::BootTime::from_nanos(specimen::START - 1);
        let report = StatusReport::new(vec![status], String::new(), &args);
        let plain = anstream::adapter::strip_str(&report.text(Detail::Normal)).to_string();
        assert!(plain.contains("  prepared  ") && !plain.contains("active"), "{plain}");
        let document = serde_json::to_value(&report).unwrap();
        assert_eq!(document["faults"][0]["state"], "prepared", "{document:#}");
    }

    #[test]
    fn a_document_says_between_whom_and_counts_time_in_seconds() {
        let args = StatusArgs { all: false, watch: false };
        let faults = vec![specimen::status(0, State::Active, 1, 1)];
        let report = StatusReport::new(faults, String::new(), &args);
        let document = serde_json::to_value(&report).unwrap();
        let fault = &document["faults"][0];
        assert_eq!((&fault["from"], &fault["to"]), (&"netns:a".into(), &"netns:b".into()));
        let terms = &fault["fault"]["terms"];
        assert_eq!((&terms["lease"], &terms["total"]), (&15.0.into(), &60.0.into()));
    }

    #[test]
    fn nothing_is_a_sentence() {
        let args = StatusArgs { all: true, watch: false };
        let report = |halted: &str| StatusReport::new(Vec::new(), halted.to_owned(), &args);
        assert_eq!(report("").text(Detail::Normal), "no fault is active on this machine");
        assert_eq!(
            report("enough").text(Detail::Normal),
            "no fault is active on this machine\n\
             the brake is on: enough; no fault is let in before it is off"
        );
        let document = serde_json::to_value(report("enough")).unwrap();
        assert_eq!(document["halted"], "enough", "{document:#}");
    }

    #[test]
    fn what_only_counts_is_told_apart_from_what_is_lost() {
        let args = StatusArgs { all: false, watch: false };
        let mut shadow = specimen::status(1, State::Active, 12, 10);
        let fault::Kind::Cut(cut) = &mut shadow.fault.kind else { panic!("{shadow:?}") };
        cut.verdict = fault::Verdict::Count;
        let faults = vec![specimen::status(0, State::Active, 12, 10), shadow];
        let report = StatusReport::new(faults, String::new(), &args);
        let plain = anstream::adapter::strip_str(&report.text(Detail::Normal)).to_string();
        let expected = "\
ID              FROM → TO          MODE    STATE   LEFT  LEASE         LOST  PASSED
00000000000a.0  netns:a → netns:b  packet  active   58s    13s           10       2
00000000000a.1  netns:a → netns:b  packet  active   58s    13s  would be 10      12
";
        assert_eq!(plain, expected);
    }
}

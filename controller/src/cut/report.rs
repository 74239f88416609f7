//! What a cut did. Pure: from statuses to words and to an outcome.

use std::collections::BTreeMap;

use fault::{BootTime, Effect, Mode, Status, Verdict};
use serde::Serialize;

use super::prove::Proof;
use crate::outcome::Outcome;
use crate::output::quantity::{bytes, offset};
use crate::output::route::{Route, drifts, lost, place, tone};
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table, Tone};
use crate::output::{Detail, Report, record};
use crate::session::{Confirmation, End, outcome};

/// What a cut did, whole.
#[derive(Debug, Serialize)]
pub(crate) struct CutReport {
    schema: &'static str,
    id: String,
    seed: u64,
    /// By what it ended.
    ended: &'static str,
    /// Whether the agent confirmed that nothing of it acts any more.
    healed: Confirmation,
    exit_code: u8,
    #[serde(serialize_with = "record::faults")]
    faults: Vec<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
    #[serde(skip)]
    outcome: Outcome,
}

impl CutReport {
    pub(crate) fn new(
        end: &End,
        confirmation: Confirmation,
        faults: Vec<Status>,
        seed: u64,
        proof: Option<Proof>,
    ) -> Self {
        let mut outcome = outcome(end, confirmation, &faults);
        if let Some(proof) = &proof {
            outcome = outcome.worst(proof.outcome());
        }
        let id = faults.first().map(|status| status.fault.id.intent.to_string());
        Self {
            schema: "schism.cut/v1",
            id: id.unwrap_or_default(),
            seed,
            ended: end.word(),
            healed: confirmation,
            exit_code: outcome.code(),
            faults,
            proof,
            outcome,
        }
    }

    pub(crate) const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What is to be said about it beside the figures.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.healed.note(&self.faults).into_iter().collect();
        notes.extend(self.faults.iter().flat_map(drifts));
        notes.extend(meaning(&self.faults, self.proof.as_ref()));
        notes
    }
}

impl Report for CutReport {
    fn text(&self, detail: Detail) -> String {
        let mut text = effects(&self.faults, detail).text();
        if let Some(proof) = &self.proof {
            text.push_str(&format!("\n{}", proof.text()));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        // The id was printed when the cut began.
        Vec::new()
    }
}

/// What cuts did, one line a part; faults of other kinds are left out.
pub(crate) fn effects(faults: &[Status], detail: Detail) -> Table {
    let cuts = faults.iter().filter_map(|status| Some((status, status.fault.kind.cut()?)));
    let mut columns = vec![
        ("ID", Left),
        ("CUT", Left),
        ("AT", Left),
        ("STATE", Left),
        ("MATCHED", Right),
        ("LOST", Right),
        ("SEGMENTS", Right),
        ("BYTES", Right),
        ("FIRST LOSS", Right),
        ("LAST LOSS", Right),
        ("PASSED", Left),
    ];
    if detail == Detail::Wide {
        columns.extend([("SEEN", Right), ("UNPARSABLE", Right), ("SEED", Right)]);
    }
    let mut table = Table::new(&columns);
    for (status, cut) in cuts {
        let effect = &status.effect;
        let when = |time: Option<BootTime>| match (time, status.lease) {
            (Some(time), Some(window)) => offset(time.since(window.start)),
            (Some(_), None) | (None, _) => "-".to_owned(),
        };
        let matched = if effect.happened() { Tone::Plain } else { Tone::Doubtful };
        let mut cells: Vec<Cell> = vec![
            status.fault.id.into(),
            Route::from(&status.fault).into(),
            place(cut.side).into(),
            Cell::toned(status.standing(), tone(status.standing())),
            Cell::toned(effect.matched, matched),
            lost(cut, effect.lost).into(),
            lost(cut, effect.lost_segments).into(),
            lost(cut, bytes(effect.lost_bytes)).into(),
            when(effect.first_loss).into(),
            when(effect.last_loss).into(),
            passed(effect).into(),
        ];
        if detail == Detail::Wide {
            cells.extend::<[Cell; 3]>([
                status.hook.seen.into(),
                status.hook.unparsable.into(),
                cut.seed.into(),
            ]);
        }
        table.row(cells);
    }
    table
}

/// How many packets passed and why, such as `12 (other opener 10, spared 2)`.
pub(crate) fn passed(effect: &Effect) -> String {
    let reasons = [
        ("spared", effect.spared),
        ("lease over", effect.expired),
        ("not begun", effect.not_begun),
        ("exempt", effect.exempt),
        ("other opener", effect.other_opener),
        ("opener unknown", effect.opener_unknown),
        ("other age", effect.other_age),
        ("fragment", effect.fragment),
    ];
    let told: Vec<String> = reasons
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let total: u64 = reasons.iter().map(|(_, count)| count).sum();
    let mut text = total.to_string();
    if !told.is_empty() {
        text.push_str(&format!(" ({})", told.join(", ")));
    }
    if effect.opener_guessed > 0 {
        text.push_str(&format!(", opener guessed {}", effect.opener_guessed));
    }
    text
}

/// Sentences about what the figures mean.
fn meaning(faults: &[Status], proof: Option<&Proof>) -> Vec<String> {
    let none = match proof {
        Some(_) => "no traffic but our probes",
        None => "no packet",
    };
    let mut sentences = Vec::new();
    for (route, effect) in by_route(faults) {
        if !effect.happened() {
            sentences.push(format!(
                "nothing matched: {none} {route} came by that the cut selects, so it had no effect"
            ));
        } else if effect.lost == 0 {
            sentences.push(format!("nothing was lost {route}: all that matched passed"));
        }
    }
    let first = faults.first().and_then(|status| status.fault.kind.cut());
    if first.is_some_and(|cut| cut.mode == Mode::Initiator) {
        sentences.push(
            "initiator: what was lost belongs to flows that the sending side opened; flows that the \
             other side opened went on"
                .to_owned(),
        );
    }
    if first.is_some_and(|cut| cut.verdict == Verdict::Count) {
        sentences.push("shadow: nothing was lost, only counted".to_owned());
    }
    sentences
}

/// Effects by direction: a direction may be enforced at two places, of which the first leaves nothing
/// for the second.
fn by_route(faults: &[Status]) -> BTreeMap<String, Effect> {
    let mut routes: BTreeMap<String, Effect> = BTreeMap::new();
    for status in faults {
        *routes.entry(Route::from(&status.fault).to_string()).or_default() += status.effect;
    }
    routes
}

#[cfg(test)]
mod tests {
    use fault::State;

    use super::*;
    use crate::cut::specimen;

    #[test]
    fn the_table() {
        let mut status = specimen::status(0, State::Healed, 42, 40);
        status.effect.spared = 2;
        let text = effects(&[status, specimen::status(1, State::Healed, 0, 0)], Detail::Normal);
        let plain = anstream::adapter::strip_str(&text.text()).to_string();
        let expected = "\
ID              CUT                AT        STATE   MATCHED  LOST  SEGMENTS   BYTES  FIRST LOSS  LAST LOSS  PASSED
00000000000a.0  netns:a → netns:b  receiver  healed       42    40        40  4.0 kB     +0.012s    +1.500s  2 (spared 2)
00000000000a.1  netns:a → netns:b  receiver  healed        0     0         0     0 B           -          -  0
";
        assert_eq!(plain, expected);
    }

    #[test]
    fn why_packets_passed() {
        let effect = Effect { other_opener: 10, spared: 2, opener_guessed: 1, ..Effect::default() };
        assert_eq!(passed(&effect), "12 (spared 2, other opener 10), opener guessed 1");
        assert_eq!(passed(&Effect::default()), "0");
    }
}

//! Freezes, and what they did, in words.

use fault::{Extent, Freeze, FreezeEffect, Kind, Measured, Status};

use super::clocks::processes;
use super::quantity::{brief, time};
use super::route::{Route, tone};
use super::table::Align::{Left, Right};
use super::table::{Cell, Table, Tone};

/// What a freeze does, but to whom.
pub(crate) const fn describe(freeze: &Freeze) -> &'static str {
    match freeze.extent {
        Extent::Named => "stands still",
        Extent::Tree => "stands still, with descendants",
    }
}

/// What was measured of who stands still.
const fn effect(measured: Option<&Measured>) -> Option<&FreezeEffect> {
    match measured {
        Some(Measured::Freeze(effect)) => Some(effect),
        Some(Measured::Clock(_) | Measured::Kill(_) | Measured::Stress(_)) | None => None,
    }
}

/// How many threads were seen standing still, in a line.
pub(crate) fn stood(measured: Option<&Measured>) -> String {
    let Some(effect) = effect(measured) else { return "not looked at yet".to_owned() };
    let one = effect.threads == 1 && effect.stopped == 1;
    let verb = if one { "stands" } else { "stand" };
    format!("{} {verb} still, in {}", of_threads(effect), processes(effect.processes))
}

fn of_threads(effect: &FreezeEffect) -> String {
    let FreezeEffect { threads, stopped, .. } = effect;
    match (*threads, *stopped) {
        (1, 1) => "1 thread".to_owned(),
        (threads, stopped) if threads == stopped => format!("{threads} threads"),
        (1, stopped) => format!("{stopped} of 1 thread"),
        (threads, stopped) => format!("{stopped} of {threads} threads"),
    }
}

/// What freezes did, one line each; faults of other kinds are left out.
pub(crate) fn effects(faults: &[Status]) -> Table {
    let mut table = Table::new(&[
        ("ID", Left),
        ("FROZEN", Left),
        ("STATE", Left),
        ("PROCESSES", Right),
        ("THREADS", Right),
        ("STOPPED", Right),
        ("REACHED", Right),
        ("HELD", Right),
        ("UNCOVERED", Right),
    ]);
    for status in faults {
        let Kind::Freeze(_) = &status.fault.kind else { continue };
        let effect = effect(status.measured.as_ref()).cloned().unwrap_or_default();
        let all = effect.stopped == effect.threads && status.happened();
        let left_out = if effect.uncovered.is_empty() { Tone::Plain } else { Tone::Doubtful };
        table.row(vec![
            status.fault.id.into(),
            Route::from(&status.fault).into(),
            Cell::toned(status.standing(), tone(status.standing())),
            effect.processes.into(),
            effect.threads.into(),
            Cell::toned(effect.stopped, if all { Tone::Plain } else { Tone::Doubtful }),
            brief(effect.reached).into(),
            time(effect.held).into(),
            Cell::toned(effect.uncovered.len(), left_out),
        ]);
    }
    table
}

/// Sentences about what the figures mean.
pub(crate) fn meaning(status: &Status) -> Vec<String> {
    let route = Route::from(&status.fault);
    let mut sentences = Vec::new();
    if !status.happened() {
        sentences
            .push(format!("no thread of {route} was seen standing still, so it had no effect"));
    }
    let Some(effect) = effect(status.measured.as_ref()) else { return sentences };
    if status.happened() && effect.stopped < effect.threads {
        sentences.push(format!(
            "{} of {route} stood still; the others waited in the kernel, for a device or a child",
            of_threads(effect)
        ));
    }
    for one in &effect.uncovered {
        let pid = one.process.pid;
        sentences.push(format!("{} {pid} was not frozen: {}", one.name, one.reason));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freezes_in_words() {
        let table = [
            (1, 1, 1, "1 thread stands still, in 1 process"),
            (2, 9, 9, "9 threads stand still, in 2 processes"),
            (1, 9, 8, "8 of 9 threads stand still, in 1 process"),
        ];
        for (processes, threads, stopped, expected) in table {
            let effect = FreezeEffect { processes, threads, stopped, ..FreezeEffect::default() };
            assert_eq!(stood(Some(&Measured::Freeze(effect))), expected);
        }
        assert_eq!(stood(None), "not looked at yet");
        assert_eq!(describe(&Freeze { extent: Extent::Tree }), "stands still, with descendants");
    }
}

//! Kills, and what they did, in words.

use fault::{Extent, Kill, KillEffect, Kind, Measured, Status};

use super::clocks::processes;
use super::quantity::{brief, time};
use super::route::{Route, tone};
use super::table::Align::{Left, Right};
use super::table::{Cell, Table, Tone};

/// What a kill does, but to whom.
pub(crate) fn describe(kill: &Kill) -> String {
    let grace = kill.grace.map(|grace| format!(", SIGKILL after {}", time(grace)));
    let tree = match kill.extent {
        Extent::Named => "",
        Extent::Tree => ", with descendants",
    };
    format!("{}{}{tree}", kill.signal, grace.unwrap_or_default())
}

/// What was measured of who was to end.
const fn effect(measured: Option<&Measured>) -> Option<&KillEffect> {
    match measured {
        Some(Measured::Kill(effect)) => Some(effect),
        Some(Measured::Clock(_) | Measured::Freeze(_) | Measured::Stress(_)) | None => None,
    }
}

/// How many were seen to end, in a line.
pub(crate) fn ended(measured: Option<&Measured>) -> String {
    let Some(effect) = effect(measured) else { return "not looked at yet".to_owned() };
    let KillEffect { processes: all, signalled, unheeded, ended, forced, .. } = effect;
    if *signalled == 0 {
        return format!("{} not signalled yet", processes(*all));
    }
    let mut text = match (*all, *ended) {
        (1, 1) => "1 process ended".to_owned(),
        (all, ended) if all == ended => format!("{all} processes ended"),
        (all, ended) => format!("{ended} of {} ended", processes(all)),
    };
    if *ended > 0 {
        text.push_str(&format!(", within {}", brief(effect.longest)));
    }
    if *forced > 0 {
        text.push_str(&format!(", {forced} of them by SIGKILL"));
    }
    if *unheeded > 0 {
        text.push_str(&format!("; {unheeded} let the signal pass"));
    }
    text
}

/// What kills did, one line each; faults of other kinds are left out.
pub(crate) fn effects(faults: &[Status]) -> Table {
    let mut table = Table::new(&[
        ("ID", Left),
        ("KILLED", Left),
        ("STATE", Left),
        ("PROCESSES", Right),
        ("SIGNALLED", Right),
        ("ENDED", Right),
        ("BY SIGKILL", Right),
        ("WITHIN", Right),
        ("UNCOVERED", Right),
    ]);
    for status in faults {
        let Kind::Kill(_) = &status.fault.kind else { continue };
        let effect = effect(status.measured.as_ref()).cloned().unwrap_or_default();
        let left_out = if effect.uncovered.is_empty() { Tone::Plain } else { Tone::Doubtful };
        let all = if effect.is_complete() { Tone::Plain } else { Tone::Doubtful };
        let state = match status.is_done() {
            true => Cell::toned("done", Tone::Plain),
            false => Cell::toned(status.standing(), tone(status.standing())),
        };
        table.row(vec![
            status.fault.id.into(),
            Route::from(&status.fault).into(),
            state,
            effect.processes.into(),
            effect.signalled.into(),
            Cell::toned(effect.ended, all),
            effect.forced.into(),
            match effect.ended {
                0 => "-".to_owned(),
                _ => brief(effect.longest),
            }
            .into(),
            Cell::toned(effect.uncovered.len(), left_out),
        ]);
    }
    table
}

/// Sentences about what the figures mean.
pub(crate) fn meaning(status: &Status) -> Vec<String> {
    let route = Route::from(&status.fault);
    let Kind::Kill(kill) = &status.fault.kind else { return Vec::new() };
    let Some(effect) = effect(status.measured.as_ref()) else {
        return vec![format!("no process of {route} was seen to end, so it had no effect")];
    };
    let mut sentences = Vec::new();
    if !status.happened() {
        sentences.push(format!("no process of {route} was seen to end, so it had no effect"));
    }
    if effect.unheeded > 0 {
        sentences.push(format!(
            "{} of {route} ignores {}, keeps it waiting, or is the first of its namespace",
            processes(effect.unheeded),
            kill.signal
        ));
    }
    for one in &effect.uncovered {
        let pid = one.process.pid;
        sentences.push(format!("{} {pid} was not killed: {}", one.name, one.reason));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fault::Signal;

    use super::*;

    #[test]
    fn kills_in_words() {
        let grace = Some(Duration::from_secs(30));
        let kill = Kill { extent: Extent::Tree, signal: Signal::Terminate, grace };
        assert_eq!(describe(&kill), "SIGTERM, SIGKILL after 30s, with descendants");
        let table = [
            (1, 0, 0, 0, 0, "1 process not signalled yet"),
            (1, 1, 0, 1, 0, "1 process ended, within 2.00ms"),
            (3, 3, 1, 1, 0, "1 of 3 processes ended, within 2.00ms; 1 let the signal pass"),
            (2, 2, 0, 2, 1, "2 processes ended, within 2.00ms, 1 of them by SIGKILL"),
        ];
        for (processes, signalled, unheeded, ended_, forced, expected) in table {
            let longest = Duration::from_millis(2);
            let uncovered = Vec::new();
            let effect = KillEffect {
                processes,
                signalled,
                unheeded,
                ended: ended_,
                forced,
                longest,
                uncovered,
            };
            assert_eq!(ended(Some(&Measured::Kill(effect))), expected);
        }
        assert_eq!(ended(None), "not looked at yet");
    }
}

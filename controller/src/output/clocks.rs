//! Skews, and what they did, in words.

use fault::{ClockEffect, Ending, Extent, Kind, Measured, Offset, Reading, Shape, Skew, Status};

use super::quantity::{brief, time};
use super::route::{Route, tone};
use super::table::Align::{Left, Right};
use super::table::{Cell, Table, Tone};

/// What a skew does, but for whose clocks: `clocks realtime +1h, drift 200ppm`.
pub(crate) fn describe(skew: &Skew) -> String {
    let shape = match skew.shape {
        Shape::Offset(offset) => offset.to_string(),
        Shape::Step { offset, after } => format!("{offset} after {}", time(after)),
        Shape::Strobe { first, second, period } => {
            format!("{first} and {second} by turns, every {}", time(period))
        }
        Shape::Drift { offset: Offset::NONE, rate } => format!("drift {rate}"),
        Shape::Drift { offset, rate } => format!("{offset}, drift {rate}"),
    };
    let mut text = format!("clocks {} {shape}", skew.clocks);
    if skew.extent == Extent::Tree {
        text.push_str(", with descendants");
    }
    match skew.ending {
        Ending::Step => {}
        Ending::Slew(_) => text.push_str(&format!(", back by {}", skew.ending)),
    }
    text
}

/// How far clocks were read to have moved, in a line.
pub(crate) fn moved(measured: Option<&Measured>) -> String {
    let Some(effect) = effect(measured) else { return "not read yet".to_owned() };
    let readings: Vec<String> = effect.readings.iter().map(reading).collect();
    let readings =
        if readings.is_empty() { "not read yet".to_owned() } else { readings.join(", ") };
    format!("{readings}, in {}", processes(effect.covered))
}

/// A clock as it was read: `realtime +1h ±90ns`.
pub(crate) fn reading(reading: &Reading) -> String {
    let offset = Offset::saturating(reading.offset.into());
    let error = i64::try_from(reading.error).unwrap_or(i64::MAX);
    let error = Offset::saturating(error.into()).to_string();
    let doubt = if reading.as_asked { "" } else { ", which is not what was asked for" };
    format!("{} {offset} ±{}{doubt}", reading.clock, error.trim_start_matches('+'))
}

/// What was measured of clocks.
pub(crate) const fn effect(measured: Option<&Measured>) -> Option<&ClockEffect> {
    match measured {
        Some(Measured::Clock(effect)) => Some(effect),
        None => None,
    }
}

pub(crate) fn processes(number: usize) -> String {
    if number == 1 { "1 process".to_owned() } else { format!("{number} processes") }
}

/// What skews did, one line each; faults of other kinds are left out.
pub(crate) fn effects(faults: &[Status]) -> Table {
    let mut table = Table::new(&[
        ("ID", Left),
        ("CLOCKS OF", Left),
        ("SKEW", Left),
        ("STATE", Left),
        ("PROCESSES", Right),
        ("MEASURED", Left),
        ("HELD", Right),
        ("UNCOVERED", Right),
    ]);
    for status in faults {
        let Kind::Skew(skew) = &status.fault.kind else { continue };
        let effect = effect(status.measured.as_ref()).cloned().unwrap_or_default();
        let readings: Vec<String> = effect.readings.iter().map(reading).collect();
        let measured = if readings.is_empty() { "-".to_owned() } else { readings.join(", ") };
        let doubt = if status.happened() { Tone::Plain } else { Tone::Doubtful };
        let left_out = if effect.uncovered.is_empty() { Tone::Plain } else { Tone::Doubtful };
        table.row(vec![
            status.fault.id.into(),
            Route::from(&status.fault).into(),
            describe(skew).into(),
            Cell::toned(status.standing(), tone(status.standing())),
            effect.covered.into(),
            Cell::toned(measured, doubt),
            brief(effect.longest_hold).into(),
            Cell::toned(effect.uncovered.len(), left_out),
        ]);
    }
    table
}

/// Sentences about what the figures mean.
pub(crate) fn meaning(status: &Status) -> Vec<String> {
    let route = Route::from(&status.fault);
    let mut sentences = Vec::new();
    let Some(effect) = effect(status.measured.as_ref()) else {
        return vec![format!("no clock of {route} was read, so no effect is known")];
    };
    if !status.happened() {
        sentences.push(format!("no clock of {route} was seen to have moved, so it had no effect"));
    }
    for one in &effect.uncovered {
        let pid = one.process.pid;
        sentences.push(format!("{} {pid} was not covered: {}", one.name, one.reason));
    }
    if !effect.longest_gap.is_zero() {
        sentences.push(format!(
            "a process that began or executed another program meanwhile had true time for up to {}",
            time(effect.longest_gap)
        ));
    }
    if !effect.way_back.is_zero() {
        sentences.push(format!(
            "the clocks come back to the truth by themselves within {}; until then our code stays in {}",
            time(effect.way_back),
            processes(effect.covered)
        ));
    }
    sentences
}

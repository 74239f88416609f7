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
    let offset = Offset::saturating(rounded(reading.offset, reading.error));
    let error = i64::try_from(reading.error).unwrap_or(i64::MAX);
    let error = Offset::saturating(error.into()).to_string();
    let doubt = if reading.as_asked { "" } else { ", which is not what was asked for" };
    format!("{} {offset} ±{}{doubt}", reading.clock, error.trim_start_matches('+'))
}

/// A distance without the digits that its error leaves nothing of.
fn rounded(nanos: i64, error: u64) -> i128 {
    let unit = i128::from(10_u64.pow(error.max(1).ilog10())) * 10;
    (i128::from(nanos) + unit / 2).div_euclid(unit) * unit
}

/// What was measured of clocks.
pub(crate) const fn effect(measured: Option<&Measured>) -> Option<&ClockEffect> {
    match measured {
        Some(Measured::Clock(effect)) => Some(effect),
        Some(Measured::Freeze(_) | Measured::Kill(_) | Measured::Stress(_)) | None => None,
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
        sentences.push(format!(
            "no clock of {route} was read while it had moved as asked, so no effect is known; clocks are \
             read about once a second"
        ));
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
    if effect.escaped > 0 {
        sentences.push(format!(
            "{} executed another program and ended with true time, before they could be covered",
            processes(effect.escaped)
        ));
    }
    if !effect.way_back.is_zero() {
        sentences.push(format!(
            "the clocks come back to the truth by themselves within {}; our code stays in {} until then, and \
             until an agent or `schism residue --remove` clears it away",
            time(effect.way_back),
            processes(effect.covered)
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use fault::{Clock, ProcessIdentity};

    use super::*;

    #[test]
    fn a_reading_has_the_digits_that_its_error_leaves() {
        let hour = 3_600_000_000_000;
        let table = [
            (hour - 11, 91, "realtime +1h ±91ns"),
            (-90_000_000_030, 120, "realtime -1m30s ±120ns"),
            (4_000_411, 58, "realtime +4ms400ns ±58ns"),
            (3, 40, "realtime +0s ±40ns"),
            (hour, 0, "realtime +1h ±0s"),
        ];
        for (offset, error, expected) in table {
            let process = ProcessIdentity { pid: 7, started: 7 };
            let clock = Clock::Realtime;
            let known = Reading { clock, process, offset, error, as_asked: true };
            assert_eq!(reading(&known), expected);
            let doubtful = reading(&Reading { as_asked: false, ..known });
            assert_eq!(doubtful, format!("{expected}, which is not what was asked for"));
        }
    }

    #[test]
    fn skews_in_words() {
        let skew = |shape: Shape| Skew {
            shape,
            clocks: fault::Clocks::REALTIME,
            ending: Ending::Step,
            extent: Extent::Named,
        };
        let offset = |text: &str| text.parse::<Offset>().unwrap();
        let rate = "200ppm".parse().unwrap();
        let period = std::time::Duration::from_millis(200);
        let table = [
            (Shape::Offset(offset("+1h")), "clocks realtime +1h"),
            (Shape::Drift { offset: Offset::NONE, rate }, "clocks realtime drift 200ppm"),
            (
                Shape::Step { offset: offset("-1s"), after: period },
                "clocks realtime -1s after 200ms",
            ),
            (
                Shape::Strobe { first: offset("4ms"), second: Offset::NONE, period },
                "clocks realtime +4ms and +0s by turns, every 200ms",
            ),
        ];
        for (shape, expected) in table {
            assert_eq!(describe(&skew(shape)), expected);
        }
        let slewed = Skew {
            ending: Ending::Slew(rate),
            extent: Extent::Tree,
            ..skew(Shape::Offset(offset("+1h")))
        };
        let expected = "clocks realtime +1h, with descendants, back by slew:200ppm";
        assert_eq!(describe(&slewed), expected);
    }
}

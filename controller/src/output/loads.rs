//! Loads, and what they took, in words.

use fault::{Drift, Kind, Measured, Status, Stress, StressEffect};

use super::quantity::{bytes, time};
use super::route::{Route, tone};
use super::table::Align::{Left, Right};
use super::table::{Cell, Table, Tone};

/// What was measured of a load.
const fn effect(measured: Option<&Measured>) -> Option<&StressEffect> {
    match measured {
        Some(Measured::Stress(effect)) => Some(effect),
        Some(Measured::Clock(_) | Measured::Freeze(_) | Measured::Kill(_)) | None => None,
    }
}

/// Processor time in a second of time: 1.00 is one processor.
fn processors(effect: &StressEffect) -> String {
    let lasted = effect.lasted.as_secs_f64();
    if lasted == 0.0 {
        return "0.00".to_owned();
    }
    format!("{:.2}", effect.cpu.as_secs_f64() / lasted)
}

/// What was taken, in a line.
pub(crate) fn took(measured: Option<&Measured>) -> String {
    let Some(effect) = effect(measured) else { return "not looked at yet".to_owned() };
    let mut words = vec![format!("{} CPU in {}", time(effect.cpu), time(effect.lasted))];
    if effect.memory_asked > 0 {
        words.push(format!("{} of {} held", bytes(effect.memory), bytes(effect.memory_asked)));
    }
    if effect.written + effect.read > 0 {
        words.push(format!("{} written, {} read", bytes(effect.written), bytes(effect.read)));
    }
    words.join(", ")
}

/// What loads took, one line each; faults of other kinds are left out.
pub(crate) fn effects(faults: &[Status]) -> Table {
    let mut table = Table::new(&[
        ("ID", Left),
        ("LOADED", Left),
        ("STATE", Left),
        ("LASTED", Right),
        ("CPU", Right),
        ("PROCESSORS", Right),
        ("MEMORY", Right),
        ("WRITTEN", Right),
        ("READ", Right),
    ]);
    for status in faults {
        let Kind::Stress(_) = &status.fault.kind else { continue };
        let effect = effect(status.measured.as_ref()).cloned().unwrap_or_default();
        let short = if effect.memory < effect.memory_asked { Tone::Doubtful } else { Tone::Plain };
        table.row(vec![
            status.fault.id.into(),
            Route::from(&status.fault).into(),
            Cell::toned(status.standing(), tone(status.standing())),
            time(effect.lasted).into(),
            time(effect.cpu).into(),
            processors(&effect).into(),
            Cell::toned(bytes(effect.memory), short),
            bytes(effect.written).into(),
            bytes(effect.read).into(),
        ]);
    }
    table
}

/// Sentences about what the figures mean.
pub(crate) fn meaning(status: &Status) -> Vec<String> {
    let route = Route::from(&status.fault);
    let Kind::Stress(asked) = &status.fault.kind else { return Vec::new() };
    let effect = effect(status.measured.as_ref()).cloned().unwrap_or_default();
    let part = |wanted: bool, taken: bool, what: &str| {
        (wanted && !taken).then(|| format!("no {what} was taken from {route}"))
    };
    let Stress { cpu, memory, io } = asked;
    let mut sentences: Vec<String> = [
        part(cpu.is_some(), !effect.cpu.is_zero(), "processor time"),
        part(memory.is_some(), effect.memory > 0, "memory"),
        part(io.is_some(), effect.written + effect.read > 0, "disk"),
    ]
    .into_iter()
    .flatten()
    .collect();
    // A page here and there belongs to what holds them.
    const NEARLY: u64 = 1 << 20;
    if effect.memory > 0 && effect.memory + NEARLY < effect.memory_asked {
        let (asked, held) = (bytes(effect.memory_asked), bytes(effect.memory));
        sentences.push(if status.drifts.contains(&Drift::OutOfMemory) {
            format!("of {asked} it was last seen to hold {held}, shortly before the kernel ended it")
        } else {
            format!("of {asked} only {held} were held at most: there was no more, or it was still growing")
        });
    }
    sentences
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn loads_in_words() {
        let effect = StressEffect {
            lasted: Duration::from_secs(4),
            cpu: Duration::from_secs(6),
            memory: 1 << 20,
            memory_asked: 2 << 20,
            ..StressEffect::default()
        };
        assert_eq!(processors(&effect), "1.50");
        let words = took(Some(&Measured::Stress(effect)));
        assert!(words.starts_with("6s CPU in 4s, ") && words.ends_with(" held"), "{words}");
        assert_eq!(took(None), "not looked at yet");
        assert_eq!(processors(&StressEffect::default()), "0.00");
    }
}

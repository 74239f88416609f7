//! Figures as people read them.

use std::time::Duration;

/// A time with three digits that count: `870 µs`, `1.6 ms`, `430 ms`, `2.31 s`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        ..0.001 => format!("{:.0} µs", seconds * 1e6),
        ..0.1 => format!("{:.1} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// Bytes: `812 B`, `40.5 kB`.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes {
        ..1e3 => format!("{bytes:.0} B"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        _ => format!("{:.1} MB", bytes / 1e6),
    }
}

/// A number with its noun: `1 packet`, `2 packets`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(time(Duration::from_micros(870)), "870 µs");
        assert_eq!(time(Duration::from_micros(1_640)), "1.6 ms");
        assert_eq!(time(Duration::from_millis(430)), "430 ms");
        assert_eq!(time(Duration::from_millis(2_310)), "2.31 s");
        assert_eq!((bytes(812.0), bytes(40_500.0)), ("812 B".to_owned(), "40.5 kB".to_owned()));
        assert_eq!(
            (count(1, "packet"), count(2, "packet")),
            ("1 packet".into(), "2 packets".into())
        );
    }
}

//! Amounts as people read them.

use std::time::Duration;

/// A length of time, short: `340ms`, `52.1s`, `3m05s`, `2h05m`, `6d03h`.
pub(crate) fn time(duration: Duration) -> String {
    let (millis, seconds) = (duration.as_millis(), duration.as_secs());
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => {
            let tenths = millis / 100;
            if tenths % 10 == 0 {
                format!("{}s", tenths / 10)
            } else {
                format!("{}.{}s", tenths / 10, tenths % 10)
            }
        }
        60..3600 if seconds % 60 == 0 => format!("{}m", seconds / 60),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A length of time that may be much less than a millisecond: `412µs`, `1.73ms`, `12ms`.
pub(crate) fn brief(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros}µs"),
        1_000..10_000 => format!("{}.{:02}ms", micros / 1_000, micros / 10 % 100),
        _ => time(duration),
    }
}

/// A length of time that is measured down to milliseconds: `+1.204s`.
pub(crate) fn offset(duration: Duration) -> String {
    format!("+{}.{:03}s", duration.as_secs(), duration.subsec_millis())
}

/// A number of bytes: `812 B`, `9.8 kB`, `1.2 GB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < units.len() {
        tenths /= 1_000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

/// A number with its noun: `1 packet`, `3 packets`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let table = [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (52_180, "52.1s"),
            (59_999, "59.9s"),
            (60_000, "1m"),
            (185_900, "3m05s"),
            (7_500_000, "2h05m"),
            (529_200_000, "6d03h"),
        ];
        for (millis, text) in table {
            assert_eq!(time(Duration::from_millis(millis)), text, "{millis}");
        }
        assert_eq!(offset(Duration::from_millis(1_204)), "+1.204s");
        for (micros, text) in [(412, "412µs"), (1_738, "1.73ms"), (12_900, "12ms")] {
            assert_eq!(brief(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn sizes() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_876, "9.8 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (number, text) in table {
            assert_eq!(bytes(number), text, "{number}");
        }
    }
}

//! Metrics as text: the exposition format of Prometheus, and of OpenMetrics as far as they agree.

use std::collections::BTreeMap;

use super::Series;

/// The series of a metric whose labels are these; others may be anything.
///
/// # Errors
/// A line of it cannot be read.
pub(super) fn series(
    text: &str,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<Vec<Series>, String> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let unread = || format!("a line of `{name}` cannot be read: {line}");
        let (own, rest) = match rest.chars().next() {
            Some('{') => read(&rest[1..]).ok_or_else(unread)?,
            Some(' ' | '\t') => (BTreeMap::new(), rest),
            // Another name that begins like this one.
            Some(_) | None => continue,
        };
        if labels.iter().any(|(key, value)| own.get(key) != Some(value)) {
            continue;
        }
        let value = rest.split_whitespace().next().ok_or_else(unread)?;
        let value = match value {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            other => other.parse().map_err(|_| unread())?,
        };
        let shown = line.len() - rest.len();
        found.push(Series { name: line[..shown].to_owned(), value });
    }
    Ok(found)
}

/// Labels up to their brace, and what follows it.
fn read(text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, after) = rest.split_once('=')?;
        let mut value = String::new();
        let mut letters = after.trim_start().strip_prefix('"')?.chars();
        loop {
            match letters.next()? {
                '"' => break,
                '\\' => match letters.next()? {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                letter => value.push(letter),
            }
        }
        labels.insert(key.trim().to_owned(), value);
        rest = letters.as_str().trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_published() {
        let text = "# TYPE x counter\nx_total 3\nx{a=\"1\"} 4 1700000000\nx{ a = \"q\\\"\\\\\\n,}\" , b=\"2\", } +Inf\n  x 5e-1\ny{";
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let values = |name: &str, pairs: &[(&str, &str)]| -> Vec<f64> {
            let found = series(text, name, &labels(pairs)).unwrap();
            found.into_iter().map(|series| series.value).collect()
        };
        assert_eq!(values("x", &[]), [4.0, f64::INFINITY, 0.5]);
        assert_eq!(values("x", &[("a", "1")]), [4.0]);
        assert_eq!(values("x", &[("a", "q\"\\\n,}"), ("b", "2")]), [f64::INFINITY]);
        assert_eq!(values("x_total", &[]), [3.0]);
        assert_eq!(values("z", &[]), [0.0; 0]);
        assert!(series(text, "y", &labels(&[])).is_err());
        assert_eq!(series(text, "x", &labels(&[("a", "1")])).unwrap()[0].name, "x{a=\"1\"}");
    }
}

//! Counters in the text format of Prometheus.

/// The samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    /// As scraped: `To="8e9e05c52164694d",…`.
    labels: String,
    value: f64,
}

impl Metrics {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self { samples: lines.filter_map(sample).collect() }
    }

    /// The sum over all samples of this name; 0 where there is none, as for a counter that was
    /// never counted.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.total(name, |_| true)
    }

    /// The sum over the samples of this name that have this label, such as `To` with a member's id
    /// in hexadecimal for `etcd_network_peer_sent_bytes_total`.
    #[must_use]
    pub fn labelled(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        self.total(name, |labels| labels.split(',').any(|label| label == wanted))
    }

    fn total(&self, name: &str, takes: impl Fn(&str) -> bool) -> f64 {
        let samples = self.samples.iter();
        let taken = samples.filter(|sample| sample.name == name && takes(&sample.labels));
        // `Iterator::sum` of nothing is -0.0.
        taken.fold(0.0, |sum, sample| sum + sample.value)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (key, value) = line.rsplit_once(' ')?;
    let (name, labels) = match key.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (key, ""),
    };
    let value = value.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels: labels.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let metrics = Metrics::parse(
            "# HELP sent Bytes.\n# TYPE sent counter\nsent{To=\"a\"} 3\nsent{To=\"b\",x=\"y\"} 4e2\n\
             plain 7\n",
        );
        assert_eq!(metrics.sum("sent").to_bits(), 403_f64.to_bits());
        assert_eq!(metrics.labelled("sent", "To", "b").to_bits(), 400_f64.to_bits());
        assert_eq!(metrics.sum("plain").to_bits(), 7_f64.to_bits());
        assert_eq!(metrics.sum("never").to_bits(), 0_f64.to_bits());
    }
}

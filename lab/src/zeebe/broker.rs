//! A client of what a broker tells those who manage it, `:9600/actuator`.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use serde_json::Value;

use super::ZeebeError;
use crate::{http::Connection, netns::Namespace};

/// What a broker is for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// Anything else, such as a candidate.
    Other,
}

/// A partition as one broker has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What the broker is for it.
    pub role: Role,
    /// The last position that it has processed; `None` where it does not tell.
    pub processed: Option<i64>,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Other => "neither",
        })
    }
}

/// A connection to one broker, kept between requests.
#[derive(Debug)]
pub struct Broker {
    connection: Connection,
    address: SocketAddr,
}

impl Broker {
    /// The broker that is managed at this address, asked from inside a namespace.
    #[must_use]
    pub fn from(namespace: Namespace, address: SocketAddr) -> Self {
        Self { connection: Connection::new(namespace, address), address }
    }

    /// The same, asked from where this process is.
    #[must_use]
    pub fn from_here(address: SocketAddr) -> Self {
        Self { connection: Connection::here(address), address }
    }

    /// Its own view of every partition that it has.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn partitions(&mut self, limit: Duration) -> Result<BTreeMap<u32, Partition>, ZeebeError> {
        let path = "/actuator/partitions";
        let text = self.request(path, None, limit)?;
        let parsed = serde_json::from_str::<Value>(&text).ok().and_then(|said| partitions(&said));
        let address = self.address;
        let what = "no partitions";
        parsed.ok_or_else(|| ZeebeError::Answer {
            path: path.to_owned(),
            address,
            what,
            said: text,
        })
    }

    /// Has every leader that is not the partition's first choice step down.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn rebalance(&mut self, limit: Duration) -> Result<(), ZeebeError> {
        self.request("/actuator/rebalance", Some(""), limit).map(drop)
    }

    /// The sum of a counter over all series that have these labels, from Prometheus' text.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn counter(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        limit: Duration,
    ) -> Result<f64, ZeebeError> {
        let text = self.request("/actuator/prometheus", None, limit)?;
        Ok(counter(&text, name, labels))
    }

    fn request(
        &mut self,
        path: &str,
        body: Option<&str>,
        limit: Duration,
    ) -> Result<String, ZeebeError> {
        let (path, address) = (path.to_owned(), self.address);
        match self.connection.request(&path, body, limit) {
            Err(source) => Err(ZeebeError::Http { path, address, source }),
            Ok(answer) if (200..300).contains(&answer.status) => Ok(answer.body),
            Ok(answer) => {
                let (status, said) = (answer.status, answer.body);
                Err(ZeebeError::Refused { path, address, status, said })
            }
        }
    }
}

fn partitions(said: &Value) -> Option<BTreeMap<u32, Partition>> {
    let one = |(id, partition): (&String, &Value)| {
        let role = match partition.get("role")?.as_str()? {
            "LEADER" => Role::Leader,
            "FOLLOWER" => Role::Follower,
            _ => Role::Other,
        };
        let processed = partition.get("processedPosition").and_then(Value::as_i64);
        Some((id.parse().ok()?, Partition { role, processed }))
    };
    said.as_object()?.iter().map(one).collect()
}

fn counter(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (series, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest),
        };
        let fits = labels.iter().all(|label| series.split(',').any(|one| one == label));
        if !fits || !value.starts_with(' ') {
            return None;
        }
        value.trim().parse::<f64>().ok()
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_broker() {
        let said = serde_json::json!({
            "1": { "role": "LEADER", "processedPosition": 42, "streamProcessorPhase": "PROCESSING" },
            "2": { "role": "FOLLOWER", "processedPosition": null },
            "3": { "role": "CANDIDATE" },
        });
        let found = partitions(&said).unwrap();
        assert_eq!(found[&1], Partition { role: Role::Leader, processed: Some(42) });
        assert_eq!(found[&2], Partition { role: Role::Follower, processed: None });
        assert_eq!(found[&3].role, Role::Other);
        assert_eq!(partitions(&serde_json::json!({ "1": {} })), None);
        assert_eq!(partitions(&serde_json::json!([])), None);
    }

    #[test]
    fn counters_are_of_series_with_all_labels() {
        let text = "# HELP miss_total x\nmiss_total{partition=\"1\",g=\"a\",} 8.0\n\
                    miss_total{partition=\"3\",g=\"a\",} 2.0\nmiss_totals{partition=\"1\"} 5.0\n\
                    alone 3\n";
        assert_eq!(counter(text, "miss_total", &[("partition", "1")]), 8.0);
        assert_eq!(counter(text, "miss_total", &[]), 10.0);
        assert_eq!(counter(text, "alone", &[]), 3.0);
        assert_eq!(counter(text, "none", &[]), 0.0);
    }
}

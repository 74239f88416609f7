//! The lines of an archive.

use std::time::{Duration, SystemTime};

use fault::{IntentId, NodeName};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What somebody asked for that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// To put a fault in.
    Apply,
    /// To end faults.
    Heal,
    /// To put on the brake.
    Halt,
    /// To release it.
    Resume,
    /// To run an experiment.
    Run,
    /// To play the rollbacks that a run owes.
    TakeOver,
    /// To end runs.
    EndRun,
    /// To read what targets write.
    ReadLog,
    /// To have the API server of the cluster remove pods, or let none come to a node.
    Disrupt,
    /// To have packets of a target.
    Capture,
    /// Nothing: what they came to has been handed over.
    Captured,
}

/// What was said to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is being done.
    Admitted,
    /// It is not, and why.
    Refused(String),
}

/// Who asked for what, where, until when. It has no place for a secret: who asked is a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "schema", rename = "schism.audit/v1")]
pub struct Audit {
    /// When.
    #[serde(with = "instant")]
    pub at: SystemTime,
    /// Who, as the certificate or the socket says.
    pub who: String,
    /// What.
    pub deed: Deed,
    /// What exactly, as it could be typed: `cut etcd:leader etcd:follower`.
    pub what: String,
    /// The intent, 12 hexadecimal digits; none for the brake.
    pub intent: Option<String>,
    /// Where.
    #[serde(rename = "where")]
    pub nodes: Vec<Node>,
    /// Until when at most; none for what has no end.
    #[serde(with = "instant::optional")]
    pub until: Option<SystemTime>,
    /// What was said to it.
    pub verdict: Verdict,
}

impl Audit {
    /// That something ends by itself, for this reason: nobody is asked whether it may.
    pub(crate) fn ending(at: SystemTime, reason: &str, id: IntentId) -> Self {
        Self {
            at,
            who: reason.to_owned(),
            deed: Deed::Heal,
            what: id.to_string(),
            intent: Some(id.to_string()),
            nodes: Vec::new(),
            until: None,
            verdict: Verdict::Admitted,
        }
    }
}

/// A node's name, as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node(pub NodeName);

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        NodeName::new(&name).map(Self).ok_or_else(|| de::Error::custom("no name of a node"))
    }
}

pub(super) mod instant {
    //! RFC 3339 in UTC, to the nanosecond.

    use super::{Deserialize, Deserializer, Serialize, Serializer, SystemTime, de};

    pub(in super::super) fn serialize<S: Serializer>(
        at: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_nanos(super::printable(*at)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(de::Error::custom)
    }

    pub(in super::super) mod optional {
        use super::{Deserialize, Deserializer, Serialize, Serializer, SystemTime};

        #[derive(Serialize, Deserialize)]
        struct At(#[serde(with = "super")] SystemTime);

        pub(in super::super::super) fn serialize<S: Serializer>(
            at: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            at.map(At).serialize(serializer)
        }

        pub(in super::super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            Ok(Option::<At>::deserialize(deserializer)?.map(|at| at.0))
        }
    }
}

/// The nearest moment that RFC 3339 can write: humantime refuses others by a panic in `to_string`.
fn printable(at: SystemTime) -> SystemTime {
    // 9999-12-31T23:59:59Z
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    at.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_line_is_legible() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let audit = Audit {
            at,
            who: "ann".to_owned(),
            deed: Deed::Apply,
            what: "cut etcd:leader etcd:follower".to_owned(),
            intent: Some("00000000000a".to_owned()),
            nodes: vec![Node(NodeName::new("n1").unwrap())],
            until: Some(at + Duration::from_secs(30)),
            verdict: Verdict::Refused("no majority would be left".to_owned()),
        };
        let line = serde_json::to_string(&audit).unwrap();
        assert_eq!(
            line,
            r#"{"schema":"schism.audit/v1","at":"2023-11-14T22:13:20.123456789Z","who":"ann","deed":"apply","what":"cut etcd:leader etcd:follower","intent":"00000000000a","where":["n1"],"until":"2023-11-14T22:13:50.123456789Z","verdict":{"refused":"no majority would be left"}}"#
        );
        assert_eq!(serde_json::from_str::<Audit>(&line).unwrap(), audit);
        let brake = Audit { intent: None, until: None, deed: Deed::Halt, ..audit };
        let line = serde_json::to_string(&brake).unwrap();
        assert_eq!(serde_json::from_str::<Audit>(&line).unwrap(), brake);
    }

    #[test]
    fn a_moment_before_all_or_after_all_is_written() {
        let ages = Duration::from_secs(1 << 60);
        for at in [SystemTime::UNIX_EPOCH - Duration::from_secs(1), SystemTime::UNIX_EPOCH + ages] {
            let resumed = Audit {
                at,
                who: "ann".to_owned(),
                deed: Deed::Resume,
                what: String::new(),
                intent: None,
                nodes: Vec::new(),
                until: None,
                verdict: Verdict::Admitted,
            };
            let line = serde_json::to_string(&resumed).unwrap();
            assert!(serde_json::from_str::<Audit>(&line).is_ok(), "{line}");
        }
    }
}

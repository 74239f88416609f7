//! What brokers and gateways tell, and do for, those who manage them: `:9600/actuator`.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Client, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Key, ManagementUrl, NodeId, PartitionId, Trust, TrustError, http};

/// HTTP's status of what is not there.
const NOT_FOUND: u16 = 404;

/// How much of what somebody said is repeated.
const REPEATED: usize = 300;

/// Why a broker or gateway did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManagementError {
    /// No answer.
    #[error("{at} does not answer: {why}")]
    Silent {
        /// Who.
        at: ManagementUrl,
        /// Why.
        why: String,
    },
    /// It is not there: another version, or another sort of node.
    #[error("{at} has no {path}")]
    Absent {
        /// Who.
        at: ManagementUrl,
        /// What was asked for.
        path: String,
    },
    /// It refuses.
    #[error("{at} answered {status} to {path}: {said}")]
    Refused {
        /// Who.
        at: ManagementUrl,
        /// What was asked for.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
    /// It answered something that is not understood.
    #[error("{at} answered to {path} what is no answer of Zeebe's: {why}")]
    Malformed {
        /// Who.
        at: ManagementUrl,
        /// What was asked for.
        path: String,
        /// What is wrong.
        why: String,
    },
}

/// What a broker is for a partition, by raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "UPPERCASE", serialize = "kebab-case"))]
pub enum RaftRole {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It wants to lead.
    Candidate,
    /// It has the partition and takes no part yet.
    Inactive,
    /// It learns without a vote.
    Passive,
    /// It learns, to vote later.
    Promotable,
}

/// A partition as one broker has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct OwnPartition {
    /// What the broker is for it.
    pub role: RaftRole,
    /// The last position that it has processed.
    #[serde(default)]
    pub processed_position: Option<i64>,
    /// What its processing does, such as PROCESSING, REPLAY or PAUSED.
    #[serde(default)]
    pub stream_processor_phase: Option<String>,
    /// What its exporting does, such as EXPORTING or PAUSED.
    #[serde(default)]
    pub exporter_phase: Option<String>,
    /// The last position that it has exported.
    #[serde(default)]
    pub exported_position: Option<i64>,
}

/// A node's own clock, by which its timers run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct ActorClock {
    /// Milliseconds since the epoch.
    pub epoch_milli: i64,
}

/// The cluster as its coordinator has configured it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct Configuration {
    /// How often it was changed.
    #[serde(default)]
    pub version: i64,
    /// Its brokers.
    #[serde(default)]
    pub brokers: Vec<ConfiguredBroker>,
    /// The last change that came to its end.
    #[serde(default)]
    pub last_change: Option<Change>,
    /// The change that is under way.
    #[serde(default)]
    pub pending_change: Option<Change>,
}

/// A broker of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct ConfiguredBroker {
    /// Its number.
    pub id: u32,
    /// What it is for the cluster, such as ACTIVE.
    #[serde(default)]
    pub state: Option<String>,
    /// What it has of the partitions.
    #[serde(default)]
    pub partitions: Vec<ConfiguredPartition>,
}

/// A partition of a broker of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct ConfiguredPartition {
    /// Its number.
    pub id: u32,
    /// What the broker is for it, such as ACTIVE.
    #[serde(default)]
    pub state: Option<String>,
    /// The broker of the highest is to lead.
    #[serde(default)]
    pub priority: i64,
}

/// A change of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct Change {
    /// Its number.
    #[serde(default)]
    pub id: i64,
    /// How it is, such as IN_PROGRESS, COMPLETED or FAILED.
    #[serde(default)]
    pub status: Option<String>,
}

impl Configuration {
    /// Who is to lead each partition: the active broker of the highest priority, of equals the first.
    #[must_use]
    pub fn first_choices(&self) -> BTreeMap<PartitionId, NodeId> {
        let mut best: BTreeMap<PartitionId, (i64, NodeId)> = BTreeMap::new();
        for broker in &self.brokers {
            for partition in &broker.partitions {
                let Some(id) = PartitionId::new(partition.id) else { continue };
                let this = (partition.priority, NodeId::new(broker.id));
                let known = best.entry(id).or_insert(this);
                if this.0 > known.0 {
                    *known = this;
                }
            }
        }
        best.into_iter().map(|(partition, (_, broker))| (partition, broker)).collect()
    }
}

/// A way of pausing exporters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Nothing is exported.
    Hard,
    /// It is exported, and not taken note of, so that it is exported again afterwards.
    Soft,
}

/// How another set of brokers is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// It is said what would be done, and nothing is.
    Planned,
    /// Partitions are moved to the new set, and away from those that are not in it.
    Moved,
    /// Those that are not in it are left out at once, with what only they had: they are lost.
    Forced,
}

/// What is done to come to another set of brokers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct PlannedChange {
    /// Its number.
    #[serde(rename(serialize = "change"))]
    pub change_id: i64,
    /// Its steps, in their order.
    #[serde(default, rename(serialize = "planned"))]
    pub planned_changes: Vec<ChangeStep>,
}

/// A step of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct ChangeStep {
    /// What is done, such as PARTITION_JOIN or BROKER_REMOVE.
    pub operation: String,
    /// By which broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_id: Option<u32>,
    /// With which partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_id: Option<u32>,
}

/// A stream of jobs, as the gateway has it that a worker opened it at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "kebab-case"))]
pub struct OpenStream {
    /// Of which type the jobs are.
    pub job_type: String,
    /// The brokers that push to it.
    #[serde(default)]
    pub connected_to: Vec<Value>,
}

/// A broker or gateway that can be managed.
#[derive(Clone, Debug)]
pub struct Management {
    at: ManagementUrl,
    http: Client,
}

impl Management {
    /// Asks nobody yet. Each request may take `limit`.
    ///
    /// # Errors
    /// Nobody can be believed.
    pub fn new(at: ManagementUrl, trust: &Trust, limit: Duration) -> Result<Self, TrustError> {
        Ok(Self { at, http: http::client(trust, limit)? })
    }

    /// The same client for another place.
    #[must_use]
    pub fn at(&self, at: ManagementUrl) -> Self {
        Self { at, http: self.http.clone() }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &ManagementUrl {
        &self.at
    }

    /// A broker's own view of its partitions.
    ///
    /// # Errors
    /// It does not tell.
    pub async fn partitions(&self) -> Result<BTreeMap<PartitionId, OwnPartition>, ManagementError> {
        let path = "/actuator/partitions";
        let said: BTreeMap<String, OwnPartition> = self.get(path).await?;
        let partition = |(number, own): (String, OwnPartition)| match number.parse() {
            Ok(number) => Ok((number, own)),
            Err(error) => Err(self.malformed(path, &format!("{number}: {error}"))),
        };
        said.into_iter().map(partition).collect()
    }

    /// The cluster as it is configured.
    ///
    /// # Errors
    /// It does not tell, as before 8.4.
    pub async fn configuration(&self) -> Result<Configuration, ManagementError> {
        self.get("/actuator/cluster").await
    }

    /// Has the cluster consist of these brokers, with so many of them for each partition; without a number
    /// as many as before.
    ///
    /// # Errors
    /// It refuses, as while another change is under way, and before 8.4.
    pub async fn scale(
        &self,
        brokers: &[NodeId],
        replicas: Option<u32>,
        scaling: Scaling,
    ) -> Result<PlannedChange, ManagementError> {
        let mut path = "/actuator/cluster/brokers?".to_owned();
        path += match scaling {
            Scaling::Planned => "dryRun=true",
            Scaling::Moved => "dryRun=false",
            Scaling::Forced => "dryRun=false&force=true",
        };
        if let Some(replicas) = replicas {
            path += &format!("&replicationFactor={replicas}");
        }
        let brokers: Vec<u32> = brokers.iter().map(|broker| broker.number()).collect();
        let body = self.post(&path, Some(json!(brokers))).await?;
        serde_json::from_slice(&body).map_err(|error| self.malformed(&path, &error.to_string()))
    }

    /// The streams of jobs that workers have opened at this gateway.
    ///
    /// # Errors
    /// It does not tell, as before 8.3.
    pub async fn job_streams(&self) -> Result<Vec<OpenStream>, ManagementError> {
        self.get("/actuator/jobstreams/client").await
    }

    /// The node's own clock.
    ///
    /// # Errors
    /// It does not tell, as without ZEEBE_CLOCK_CONTROLLED.
    pub async fn clock(&self) -> Result<ActorClock, ManagementError> {
        self.get("/actuator/clock").await
    }

    /// Stops the node's clock at a moment, in milliseconds since the epoch.
    ///
    /// # Errors
    /// It refuses, as without ZEEBE_CLOCK_CONTROLLED.
    pub async fn pin_clock(&self, epoch_milli: i64) -> Result<(), ManagementError> {
        self.post("/actuator/clock/pin", Some(json!({ "epochMilli": epoch_milli }))).await.map(drop)
    }

    /// Moves the node's clock by so many milliseconds, which may be negative.
    ///
    /// # Errors
    /// It refuses, as without ZEEBE_CLOCK_CONTROLLED.
    pub async fn move_clock(&self, milliseconds: i64) -> Result<(), ManagementError> {
        self.post("/actuator/clock/add", Some(json!({ "offsetMilli": milliseconds })))
            .await
            .map(drop)
    }

    /// Sets the node's clock by that of its machine again.
    ///
    /// # Errors
    /// It refuses, as without ZEEBE_CLOCK_CONTROLLED.
    pub async fn reset_clock(&self) -> Result<(), ManagementError> {
        self.send(Method::DELETE, "/actuator/clock", None).await.map(drop)
    }

    /// Has every leader that is not its partition's first choice step down.
    ///
    /// # Errors
    /// It refuses.
    pub async fn rebalance(&self) -> Result<(), ManagementError> {
        self.post("/actuator/rebalance", None).await.map(drop)
    }

    /// Pauses exporting in the whole cluster.
    ///
    /// # Errors
    /// It refuses.
    pub async fn pause_exporting(&self, pause: Pause) -> Result<(), ManagementError> {
        let path = match pause {
            Pause::Hard => "/actuator/exporting/pause",
            Pause::Soft => "/actuator/exporting/pause?soft=true",
        };
        self.told(path, &self.post(path, None).await?)
    }

    /// Resumes exporting in the whole cluster.
    ///
    /// # Errors
    /// It refuses.
    pub async fn resume_exporting(&self) -> Result<(), ManagementError> {
        let path = "/actuator/exporting/resume";
        self.told(path, &self.post(path, None).await?)
    }

    /// Has a process instance ignored from now on, as Zeebe does with one on which it failed.
    ///
    /// # Errors
    /// It refuses.
    pub async fn ban(&self, instance: Key) -> Result<(), ManagementError> {
        self.post(&format!("/actuator/banning/{instance}"), None).await.map(drop)
    }

    /// Begins a backup of this number.
    ///
    /// # Errors
    /// It refuses, as without a backup store.
    pub async fn take_backup(&self, id: u64) -> Result<(), ManagementError> {
        self.post("/actuator/backups", Some(json!({ "backupId": id }))).await.map(drop)
    }

    /// How a backup is, such as IN_PROGRESS, COMPLETED or FAILED; DOES_NOT_EXIST where there is none of this number.
    ///
    /// # Errors
    /// It does not tell, or knows no backups.
    pub async fn backup_state(&self, id: u64) -> Result<String, ManagementError> {
        let path = format!("/actuator/backups/{id}");
        let (status, body) = self.answer(Method::GET, &path, None).await?;
        if status == NOT_FOUND && is_own_word(&body) {
            return Ok("DOES_NOT_EXIST".to_owned());
        }
        let body = self.accepted(&path, status, body)?;
        let said: Value = serde_json::from_slice(&body)
            .map_err(|error| self.malformed(&path, &error.to_string()))?;
        let state = said.get("state").and_then(Value::as_str);
        state.map(ToOwned::to_owned).ok_or_else(|| self.malformed(&path, "no state"))
    }

    /// From 8.9 on what failed is answered with 200 and another status in the body.
    fn told(&self, path: &str, body: &[u8]) -> Result<(), ManagementError> {
        let said: Option<Value> = serde_json::from_slice(body).ok();
        match said.as_ref().and_then(|said| said.get("status")).and_then(Value::as_u64) {
            Some(status) if !(200..300).contains(&status) => Err(ManagementError::Refused {
                at: self.at.clone(),
                path: path.to_owned(),
                status: u16::try_from(status).unwrap_or(u16::MAX),
                said: beginning(body),
            }),
            Some(_) | None => Ok(()),
        }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ManagementError> {
        let body = self.send(Method::GET, path, None).await?;
        serde_json::from_slice(&body).map_err(|error| self.malformed(path, &error.to_string()))
    }

    async fn post(&self, path: &str, body: Option<Value>) -> Result<Vec<u8>, ManagementError> {
        self.send(Method::POST, path, body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Vec<u8>, ManagementError> {
        let (status, body) = self.answer(method, path, body).await?;
        self.accepted(path, status, body)
    }

    /// The HTTP status and the body of an answer, whatever it says.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Vec<u8>), ManagementError> {
        let mut request = self.http.request(method, format!("{}{path}", self.at));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let silent = |why| ManagementError::Silent { at: self.at.clone(), why };
        let answer = request.send().await.map_err(|error| silent(http::why(error)))?;
        let status = answer.status().as_u16();
        let body = http::whole(answer).await.map_err(|error| silent(error.to_string()))?;
        Ok((status, body))
    }

    /// The body of an answer that says that it was done.
    fn accepted(&self, path: &str, status: u16, body: Vec<u8>) -> Result<Vec<u8>, ManagementError> {
        match status {
            200..=299 => Ok(body),
            NOT_FOUND => {
                Err(ManagementError::Absent { at: self.at.clone(), path: path.to_owned() })
            }
            status => Err(ManagementError::Refused {
                at: self.at.clone(),
                path: path.to_owned(),
                status,
                said: beginning(&body),
            }),
        }
    }

    fn malformed(&self, path: &str, why: &str) -> ManagementError {
        let (at, path) = (self.at.clone(), path.to_owned());
        ManagementError::Malformed { at, path, why: why.to_owned() }
    }
}

/// Whether it is what somebody asked for that is not there. Of a path that nobody serves, the framework says it, and
/// repeats the status.
fn is_own_word(body: &[u8]) -> bool {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    said.is_some_and(|said| said.get("message").is_some() && said.get("status").is_none())
}

/// What somebody said, in one line that does not move a cursor.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim().chars().take(REPEATED).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_lead_has_the_highest_priority() {
        let broker = |id: u32, priorities: [i64; 2]| ConfiguredBroker {
            id,
            state: None,
            partitions: (1..)
                .zip(priorities)
                .map(|(id, priority)| ConfiguredPartition { id, state: None, priority })
                .collect(),
        };
        let brokers = vec![broker(0, [3, 1]), broker(1, [2, 3]), broker(10, [1, 2])];
        let configuration =
            Configuration { version: 1, brokers, last_change: None, pending_change: None };
        let choices: Vec<_> = configuration.first_choices().into_iter().collect();
        let [one, two] = [1, 2].map(|number| PartitionId::new(number).unwrap());
        assert_eq!(choices, [(one, NodeId::new(0)), (two, NodeId::new(1))]);
    }
}

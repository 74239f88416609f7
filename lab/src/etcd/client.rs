//! A client of one member, over etcd's gateway from HTTP and JSON to gRPC.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{EtcdError, Metrics};
use crate::{
    http::{Answer, Connection},
    netns::Namespace,
};

/// What a member says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its own id.
    pub member: u64,
    /// The id of the leader that it follows; `None` when it knows of none.
    pub leader: Option<u64>,
    /// Its raft term.
    pub term: u64,
    /// The last entry of its raft log.
    pub index: u64,
    /// The last entry that it applied.
    pub applied: u64,
    /// The revision of its store.
    pub revision: u64,
}

impl Status {
    /// Whether it takes itself for the leader.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.member)
    }
}

/// A connection to one member; kept open between requests.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// A client of the member at this address; connects at the first request.
    #[must_use]
    pub fn new(namespace: Namespace, member: SocketAddr) -> Self {
        Self { connection: Connection::new(namespace, member) }
    }

    /// The same from where this process is.
    #[must_use]
    pub fn here(member: SocketAddr) -> Self {
        Self { connection: Connection::here(member) }
    }

    /// What the member says about itself.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn status(&mut self, limit: Duration) -> Result<Status, EtcdError> {
        let path = "/v3/maintenance/status";
        let answer = self.post(path, &json!({}), limit)?;
        Ok(Status {
            member: self.number(path, &answer, "header/member_id")?,
            leader: Some(self.number(path, &answer, "leader")?).filter(|id| *id != 0),
            term: self.number(path, &answer, "raftTerm")?,
            index: self.number(path, &answer, "raftIndex")?,
            applied: self.number(path, &answer, "raftAppliedIndex")?,
            revision: self.number(path, &answer, "header/revision")?,
        })
    }

    /// Writes a value and returns the revision of the store after it.
    ///
    /// # Errors
    /// When etcd does not acknowledge it in time: it may be written nevertheless.
    pub fn put(&mut self, key: &str, value: &str, limit: Duration) -> Result<u64, EtcdError> {
        let path = "/v3/kv/put";
        let put = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) });
        let answer = self.post(path, &put, limit)?;
        self.number(path, &answer, "header/revision")
    }

    /// Reads a value as the whole cluster agrees on it; `None` where there is none.
    ///
    /// # Errors
    /// When the member can't reach a majority in time.
    pub fn get(&mut self, key: &str, limit: Duration) -> Result<Option<String>, EtcdError> {
        let path = "/v3/kv/range";
        let answer = self.post(path, &json!({ "key": STANDARD.encode(key) }), limit)?;
        let Some(value) = answer.pointer("/kvs/0") else { return Ok(None) };
        // proto3's JSON leaves out what is empty.
        let encoded = value["value"].as_str().unwrap_or_default();
        match STANDARD.decode(encoded) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(_) => Err(self.missing(path, "value", &answer)),
        }
    }

    /// Begins a lease of this many seconds, and returns its id.
    ///
    /// # Errors
    /// When etcd does not grant it in time.
    pub fn grant(&mut self, seconds: u64, limit: Duration) -> Result<u64, EtcdError> {
        let path = "/v3/lease/grant";
        let answer = self.post(path, &json!({ "TTL": seconds.to_string() }), limit)?;
        self.number(path, &answer, "ID")
    }

    /// How many seconds a lease has left, by the leader; `None` for one that has ended.
    ///
    /// # Errors
    /// When etcd does not tell it in time.
    pub fn time_to_live(&mut self, lease: u64, limit: Duration) -> Result<Option<u64>, EtcdError> {
        let path = "/v3/lease/timetolive";
        let answer = self.post(path, &json!({ "ID": lease.to_string() }), limit)?;
        if answer["TTL"] == "-1" {
            return Ok(None);
        }
        self.number(path, &answer, "TTL").map(Some)
    }

    /// The member's time of day, to a second.
    ///
    /// # Errors
    /// When it does not tell it in time.
    pub fn date(&mut self, limit: Duration) -> Result<SystemTime, EtcdError> {
        let answer = self.answer("/version", None, limit)?;
        let address = self.connection.address();
        answer.date.ok_or_else(|| EtcdError::Answer {
            path: "/version".to_owned(),
            address,
            field: "date",
            said: answer.body,
        })
    }

    /// Whether the member says that it is healthy: it has a leader and can commit.
    ///
    /// # Errors
    /// When it does not answer in time, or answers that it is not healthy.
    pub fn health(&mut self, limit: Duration) -> Result<(), EtcdError> {
        self.request("/health", None, limit).map(drop)
    }

    /// The member's counters.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn metrics(&mut self, limit: Duration) -> Result<Metrics, EtcdError> {
        self.request("/metrics", None, limit).map(|text| Metrics::parse(&text))
    }

    fn post(&mut self, path: &str, body: &Value, limit: Duration) -> Result<Value, EtcdError> {
        let text = self.request(path, Some(&body.to_string()), limit)?;
        let address = self.connection.address();
        serde_json::from_str(&text).map_err(|_| EtcdError::Answer {
            path: path.to_owned(),
            address,
            field: "JSON",
            said: text,
        })
    }

    fn request(
        &mut self,
        path: &str,
        body: Option<&str>,
        limit: Duration,
    ) -> Result<String, EtcdError> {
        self.answer(path, body, limit).map(|answer| answer.body)
    }

    fn answer(
        &mut self,
        path: &str,
        body: Option<&str>,
        limit: Duration,
    ) -> Result<Answer, EtcdError> {
        let (address, path_text) = (self.connection.address(), path.to_owned());
        let answer = self
            .connection
            .request(path, body, limit)
            .map_err(|source| EtcdError::Http { path: path_text.clone(), address, source })?;
        if answer.status != 200 {
            let (status, said) = (answer.status, answer.body);
            return Err(EtcdError::Refused { path: path_text, address, status, said });
        }
        Ok(answer)
    }

    /// A 64-bit number, which JSON over proto3 writes as a string and leaves out when it is zero.
    fn number(&self, path: &str, answer: &Value, field: &'static str) -> Result<u64, EtcdError> {
        match answer.pointer(&format!("/{field}")) {
            None => Ok(0),
            Some(value) => value
                .as_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| self.missing(path, field, answer)),
        }
    }

    fn missing(&self, path: &str, field: &'static str, answer: &Value) -> EtcdError {
        let (path, address) = (path.to_owned(), self.connection.address());
        EtcdError::Answer { path, address, field, said: answer.to_string() }
    }
}

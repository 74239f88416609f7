//! What gateways are asked to do, and what came of it.

use std::time::Duration;

use serde::Serialize;

use crate::Key;

/// A file to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name, whose end says what it is: `.bpmn` or `.dmn`.
    pub name: String,
    /// What it holds.
    pub content: Vec<u8>,
}

/// Something that was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Deployed {
    /// The id that its file gives it.
    pub id: String,
    /// Its version.
    pub version: i32,
    /// Its key.
    pub key: Key,
}

/// Which version of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The last that the partition knows.
    Latest,
    /// This one.
    Number(i32),
}

/// A process instance to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    /// Of which process.
    pub process: String,
    /// Of which version.
    pub version: Version,
    /// A JSON object, or nothing.
    pub variables: String,
}

/// A process instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Instance {
    /// Its key, which tells its partition.
    pub key: Key,
    /// Of which version it is.
    pub version: i32,
    /// What came of it, where that was waited for.
    pub variables: Option<String>,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name.
    pub name: String,
    /// What it is correlated by, which tells its partition.
    pub correlation_key: String,
    /// How long it waits for somebody.
    pub time_to_live: Duration,
    /// A JSON object, or nothing.
    pub variables: String,
    /// While a message of the same id, name and correlation key waits, another is refused; empty for none.
    pub id: String,
}

/// A job that was given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// Its key.
    pub key: Key,
    /// Of which process instance.
    pub instance: Key,
    /// How often it may fail still.
    pub retries: i32,
}

/// Which jobs are wanted, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// Their type.
    pub kind: String,
    /// Who wants them; not empty.
    pub worker: String,
    /// How long they are given out for.
    pub timeout: Duration,
    /// How many at most.
    pub most: u32,
}

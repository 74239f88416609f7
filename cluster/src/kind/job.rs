//! Jobs: pods that come to an end.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pod::Phase;
use super::resource;
use crate::Metadata;

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Job {
    /// Its name, and whose it is.
    pub metadata: Metadata,
    /// What was asked for, as it is written.
    pub spec: Value,
    /// What became of it.
    #[serde(skip_serializing)]
    pub status: JobStatus,
}

resource!(Job, "batch", "v1", "Job", "jobs");

/// The pod of a Job, with the last words of its containers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct JobPod {
    /// Whose it is.
    pub metadata: Metadata,
    /// What became of it.
    pub status: JobPodStatus,
}

resource!(JobPod, "", "v1", "Pod", "pods");

/// What became of the pod of a Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobPodStatus {
    /// How far it is.
    pub phase: Phase,
    /// Its containers.
    pub container_statuses: Vec<JobContainer>,
    /// Those that begin before.
    pub init_container_statuses: Vec<JobContainer>,
}

/// A container of such a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct JobContainer {
    /// Its name in its pod.
    pub name: String,
    /// How it is, by the one word that says so: `waiting`, `running` or `terminated`.
    pub state: Map<String, Value>,
}

/// What became of a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobStatus {
    /// What is true of it, or was.
    pub conditions: Vec<JobCondition>,
}

/// Something that may be true of a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JobCondition {
    /// `Complete`, `Failed`, `Suspended` or another word.
    #[serde(rename = "type")]
    pub name: String,
    /// `True` where it is.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

impl JobStatus {
    /// The condition of that name, if it is true.
    #[must_use]
    pub fn is(&self, name: &str) -> Option<&JobCondition> {
        self.conditions.iter().find(|one| one.name == name && one.status == "True")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_says_what_is_true_of_it_and_keeps_its_spec_as_it_is() {
        let written = json!({
            "metadata": { "name": "one" }, "spec": { "backoffLimit": 0, "new": [1] },
            "status": { "active": 1, "conditions": [
                { "type": "Suspended", "status": "False", "reason": "JobResumed" },
                { "type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "late" },
            ] },
        });
        let job: Job = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(
            job.status.is("Failed").map(|one| one.reason.as_str()),
            Some("DeadlineExceeded")
        );
        assert_eq!((job.status.is("Suspended"), job.status.is("Complete")), (None, None));
        let again = serde_json::to_value(&job).unwrap();
        assert_eq!((&again["spec"], &again["status"]), (&written["spec"], &Value::Null));
    }
}

//! How a Job stands, by itself and by its pod. Pure.

use cluster::{Job, JobPod, Phase};
use serde_json::Value;

use super::pod::CONTAINER;
use super::words::Words;

/// What is known of a Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Work {
    pub(crate) job: Option<Job>,
    /// As it was last.
    pub(crate) pod: Option<JobPod>,
    pub(crate) presence: Presence,
}

/// Whether its pod is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    #[default]
    There,
    /// It was taken away.
    Gone,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Course {
    /// Its container does not run yet, and why, as far as that is told.
    Waiting(String),
    /// It runs.
    Running,
    /// It is over.
    Ended(End),
}

/// How it has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct End {
    /// What the command has left, if it has ended by itself.
    pub(crate) words: Option<Words>,
    /// With what its container has ended, if one has.
    pub(crate) code: Option<i64>,
    /// Why, otherwise.
    pub(crate) reason: String,
    /// When (RFC 3339).
    pub(crate) at: Option<String>,
}

/// How a Job stands whose pods are known.
pub(crate) fn course(job: &Job, work: &Work) -> Course {
    let is_its = |pod: &&JobPod| {
        pod.metadata.controller().is_some_and(|owner| owner.uid == job.metadata.uid)
    };
    let pod = work.pod.as_ref().filter(is_its);
    let because = |reason: &str| Course::Ended(End { reason: reason.to_owned(), ..End::default() });
    if let Some(ended) = pod.and_then(ended) {
        return Course::Ended(ended);
    }
    match (pod, work.presence) {
        (Some(_), Presence::Gone) => because("its pod was taken away"),
        // It says so itself in a moment.
        (Some(pod), Presence::There) => going(pod),
        (None, _) => match (job.status.is("Failed"), job.status.is("Complete")) {
            (Some(failed), _) => because(&format!("{}: {}", failed.reason, failed.message)),
            (None, Some(_)) => because("its pod has left no words"),
            (None, None) if job.spec["suspend"] == true => because("it was ended before it began"),
            (None, None) => Course::Waiting("it has no pod yet".to_owned()),
        },
    }
}

/// How a pod has ended; `None` of one that goes on.
fn ended(pod: &JobPod) -> Option<End> {
    let status = &pod.status;
    let own = status.container_statuses.iter().find(|one| one.name == CONTAINER);
    if let Some(terminated) = own.and_then(|own| own.state.get("terminated")) {
        let text = |key: &str| terminated.get(key).and_then(Value::as_str).unwrap_or_default();
        let at = Some(text("finishedAt").to_owned()).filter(|at| !at.is_empty());
        let (words, code) = (Words::read(text("message")), terminated["exitCode"].as_i64());
        return Some(End { words, code, reason: text("reason").to_owned(), at });
    }
    match status.phase {
        Phase::Failed | Phase::Succeeded => {
            // What puts the program into place ends well where it does its work.
            let before = status.init_container_statuses.iter();
            let mut before = before.filter_map(|one| one.state.get("terminated"));
            let before = before.find(|one| one["exitCode"] != 0);
            let reason = match before.and_then(|one| one["reason"].as_str()) {
                Some(reason) => format!("its program was not put into place: {reason}"),
                None => "its pod has failed".to_owned(),
            };
            Some(End { reason, ..End::default() })
        }
        Phase::Pending | Phase::Running | Phase::Unknown => None,
    }
}

/// How a pod goes on.
fn going(pod: &JobPod) -> Course {
    let status = &pod.status;
    let own = status.container_statuses.iter().find(|one| one.name == CONTAINER);
    if own.is_some_and(|own| own.state.contains_key("running")) {
        return Course::Running;
    }
    let all = status.init_container_statuses.iter().chain(&status.container_statuses);
    let waits = all.filter_map(|one| one.state.get("waiting")).find_map(|waiting| {
        let text = |key: &str| waiting.get(key).and_then(Value::as_str);
        // They wait for each other.
        let reason = text("reason").filter(|reason| *reason != "PodInitializing")?;
        Some(match text("message") {
            Some(message) => format!("its pod waits: {reason}: {message}"),
            None => format!("its pod waits: {reason}"),
        })
    });
    Course::Waiting(waits.unwrap_or_else(|| "its pod is on its way".to_owned()))
}

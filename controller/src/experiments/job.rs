//! Experiments that run as Jobs: with programs, functions or requests, which never run in a controller's pod. Pure.
//!
//! An init container of the controller's own image puts this program into a volume; the container of the image that
//! the object names runs `kubectl schism run` there, whose faults are objects that its service account makes. So the
//! policies of the API server decide about each of them.

mod course;
mod origin;
mod pod;
#[cfg(test)]
mod tests;
mod words;

use cluster::{ConfigMap, Metadata, Name, Namespace, Owner, Resource as _, Within};
use fault::IntentId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(super) use self::course::{Course, End, Presence, Work, course};
pub(crate) use self::origin::Origin;
pub(super) use self::pod::journal;
use super::asked;
use super::resource::{ClusterExperiment, Experiment, Kind, Object};
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;

/// By which label a Job, its pod, and the faults that it makes say of which run they are.
pub(crate) const LABEL: &str = "schism.dev/experiment";

/// Under which name a ConfigMap has the experiment.
pub(super) const FILE: &str = "experiment.json";

/// How long a Job that has ended stays, if its object does (1 h).
const KEPT: u64 = 3600;

/// Where Jobs may be made, and from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// The image that has this program, at its entry point.
    pub image: String,
    /// Those in which the controller has the rights for it.
    pub namespaces: Vec<Namespace>,
}

/// How an object wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Job {
    /// Of an object of the cluster: in which namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    pub(super) image: String,
    pub(super) service_account_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_pull_policy: Option<String>,
    /// How long it may take, with its rollbacks begun by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deadline: Option<String>,
    /// The PersistentVolumeClaim that its journal goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) journal: Option<String>,
    /// What a pod has by these names, as it is.
    #[serde(flatten)]
    pub(super) of_pods: Map<String, Value>,
}

/// What is made for an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) within: Within,
    pub(super) name: Name,
    pub(super) config: ConfigMap,
    pub(super) job: cluster::Job,
}

/// Where the Job of an object is.
pub(super) fn namespace<'o>(object: &'o Object, job: &'o Job) -> Option<&'o str> {
    object.metadata.namespace.as_deref().or(job.namespace.as_deref())
}

/// What it is called, and its ConfigMap.
pub(super) fn name(id: IntentId) -> String {
    format!("experiment-{id}")
}

/// What is to be made for an object that asks for a Job.
///
/// # Errors
/// It makes no sense, or this controller makes no Jobs there.
pub(super) fn plan(
    kind: Kind,
    object: &Object,
    (id, job): (IntentId, &Job),
    jobs: Option<&Jobs>,
) -> Result<Plan, Failure> {
    let attempted = format!("cannot run what {} asks for", object.place(kind));
    let wrong = |reason: String| Failure::new(Outcome::WrongUsage, attempted.clone(), reason);
    let namespace = namespace(object, job);
    let namespace = namespace.ok_or_else(|| wrong("job says no namespace".to_owned()))?;
    let is_there = |one: &&Jobs| one.namespaces.iter().any(|one| one.as_str() == namespace);
    let jobs = jobs.filter(is_there).ok_or_else(|| {
        let reason = format!("this controller makes no Jobs in namespace {namespace}");
        let hint = format!(
            "whoever installs it may have it make some: schism install --experiments {namespace}"
        );
        Failure::caused(Cause::Refused, attempted.clone(), reason).hint(hint)
    })?;
    asked::legible(object).map_err(wrong)?;
    let deadline = job.deadline.as_deref().map(fault::parse_duration).transpose();
    let deadline = deadline.map_err(|error| wrong(format!("deadline: {error}")))?;
    let (space, called) = match (namespace.parse::<Namespace>(), name(id).parse::<Name>()) {
        (Ok(space), Ok(called)) => (space, called),
        (Err(error), _) | (_, Err(error)) => return Err(wrong(error.to_string())),
    };
    let metadata = || Metadata {
        name: called.to_string(),
        labels: [(LABEL.to_owned(), id.to_string())].into(),
        owner_references: vec![owner(kind, object)],
        ..Metadata::default()
    };
    let text = Value::Object(object.spec.experiment.clone()).to_string();
    let config = ConfigMap {
        metadata: metadata(),
        data: [(FILE.to_owned(), text)].into(),
        // Whoever may change ConfigMaps there may not have something else run as the account.
        immutable: Some(true),
    };
    let mut spec = json!({
        // It is run once, whatever becomes of it.
        "backoffLimit": 0, "completions": 1, "parallelism": 1, "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": KEPT,
        "template": {
            "metadata": { "labels": { (LABEL): id.to_string() } },
            "spec": pod::spec(object, (id, job), namespace, jobs),
        },
    });
    if let Some(deadline) = deadline {
        spec["activeDeadlineSeconds"] = deadline.as_secs().max(1).into();
    }
    let job = cluster::Job { metadata: metadata(), spec, status: cluster::JobStatus::default() };
    Ok(Plan { within: Within::Namespace(space), name: called, config, job })
}

/// With whom all of it goes.
fn owner(kind: Kind, object: &Object) -> Owner {
    let of = match kind {
        Kind::Experiment => Experiment::KIND,
        Kind::ClusterExperiment => ClusterExperiment::KIND,
    };
    Owner {
        api_version: of.api_version(),
        kind: of.kind.to_owned(),
        name: object.metadata.name.clone(),
        uid: object.metadata.uid.clone(),
        controller: Some(true),
    }
}

/// Whether something was made for an object, and for no earlier one of its name.
pub(super) fn is_of(metadata: &Metadata, object: &Object) -> bool {
    metadata.controller().is_some_and(|owner| owner.uid == object.metadata.uid)
}

/// Of which run something says that it is.
pub(super) fn run_of(metadata: &Metadata) -> Option<u64> {
    u64::from_str_radix(metadata.labels.get(LABEL)?, 16).ok()
}

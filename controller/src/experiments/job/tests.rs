//! What is made for an object, and what it says of what became of that.

use cluster::{Job, JobPod, Metadata, Namespace, Owner};
use serde_json::{Value, json};

use super::{Jobs, Presence, Work, plan};
use crate::experiments::resource::{Kind, Object};
use crate::experiments::status::{Phase, Status};

const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";

/// 2023-11-14T22:13:20Z.
const NOW: u64 = 1_700_000_000_000_000_000;

fn jobs() -> Jobs {
    Jobs {
        image: "r.example/schism:7".to_owned(),
        namespaces: vec!["prod".parse::<Namespace>().unwrap()],
    }
}

/// An object whose step is a program, and more of its job.
fn object(more: &Value) -> Object {
    let mut job = json!({ "image": "tools:1", "serviceAccountName": "chaos" });
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let experiment = json!({ "title": "t", "description": "d", "method": [
        { "type": "action", "name": "work", "provider": { "type": "process", "path": "true" } },
        { "type": "action", "name": "rest", "provider": { "type": "process", "path": "true" } },
    ] });
    let spec = json!({ "experiment": experiment, "seed": 7, "job": job });
    let mut object: Object = serde_json::from_value(json!({ "spec": spec })).unwrap();
    object.metadata = Metadata {
        name: "one".to_owned(),
        namespace: Some("prod".to_owned()),
        uid: UID.to_owned(),
        ..Metadata::default()
    };
    object
}

fn planned(kind: Kind, object: &Object, jobs: Option<&Jobs>) -> Result<super::Plan, String> {
    let job = object.spec.job.as_ref().unwrap();
    let of = (object.id().unwrap(), job);
    plan(kind, object, of, jobs).map_err(|failure| failure.text())
}

#[test]
fn a_job_runs_the_experiment_in_the_image_and_as_the_account_of_the_object() {
    let object = object(&json!({ "deadline": "2m", "env": [{ "name": "A", "value": "b" }] }));
    let plan = planned(Kind::Experiment, &object, Some(&jobs())).unwrap();
    assert_eq!(plan.name.as_str(), "experiment-a1b2c3d4e5f6");
    let kept: Value = serde_json::from_str(&plan.config.data["experiment.json"]).unwrap();
    assert_eq!(plan.config.immutable, Some(true));
    assert_eq!(kept, Value::Object(object.spec.experiment.clone()));
    for metadata in [&plan.config.metadata, &plan.job.metadata] {
        let owner = metadata.controller().unwrap();
        assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Experiment", UID));
        assert_eq!(owner.api_version, "schism.dev/v1alpha1");
        assert_eq!(metadata.labels["schism.dev/experiment"], "a1b2c3d4e5f6");
    }
    let spec = &plan.job.spec;
    assert_eq!((&spec["backoffLimit"], &spec["activeDeadlineSeconds"]), (&json!(0), &json!(120)));
    let pod = &spec["template"]["spec"];
    assert_eq!(
        (&pod["restartPolicy"], &pod["serviceAccountName"]),
        (&json!("Never"), &json!("chaos"))
    );
    let (first, own) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert_eq!(first["image"], "r.example/schism:7");
    assert_eq!(first["args"], json!(["copy-self", "/schism/kubectl-schism"]));
    assert_eq!((&own["image"], &own["env"][0]["name"]), (&json!("tools:1"), &json!("A")));
    assert_eq!(own["env"][1], json!({ "name": "SCHISM_EXPERIMENT_RUN", "value": "a1b2c3d4e5f6" }));
    let line = [
        "/schism/kubectl-schism",
        "run",
        "/experiment/experiment.json",
        "--journal",
        "/journal/one-a1b2c3d4e5f6.json",
        "--summary",
        "/dev/termination-log",
        "-n",
        "prod",
        "--seed",
        "7",
    ];
    assert_eq!(own["command"], json!(line));
    assert_eq!(own["terminationMessagePath"], "/dev/termination-log");
}

/// Of the standards of PodSecurity the one that asks for most.
#[test]
fn a_pod_is_restricted_unless_its_object_says_otherwise() {
    let pod = |more: Value| {
        let plan = planned(Kind::Experiment, &object(&more), Some(&jobs())).unwrap();
        plan.job.spec["template"]["spec"].clone()
    };
    let restricted = pod(json!({}));
    assert_eq!(restricted["securityContext"]["runAsNonRoot"], true);
    assert_eq!(restricted["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in [&restricted["initContainers"][0], &restricted["containers"][0]] {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
    }
    let of_root = pod(json!({
        "securityContext": { "runAsUser": 0 }, "containerSecurityContext": { "privileged": true },
        "journal": "journals", "nodeSelector": { "a": "b" }, "nonsense": 1,
    }));
    assert_eq!(of_root["securityContext"], json!({ "runAsUser": 0 }));
    assert_eq!(of_root["containers"][0]["securityContext"], json!({ "privileged": true }));
    // That is the user's own container, and no other.
    assert_eq!(of_root["initContainers"][0]["securityContext"]["runAsNonRoot"], true);
    assert_eq!(of_root["nodeSelector"], json!({ "a": "b" }));
    assert_eq!(of_root["nonsense"], Value::Null);
    let claim = &of_root["volumes"][2]["persistentVolumeClaim"]["claimName"];
    assert_eq!(claim, "journals");
}

#[test]
fn what_cannot_be_made_is_refused_with_what_to_do() {
    let (plain, said) = (object(&json!({})), "schism install --experiments prod");
    let elsewhere = Jobs { namespaces: vec!["other".parse().unwrap()], ..jobs() };
    for jobs in [None, Some(&elsewhere)] {
        let refused = planned(Kind::Experiment, &plain, jobs).unwrap_err();
        assert!(refused.contains("makes no Jobs in namespace prod"), "{refused}");
        assert!(refused.contains(said), "{refused}");
    }
    let late = object(&json!({ "deadline": "soon" }));
    let refused = planned(Kind::Experiment, &late, Some(&jobs())).unwrap_err();
    assert!(refused.contains("deadline"), "{refused}");
    let mut secret = object(&json!({}));
    secret.spec.experiment.insert("secrets".to_owned(), json!({ "a": "hunter2" }));
    let refused = planned(Kind::Experiment, &secret, Some(&jobs())).unwrap_err();
    assert!(
        refused.contains("stands in the object itself") && !refused.contains("hunter2"),
        "{refused}"
    );
    // One of the cluster says where.
    let mut of_cluster = object(&json!({ "namespace": "prod" }));
    of_cluster.metadata.namespace = None;
    let plan = planned(Kind::ClusterExperiment, &of_cluster, Some(&jobs())).unwrap();
    assert_eq!(plan.within.to_string(), " of namespace prod");
    assert_eq!(plan.job.metadata.controller().unwrap().kind, "ClusterExperiment");
}

/// The Job of an object as the API server has it, with that status.
fn job(status: &Value) -> Job {
    let plan = planned(Kind::Experiment, &object(&json!({})), Some(&jobs())).unwrap();
    let mut job = plan.job;
    job.metadata.uid = "job".to_owned();
    job.status = serde_json::from_value(status.clone()).unwrap();
    job
}

/// Its pod, of which its containers are like that.
fn pod(phase: &str, init: &Value, own: &Value) -> JobPod {
    let status = json!({
        "phase": phase,
        "initContainerStatuses": [{ "name": "schism", "state": init }],
        "containerStatuses": [{ "name": "experiment", "state": own }],
    });
    let mut pod: JobPod = serde_json::from_value(json!({ "status": status })).unwrap();
    let owner = Owner { uid: "job".to_owned(), controller: Some(true), ..Owner::default() };
    pod.metadata.owner_references = vec![owner];
    pod
}

fn said(job: Job, pod: Option<JobPod>, presence: Presence) -> Status {
    let work = Work { job: Some(job), pod, presence };
    Status::of_work(&object(&json!({})), &work, NOW).unwrap()
}

/// What its container has left.
fn left(words: &Value, code: i64) -> Status {
    let terminated = json!({ "terminated": {
        "exitCode": code, "reason": "Error", "message": format!("{words}\n"),
        "finishedAt": "2023-11-14T22:14:00Z",
    } });
    let done = json!({ "terminated": { "exitCode": 0 } });
    said(job(&json!({})), Some(pod("Running", &done, &terminated)), Presence::There)
}

fn summary(run: &Value) -> Value {
    json!({ "schema": "schism.run-summary/v1", "exit_code": 1, "error": null, "runs": [run], "new": 1 })
}

#[test]
fn a_pod_says_how_far_it_is() {
    let (none, nothing) = (json!({}), json!({}));
    let status = said(job(&none), None, Presence::There);
    assert_eq!((status.phase, status.message.as_str()), (Phase::Pending, "it has no pod yet"));
    assert_eq!(status.job, "prod/experiment-a1b2c3d4e5f6");
    assert!(status.has_begun(), "another one is never made");
    let waits = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } });
    let next = json!({ "waiting": { "reason": "PodInitializing" } });
    let status = said(job(&none), Some(pod("Pending", &waits, &next)), Presence::There);
    assert_eq!(status.message, "its pod waits: ImagePullBackOff: no such image");
    let runs = json!({ "running": {} });
    let status = said(job(&none), Some(pod("Running", &nothing, &runs)), Presence::There);
    assert_eq!((status.phase, status.part.as_str()), (Phase::Running, "job"));
    // Somebody else's is no news.
    let mut other = pod("Running", &nothing, &runs);
    other.metadata.owner_references[0].uid = "other".to_owned();
    assert_eq!(said(job(&none), Some(other), Presence::There).phase, Phase::Pending);
}

#[test]
fn the_last_words_of_a_run_are_its_status() {
    let status = left(
        &summary(&json!({
            "status": "failed", "deviated": true, "reasons": ["`look` was not within its tolerance"],
            "steps": { "succeeded": 1, "failed": 1, "interrupted": 0 },
            "faults": { "the-cut": { "effect": "yes", "lost": 12 } },
            "owed": { "rollbacks": [], "faults": [] },
        })),
        1,
    );
    assert_eq!((status.phase, status.exit_code), (Phase::Failed, Some(1)));
    assert_eq!(
        (status.steps.as_str(), status.faults, status.deviated),
        ("2/2", Some(1), Some(true))
    );
    assert_eq!(status.message, "`look` was not within its tolerance");
    assert_eq!(status.ended_at.as_deref(), Some("2023-11-14T22:14:00Z"));
    let owing = left(
        &summary(
            &json!({ "status": "interrupted", "owed": { "rollbacks": ["back"], "faults": ["the-cut"] } }),
        ),
        130,
    );
    assert_eq!((owing.phase, owing.owes), (Phase::Owed, Some(2)));
    let done = left(&summary(&json!({ "status": "completed" })), 0);
    assert_eq!(done.phase, Phase::Completed);
    let error = json!({ "kind": "wrong-usage", "message": "cannot read it", "hint": "look" });
    let refused = left(
        &json!({ "schema": "schism.run-summary/v1", "exit_code": 2, "error": error, "runs": [] }),
        2,
    );
    assert_eq!((refused.phase, refused.exit_code), (Phase::Refused, Some(2)));
    assert_eq!(refused.message, "cannot read it; look");
}

#[test]
fn who_leaves_no_words_has_not_ended_by_itself() {
    let none = json!({});
    for words in [json!("Segmentation fault"), json!({ "schema": "other" }), json!(null)] {
        let killed = left(&words, 137);
        assert_eq!((killed.phase, killed.exit_code), (Phase::Failed, Some(5)));
        assert!(killed.message.contains("(Error, exit code 137)"), "{}", killed.message);
    }
    let runs = json!({ "running": {} });
    let gone = said(job(&none), Some(pod("Running", &none, &runs)), Presence::Gone);
    assert_eq!(gone.phase, Phase::Interrupted);
    assert!(gone.message.contains("its pod was taken away"), "{}", gone.message);
    let failed = json!({ "terminated": { "exitCode": 1, "reason": "StartError" } });
    let failed = said(job(&none), Some(pod("Failed", &failed, &none)), Presence::There);
    assert!(failed.message.contains("its program was not put into place: StartError"));
    let condition = json!({ "type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "late" });
    let late = said(job(&json!({ "conditions": [condition] })), None, Presence::There);
    assert!(late.message.contains("DeadlineExceeded: late"), "{}", late.message);
    let mut suspended = job(&none);
    suspended.spec["suspend"] = json!(true);
    let status = said(suspended.clone(), None, Presence::There);
    assert_eq!(status.phase, Phase::Interrupted);
    // As long as its pod is there it plays its rollbacks.
    let status = said(suspended, Some(pod("Running", &none, &runs)), Presence::There);
    assert_eq!(status.phase, Phase::Running);
}

#[test]
fn an_object_knows_its_own_job_alone() {
    let mut other = job(&json!({}));
    other.metadata.owner_references[0].uid = "other".to_owned();
    let work = Work { job: Some(other), pod: None, presence: Presence::There };
    assert_eq!(Status::of_work(&object(&json!({})), &work, NOW), None);
}

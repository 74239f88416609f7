//! Experiments that run as Jobs: what is made for them, and what is said of what becomes of that.

mod shelf;

use std::time::Duration;

use cluster::Client;
use controller::experiments::{Jobs, Means, keep};
use controller::objects::Tenure;
use controller::runs::{Execution, Runs};
use fault::Limits;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::shelf::Shelf;
use crate::rig::{Fleet, LIMIT, until};

/// Where objects of the kind are.
const EXPERIMENTS: &str = "schism.dev/experiments/prod";
const JOBS: &str = "batch/jobs/prod";
const PODS: &str = "/pods/prod";

/// A cluster in which two namespaces let experiments run as Jobs.
struct Estate {
    fleet: Fleet,
    shelf: Shelf,
    client: Client,
    keeper: Option<(JoinHandle<()>, watch::Sender<bool>)>,
}

impl Estate {
    async fn new() -> Self {
        let fleet = Fleet::of(&["a"]).await;
        let (shelf, client) = Shelf::start().await;
        for name in ["prod", "store", "other"] {
            let labels = json!({ "schism.dev/faults": "allowed" });
            shelf.put("/namespaces/", json!({ "metadata": { "name": name, "labels": labels } }));
        }
        let mut estate = Self { fleet, shelf, client, keeper: None };
        estate.lead().await;
        estate
    }

    /// Has somebody keep the objects.
    async fn lead(&mut self) {
        let (control, archive) = (self.fleet.control.clone(), self.fleet.archive.clone());
        let runs = Runs::start(control.clone(), archive, Limits::default(), Execution::Refused);
        let runs = runs.await.unwrap();
        let namespaces = ["prod", "store"].map(|name| name.parse().unwrap()).to_vec();
        let jobs = Some(Jobs { image: "schism:7".to_owned(), namespaces });
        let tenure = watch::Sender::new(Tenure::Whole).subscribe();
        let means = Means { client: self.client.clone(), control, runs, jobs, tenure };
        let (stop, stopped) = watch::channel(false);
        self.keeper = Some((tokio::spawn(keep(means, stopped)), stop));
    }

    fn create(&self, namespace: &str, name: &str) {
        let step = json!({
            "type": "action", "name": "work", "provider": { "type": "process", "path": "true" },
        });
        let experiment = json!({ "title": "t", "description": "d", "method": [step] });
        let job = json!({ "image": "tools", "serviceAccountName": "chaos" });
        let spec = json!({ "experiment": experiment, "requestedBy": "ann", "job": job });
        let metadata = json!({ "name": name, "namespace": namespace });
        let shelf = format!("schism.dev/experiments/{namespace}");
        self.shelf.put(&shelf, json!({ "metadata": metadata, "spec": spec }));
    }

    fn status(&self, name: &str) -> Value {
        let object = self.shelf.get(EXPERIMENTS, name);
        object.map(|object| object["status"].clone()).unwrap_or_default()
    }

    async fn phase(&self, name: &str, phase: &str) -> Value {
        let waited = async {
            while self.status(name)["phase"] != phase {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let late = tokio::time::timeout(LIMIT, waited).await.is_err();
        let status = self.status(name);
        assert!(!late, "{name} is not {phase}: {status:#}");
        status
    }

    /// The Job of the only object, once it is there.
    async fn job(&self) -> Value {
        until(async || self.shelf.all(JOBS).len() == 1).await;
        self.shelf.all(JOBS).remove(0)
    }

    /// Its pod, in that state.
    async fn pod(&self, state: &Value) {
        let job = self.job().await;
        let owner = json!({
            "apiVersion": "batch/v1", "kind": "Job", "controller": true,
            "name": job["metadata"]["name"], "uid": job["metadata"]["uid"],
        });
        let metadata = json!({
            "name": "its-pod", "namespace": "prod", "labels": job["metadata"]["labels"],
            "ownerReferences": [owner],
        });
        let containers = json!([{ "name": "experiment", "state": state }]);
        let status = json!({ "phase": "Running", "containerStatuses": containers });
        self.shelf.put(PODS, json!({ "metadata": metadata, "status": status }));
    }

    fn is_held(&self, name: &str) -> bool {
        let object = self.shelf.get(EXPERIMENTS, name).unwrap();
        object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
    }
}

/// What the command leaves behind.
fn left(status: &str, code: u8) -> Value {
    let run = json!({ "status": status, "steps": { "succeeded": 1 } });
    let words = json!({ "schema": "schism.run-summary/v1", "exit_code": code, "runs": [run] });
    json!({ "terminated": { "exitCode": code, "message": words.to_string() } })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_names_an_image_is_run_as_a_job_and_says_what_its_pod_left() {
    let estate = Estate::new().await;
    estate.create("prod", "one");
    let job = estate.job().await;
    let name = job["metadata"]["name"].as_str().unwrap();
    let owner = &job["metadata"]["ownerReferences"][0];
    let object = estate.shelf.get(EXPERIMENTS, "one").unwrap();
    assert_eq!(owner["uid"], object["metadata"]["uid"]);
    let config = estate.shelf.get("/configmaps/prod", name).unwrap();
    let kept: Value =
        serde_json::from_str(config["data"]["experiment.json"].as_str().unwrap()).unwrap();
    assert_eq!(kept, object["spec"]["experiment"]);
    let status = estate.phase("one", "Pending").await;
    assert_eq!(status["job"], format!("prod/{name}"), "{status:#}");
    estate.pod(&json!({ "running": {} })).await;
    estate.phase("one", "Running").await;
    assert!(estate.is_held("one"));
    estate.pod(&left("completed", 0)).await;
    let status = estate.phase("one", "Completed").await;
    assert_eq!((&status["exitCode"], &status["steps"]), (&json!(0), &json!("1/1")), "{status:#}");
    until(async || !estate.is_held("one")).await;
    // The controller has not run it.
    assert!(estate.fleet.control.runs().await.unwrap().is_empty());
    let lines = estate.fleet.archive.audit.read().await.unwrap().entries;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].who, "ann, by Experiment prod/one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_in_the_middle_goes_once_its_pod_has_ended() {
    let estate = Estate::new().await;
    estate.create("prod", "one");
    estate.pod(&json!({ "running": {} })).await;
    estate.phase("one", "Running").await;
    estate.shelf.delete(EXPERIMENTS, "one");
    until(async || estate.shelf.all(JOBS)[0]["spec"]["suspend"] == true).await;
    // Its rollbacks are being played.
    assert!(estate.is_held("one"));
    estate.pod(&left("interrupted", 130)).await;
    until(async || estate.shelf.get(EXPERIMENTS, "one").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leads_next_makes_no_second_job_and_takes_one_that_is_gone_for_lost() {
    let mut estate = Estate::new().await;
    estate.create("prod", "one");
    estate.pod(&json!({ "running": {} })).await;
    estate.phase("one", "Running").await;
    estate.keeper.take().unwrap().0.abort();
    estate.pod(&left("failed", 1)).await;
    estate.lead().await;
    estate.phase("one", "Failed").await;
    assert_eq!(estate.shelf.made(JOBS), 1);

    estate.create("prod", "two");
    until(async || estate.shelf.all(JOBS).len() == 2).await;
    let status = estate.phase("two", "Pending").await;
    until(async || !estate.status("two")["job"].is_null()).await;
    let name = estate.status("two")["job"].as_str().unwrap().replace("prod/", "");
    estate.shelf.strip(JOBS, &name);
    let lost = estate.phase("two", "Interrupted").await;
    assert_eq!(lost["exitCode"], 5, "{status:#} {lost:#}");
    assert!(lost["message"].as_str().unwrap().ends_with("its faults are deleted"), "{lost:#}");
    assert_eq!(estate.shelf.made(JOBS), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_has_left_is_deleted_once_it_is_over_and_nothing_of_others() {
    const FAULTS: &str = "schism.dev/faults/prod";
    const OF_CLUSTER: &str = "schism.dev/clusterfaults/";
    let mut estate = Estate::new().await;
    let fault = |shelf: &str, name: &str, run: &str| {
        let labels = json!({ "schism.dev/experiment": run });
        let namespace = shelf.rsplit('/').next().filter(|namespace| !namespace.is_empty());
        let metadata = json!({ "name": name, "namespace": namespace, "labels": labels });
        estate.shelf.put(shelf, json!({ "metadata": metadata }));
    };
    estate.create("prod", "one");
    estate.pod(&json!({ "running": {} })).await;
    let run = estate.phase("one", "Running").await["run"].as_str().unwrap().to_owned();
    fault(FAULTS, "own", &run);
    fault(OF_CLUSTER, "of-cluster", &run);
    fault(FAULTS, "by-hand", "");
    // It is killed, and says no last word.
    estate.pod(&json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } })).await;
    let failed = estate.phase("one", "Failed").await;
    assert!(failed["message"].as_str().unwrap().contains("its faults are deleted"), "{failed:#}");
    until(async || estate.shelf.get(FAULTS, "own").is_none()).await;
    until(async || estate.shelf.get(OF_CLUSTER, "of-cluster").is_none()).await;
    assert!(estate.shelf.get(FAULTS, "by-hand").is_some());

    // What was left while nobody led is deleted by whoever leads next, and nothing of what goes on.
    estate.keeper.take().unwrap().0.abort();
    let two = format!("{:012x}", estate.shelf.next());
    estate.create("prod", "two");
    fault(FAULTS, "living", &two);
    fault(OF_CLUSTER, "left", &run);
    estate.lead().await;
    until(async || estate.shelf.get(OF_CLUSTER, "left").is_none()).await;
    estate.phase("two", "Pending").await;
    assert!(estate.shelf.get(FAULTS, "living").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_put_in_its_place_is_not_run() {
    let estate = Estate::new().await;
    // Its UID is known beforehand here alone.
    let name = format!("experiment-{:012x}", estate.shelf.next());
    let own = json!({ "metadata": { "name": name, "namespace": "prod" }, "data": { "experiment.json": "{}" } });
    estate.shelf.put_as("/configmaps/prod", "somebody", own);
    estate.create("prod", "one");
    let status = estate.phase("one", "Refused").await;
    assert!(status["message"].as_str().unwrap().contains("somebody else has made"), "{status:#}");
    assert!(estate.shelf.all(JOBS).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_namespace_that_says_the_same_says_nothing_of_it() {
    let estate = Estate::new().await;
    estate.create("prod", "one");
    estate.pod(&json!({ "running": {} })).await;
    estate.phase("one", "Running").await;
    let there = "batch/jobs/store";
    let mut forged = estate.job().await;
    forged["metadata"]["namespace"] = json!("store");
    forged["metadata"]["ownerReferences"] = json!([]);
    let name = forged["metadata"]["name"].clone();
    estate.shelf.put(there, forged);
    // Whoever has heard of the end of a later one there has heard of it.
    estate.create("store", "two");
    until(async || estate.shelf.all(there).len() == 2).await;
    let mut all = estate.shelf.all(there);
    all.retain(|job| job["metadata"]["name"] != name);
    let failed = json!([{ "type": "Failed", "status": "True", "reason": "r", "message": "m" }]);
    all[0]["status"] = json!({ "conditions": failed });
    estate.shelf.put(there, all.remove(0));
    let two = || estate.shelf.get("schism.dev/experiments/store", "two").unwrap();
    until(async || two()["status"]["phase"] == "Interrupted").await;
    assert_eq!(estate.status("one")["phase"], "Running");
    estate.pod(&left("completed", 0)).await;
    estate.phase("one", "Completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_made_in_another_namespace() {
    let estate = Estate::new().await;
    estate.create("other", "one");
    let there = "schism.dev/experiments/other";
    until(async || estate.shelf.get(there, "one").unwrap()["status"]["phase"] == "Refused").await;
    let status = estate.shelf.get(there, "one").unwrap()["status"].clone();
    assert_eq!(status["exitCode"], 4, "{status:#}");
    let said = "schism install --experiments other";
    assert!(status["message"].as_str().unwrap().contains(said), "{status:#}");
}

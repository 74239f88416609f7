//! Experiments as objects: an API server that is a few lines, and everything else as it is.

mod jobs;

use std::time::Duration;

use cluster::Client;
use controller::experiments::{Means, definitions, keep};
use controller::objects::Tenure;
use controller::runs::{Execution, Runs};
use fault::Limits;
use proto::control as wire;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::api::Api;
use crate::rig::{Fleet, LIMIT, until};

const PLURAL: &str = "clusterexperiments";

/// A cluster, and who keeps its objects: a life of the controller that can be killed.
struct Estate {
    fleet: Fleet,
    api: Api,
    /// Whose connections end with the life that made them.
    client: Client,
    tenure: watch::Sender<Tenure>,
    life: Option<(Runtime, watch::Sender<bool>)>,
}

impl Estate {
    async fn new() -> Self {
        let fleet = Fleet::of(&["a", "b"]).await;
        let (api, client) = Api::start().await;
        let tenure = watch::Sender::new(Tenure::Whole);
        let mut estate = Self { fleet, api, client, tenure, life: None };
        estate.begin().await;
        estate
    }

    /// A life begins.
    async fn begin(&mut self) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        self.fleet.restart_in(&runtime).await;
        for name in ["a", "b"] {
            self.fleet.connect(name).await;
        }
        let (control, archive) = (self.fleet.control.clone(), self.fleet.archive.clone());
        let client = Client::new(self.client.config().clone());
        let (stop, stopped) = watch::channel(false);
        let tenure = self.tenure.subscribe();
        let begun = runtime.spawn(async move {
            // Whatever it may execute, it executes nothing for an object.
            let runs = Runs::start(control.clone(), archive, Limits::default(), Execution::Allowed);
            let runs = runs.await.unwrap();
            tokio::spawn(keep(Means { client, control, runs, jobs: None, tenure }, stopped));
        });
        begun.await.unwrap();
        self.life = Some((runtime, stop));
    }

    /// It ends from one moment to the next.
    fn crash(&mut self) {
        self.life.take().unwrap().0.shutdown_background();
    }

    fn create(&self, name: &str, experiment: &Value) {
        let spec = json!({ "experiment": experiment, "requestedBy": "ann" });
        self.api.create(PLURAL, "", name, &spec);
    }

    fn status(&self, plural: &str, name: &str) -> Value {
        self.api.get(plural, name).map(|object| object["status"].clone()).unwrap_or_default()
    }

    async fn phase(&self, plural: &str, name: &str, phase: &str) -> Value {
        let waited = async {
            while self.status(plural, name)["phase"] != phase {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let late = tokio::time::timeout(LIMIT, waited).await.is_err();
        let status = self.status(plural, name);
        assert!(!late, "{name} is not {phase}: {status:#}");
        status
    }

    fn is_held(&self, plural: &str, name: &str) -> bool {
        let object = self.api.get(plural, name).unwrap();
        object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
    }

    /// Waits until a cut acts at both of its ends.
    async fn acts(&self) {
        let nodes = &self.fleet.nodes;
        until(async || nodes["a"].acting().await + nodes["b"].acting().await == 2).await;
    }

    async fn healed(&self) {
        let nodes = &self.fleet.nodes;
        until(async || nodes["a"].living().await + nodes["b"].living().await == 0).await;
    }

    /// The reasons of all events of an object.
    fn told(&self, name: &str) -> Vec<String> {
        let mut all = self.api.all("events");
        all.retain(|event| event["involvedObject"]["name"] == name);
        let mut reasons: Vec<String> =
            all.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect();
        reasons.sort_unstable();
        reasons
    }

    /// The only run that there is.
    async fn run(&self) -> wire::Run {
        let mut runs = self.fleet.control.runs().await.unwrap();
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }
}

impl Drop for Estate {
    fn drop(&mut self) {
        // A runtime is not waited for in another one.
        if let Some((runtime, _)) = self.life.take() {
            runtime.shutdown_background();
        }
    }
}

/// A cut, and its end so many seconds later; a rollback that is owed meanwhile.
fn experiment(seconds: u64) -> Value {
    json!({
        "title": "calls", "description": "d",
        "method": [
            { "type": "action", "name": "cut", "provider": {
                "type": "schism", "action": "cut", "as": "the-cut", "effect": "optional",
                "arguments": { "from": "netns:a@a", "to": "netns:b@b", "for": "60s", "lease": "3s" },
            } },
            { "type": "action", "name": "heal", "pauses": { "before": seconds }, "provider": {
                "type": "schism", "action": "heal", "arguments": { "fault": "the-cut" },
            } },
        ],
        "rollbacks": [{ "type": "action", "name": "back", "provider": {
            "type": "schism", "action": "heal", "arguments": { "fault": "the-cut" },
        } }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_one_run_which_is_told_to_its_end() {
    let estate = Estate::new().await;
    estate.create("one", &experiment(0));
    let status = estate.phase(PLURAL, "one", "Completed").await;
    assert_eq!(
        (&status["exitCode"], &status["deviated"]),
        (&json!(0), &json!(false)),
        "{status:#}"
    );
    assert_eq!((&status["steps"], &status["faults"]), (&json!("2/2"), &json!(1)), "{status:#}");
    assert_eq!((&status["owes"], &status["title"]), (&json!(0), &json!("calls")), "{status:#}");
    until(async || !estate.is_held(PLURAL, "one")).await;
    estate.healed().await;
    let run = estate.run().await;
    assert_eq!(status["run"], format!("{:012x}", run.id));
    let journal = estate.fleet.directory().join(format!("runs/{:012x}.json", run.id));
    assert!(journal.exists(), "{}", journal.display());
    // One to hold it, one to let go of it, and one for each part of the run; what it is told comes beside that.
    let mut calls = estate.api.calls();
    calls.retain(|call| !call.ends_with("/events"));
    assert!(calls.len() <= 8, "{calls:#?}");
    until(async || estate.told("one").contains(&"RunEnded".to_owned())).await;
    let events = estate.api.all("events");
    let ended = events.iter().find(|event| event["reason"] == "RunEnded").unwrap();
    assert_eq!(ended["message"], "completed, steps 2/2, exit code 0");
    let object = estate.api.get(PLURAL, "one").unwrap();
    assert_eq!(ended["involvedObject"]["uid"], object["metadata"]["uid"]);
    let lines = estate.fleet.archive.audit.read().await.unwrap().entries;
    assert!(lines.iter().all(|line| line.who.starts_with("ann, by ClusterExperiment one")));
    assert_eq!(lines.len(), 2, "the run and its fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_in_the_middle_goes_once_it_is_rolled_back() {
    let estate = Estate::new().await;
    estate.create("one", &experiment(60));
    estate.acts().await;
    estate.phase(PLURAL, "one", "Running").await;
    estate.api.delete(PLURAL, "one");
    until(async || estate.api.get(PLURAL, "one").is_none()).await;
    let run = estate.run().await;
    assert_eq!((run.phase(), run.owed.len()), (wire::RunPhase::Ended, 0));
    assert_eq!(run.reason, "its object was deleted: ClusterExperiment one");
    assert_eq!(run.verdict.unwrap().status(), wire::RunStatus::Interrupted);
    estate.healed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_object_goes_whoever_holds_it_is_rolled_back() {
    let estate = Estate::new().await;
    estate.create("one", &experiment(60));
    estate.acts().await;
    estate.api.strip(PLURAL, "one");
    estate.healed().await;
    until(async || estate.run().await.phase() == wire::RunPhase::Ended).await;
    assert_eq!(estate.run().await.reason, "ClusterExperiment one is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_for_an_object_is_rolled_back_once_another_installation_keeps_it() {
    let estate = Estate::new().await;
    estate.create("one", &experiment(60));
    estate.acts().await;
    estate.tenure.send_replace(Tenure::Other("elders".to_owned()));
    estate.healed().await;
    until(async || estate.run().await.phase() == wire::RunPhase::Ended).await;
    let reason = estate.run().await.reason;
    assert_eq!(reason, "its object is kept by the installation in namespace elders");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_killed_in_the_middle_rolls_back_in_its_next_life_and_begins_nothing_twice()
 {
    let mut estate = Estate::new().await;
    estate.create("one", &experiment(60));
    estate.acts().await;
    estate.phase(PLURAL, "one", "Running").await;
    until(async || estate.told("one") == ["RunBegan"]).await;
    estate.crash();
    estate.begin().await;
    let status = estate.phase(PLURAL, "one", "Interrupted").await;
    assert!(status["message"].as_str().unwrap().contains("started anew"), "{status:#}");
    assert_eq!((&status["exitCode"], &status["owes"]), (&json!(130), &json!(0)), "{status:#}");
    estate.healed().await;
    until(async || !estate.is_held(PLURAL, "one")).await;
    assert_eq!(estate.run().await.phase(), wire::RunPhase::Ended);
    until(async || estate.told("one").contains(&"RunEnded".to_owned())).await;
    let said = estate.told("one");
    // Nor in one after that.
    estate.crash();
    estate.begin().await;
    estate.create("two", &experiment(0));
    estate.phase(PLURAL, "two", "Completed").await;
    assert_eq!(estate.fleet.control.runs().await.unwrap().len(), 2);
    assert_eq!(estate.status(PLURAL, "one")["phase"], "Interrupted");
    // What was said of it is said once, whoever leads.
    let told = |call: &&String| call.ends_with("/namespaces/default/events");
    until(async || estate.told("two").contains(&"RunEnded".to_owned())).await;
    assert_eq!(estate.told("one"), said);
    let calls = estate.api.calls();
    assert!(calls.iter().filter(told).count() <= said.len() + 3, "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_touches_nothing_and_holds_nothing() {
    let estate = Estate::new().await;
    estate.api.label("closed", &json!({ "schism.dev/faults": "no" }));
    estate.api.label("open", &json!({ "schism.dev/faults": "allowed" }));
    let freeze = |target: &str| {
        json!({ "type": "action", "name": "freeze", "provider": {
            "type": "schism", "action": "freeze", "arguments": { "target": target, "for": "5s" },
        } })
    };
    let program = json!({
        "type": "action", "name": "work", "provider": { "type": "process", "path": "true" },
    });
    let of = |step: &Value| json!({ "title": "t", "description": "d", "method": [step] });
    let create = |namespace: &str, name: &str, step: &Value| {
        let spec = json!({ "experiment": of(step) });
        estate.api.create("experiments", namespace, name, &spec);
    };
    create("closed", "unlabelled", &freeze("pod/a"));
    create("open", "elsewhere", &freeze("host:a"));
    estate.create("program", &of(&program));
    estate.create("nonsense", &of(&freeze("nets:a")));
    let table = [
        ("experiments", "unlabelled", 4, "namespace closed does not let faults in"),
        ("experiments", "elsewhere", 2, "takes a ClusterExperiment"),
        (PLURAL, "program", 2, "step `work` is a program"),
        (PLURAL, "nonsense", 2, "nets"),
    ];
    for (plural, name, code, said) in table {
        let status = estate.phase(plural, name, "Refused").await;
        assert_eq!(status["exitCode"], code, "{status:#}");
        assert!(status["message"].as_str().unwrap().contains(said), "{status:#}");
        assert_eq!(status["conditions"][0]["status"], "False");
        until(async || estate.told(name) == ["RunRefused"]).await;
        until(async || !estate.is_held(plural, name)).await;
    }
    assert!(estate.fleet.control.runs().await.unwrap().is_empty());
}

/// An experiment that does nothing for so many seconds.
fn pause(seconds: u64) -> Value {
    let freeze = json!({
        "type": "action", "name": "freeze", "pauses": { "before": seconds }, "provider": {
            "type": "schism", "action": "freeze", "arguments": { "target": "pod/a", "for": "5s" },
        },
    });
    json!({ "title": "t", "description": "d", "method": [freeze] })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_no_place_says_for_which_ones_it_waits_and_other_namespaces_have_theirs() {
    let estate = Estate::new().await;
    let create = |namespace: &str, name: &str| {
        let spec = json!({ "experiment": pause(600) });
        estate.api.create("experiments", namespace, name, &spec);
    };
    for namespace in ["open", "wide"] {
        estate.api.label(namespace, &json!({ "schism.dev/faults": "allowed" }));
    }
    for name in ["a", "b", "c", "d"] {
        create("open", name);
        estate.phase("experiments", name, "Running").await;
    }
    create("open", "late");
    let message = || estate.status("experiments", "late")["message"].clone();
    let said = "it waits for a place: 4 runs of namespace open go on, and no more of it may at once; \
                of them here a, b, c, d";
    until(async || message() == said).await;
    let status = estate.status("experiments", "late");
    assert_eq!(status["phase"], "Pending", "{status:#}");
    assert_eq!(estate.fleet.control.runs().await.unwrap().len(), 4);
    create("wide", "other");
    estate.phase("experiments", "other", "Running").await;
    estate.api.delete("experiments", "late");
    until(async || estate.api.get("experiments", "late").is_none()).await;
    create("open", "later");
    until(async || estate.status("experiments", "later")["message"] == said).await;
    estate.api.delete("experiments", "b");
    let status = estate.phase("experiments", "later", "Running").await;
    assert_eq!(status["message"], Value::Null, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_definition_is_older_new_objects_are_refused_and_what_runs_goes_on() {
    let estate = Estate::new().await;
    estate.create("one", &experiment(60));
    estate.acts().await;
    let [_, own] = definitions();
    let mut older = own.clone();
    let fields =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/job/properties";
    let fields = older.pointer_mut(fields).unwrap();
    fields.as_object_mut().unwrap().remove("deadline").unwrap();
    estate.api.define(&older);
    // It is known once somebody is refused by it, which may be told of one that was created before.
    let mut number = 0;
    let said = "the definition clusterexperiments.schism.dev is older than this controller: it lacks \
                spec.job.deadline";
    let status = loop {
        number += 1;
        let name = format!("new-{number}");
        estate.create(&name, &experiment(0));
        until(async || {
            let phase = estate.status(PLURAL, &name)["phase"].clone();
            phase == "Refused" || phase == "Completed"
        })
        .await;
        let status = estate.status(PLURAL, &name);
        if status["phase"] == "Refused" {
            break status;
        }
        assert!(number < 10, "{status:#}");
    };
    assert_eq!(status["exitCode"], 4, "{status:#}");
    assert!(status["message"].as_str().unwrap().contains(said), "{status:#}");
    assert_eq!(estate.status(PLURAL, "one")["phase"], "Running");
}

/// What is said by way of a value is no way out.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_namespace_stays_in_it_whatever_its_values_are() {
    let estate = Estate::new().await;
    estate.api.label("open", &json!({ "schism.dev/faults": "allowed" }));
    let freeze = json!({ "type": "action", "name": "freeze", "provider": {
        "type": "schism", "action": "freeze", "arguments": { "target": "${who}", "for": "5s" },
    } });
    let each = json!({ "type": "action", "name": "each", "for-each": { "name": "one", "targets": "${who}" },
        "provider": { "type": "schism", "action": "freeze", "arguments": { "target": "${one}" } } });
    for (name, step) in [("value", freeze), ("repeated", each)] {
        let experiment = json!({
            "title": "t", "description": "d", "configuration": { "who": "netns:a@a" }, "method": [step],
        });
        estate.api.create("experiments", "open", name, &json!({ "experiment": experiment }));
        let status = estate.phase("experiments", name, "Failed").await;
        assert_eq!(status["exitCode"], 1, "{status:#}");
        let id = status["run"].as_str().unwrap();
        let journal = estate.fleet.directory().join(format!("runs/{id}.json"));
        let journal = std::fs::read_to_string(journal).unwrap();
        assert!(journal.contains("takes a ClusterExperiment"), "{journal}");
    }
    assert!(estate.fleet.control.list().await.unwrap().0.is_empty());
}

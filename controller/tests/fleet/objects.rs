//! Faults as objects: an API server that is a few lines, and everything else as it is.

mod api;
mod disruptions;
mod experiments;
mod runs;

use std::net::IpAddr;
use std::time::Duration;

use cluster::Client;
use controller::control::Clusters;
use controller::objects::{Means, Tenure, definitions, keep};
use controller::provider::kubernetes::{Guard, Kubernetes};
use fault::{Limits, PodUid};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::api::{Api, Whether};
use super::rig::{Fleet, LIMIT, until};

const PLURAL: &str = "clusterfaults";

/// A cluster, and who keeps its objects.
struct Estate {
    fleet: Fleet,
    api: Api,
    client: Client,
    keeper: Option<(JoinHandle<()>, watch::Sender<bool>)>,
    tenure: watch::Sender<Tenure>,
}

impl Estate {
    async fn new() -> Self {
        let mut estate = Self::idle().await;
        estate.lead();
        estate
    }

    /// One in which nobody keeps objects yet.
    async fn idle() -> Self {
        let (api, client) = Api::start().await;
        let kubernetes = Kubernetes::of(client.clone(), Guard::default());
        let clusters = Clusters::default().within(Some(kubernetes));
        let fleet = Fleet::with(clusters, &["a", "b"]).await;
        let tenure = watch::Sender::new(Tenure::Unknown);
        Self { fleet, api, client, keeper: None, tenure }
    }

    /// Waits until this is told of who keeps them.
    async fn tells(&self, said: &str) {
        let mut tenure = self.tenure.subscribe();
        let told = tenure.wait_for(|tenure| tenure.to_string().contains(said));
        let told = tokio::time::timeout(LIMIT, told).await.map(drop);
        assert!(told.is_ok(), "not `{said}`, but `{}`", *self.tenure.borrow());
    }

    /// Has somebody keep the objects.
    fn lead(&mut self) {
        let means = Means {
            client: self.client.clone(),
            control: self.fleet.control.clone(),
            audit: self.fleet.archive.audit.clone(),
            limits: Limits::default(),
            namespace: "schism".parse().unwrap(),
            tenure: self.tenure.clone(),
        };
        let (stop, stopped) = watch::channel(false);
        self.keeper = Some((tokio::spawn(keep(means, stopped)), stop));
    }

    /// Nobody does any more, from one moment to the next.
    fn crash(&mut self) {
        self.keeper.take().unwrap().0.abort();
    }

    /// Nobody does any more, in good order.
    async fn end(&mut self) {
        let (task, stop) = self.keeper.take().unwrap();
        stop.send_replace(true);
        task.await.unwrap();
    }

    fn create(&self, name: &str, total: &str) {
        self.create_between(name, ["netns:a@a", "netns:b@b"], total);
    }

    fn create_between(&self, name: &str, [from, to]: [&str; 2], total: &str) {
        let cut = json!({ "from": from, "to": to });
        let spec = json!({ "cut": cut, "for": total, "lease": "3s", "requestedBy": "ann" });
        self.api.create(PLURAL, "", name, &spec);
    }

    fn status(&self, name: &str) -> Value {
        self.api.get(PLURAL, name).map(|object| object["status"].clone()).unwrap_or_default()
    }

    async fn phase(&self, name: &str, phase: &str) {
        let waited = async {
            while self.status(name)["phase"] != phase {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let late = tokio::time::timeout(LIMIT, waited).await.is_err();
        assert!(!late, "{name} is not {phase}: {:#}", self.status(name));
    }

    fn is_held(&self, name: &str) -> bool {
        let object = self.api.get(PLURAL, name).unwrap();
        object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
    }

    /// How many faults act on both nodes.
    async fn acting(&self) -> usize {
        self.fleet.nodes["a"].acting().await + self.fleet.nodes["b"].acting().await
    }

    async fn healed(&self) {
        until(async || {
            self.fleet.nodes["a"].living().await + self.fleet.nodes["b"].living().await == 0
        })
        .await;
    }
}

#[tokio::test]
async fn an_object_is_put_in_told_and_healed_by_its_deletion_in_few_calls() {
    let estate = Estate::new().await;
    estate.create("one", "60s");
    estate.phase("one", "Active").await;
    assert_eq!(estate.acting().await, 2);
    let status = estate.status("one");
    assert_eq!(
        (&status["kind"], &status["from"]),
        (&json!("cut"), &json!("netns:a@a")),
        "{status:#}"
    );
    assert_eq!(status["parts"], json!({ "total": 2, "acting": 2, "failed": 0, "nodes": 2 }));
    estate.api.delete(PLURAL, "one");
    until(async || estate.api.get(PLURAL, "one").is_none()).await;
    estate.healed().await;
    let expected = [
        "PATCH /clusterfaults/one",
        "PATCH /clusterfaults/one/status",
        "PATCH /clusterfaults/one/status",
        "PATCH /clusterfaults/one",
    ];
    assert_eq!(estate.api.calls(), expected);
    let lines = estate.fleet.archive.audit.read().await.unwrap().entries;
    let who: Vec<&str> = lines.iter().map(|line| line.who.as_str()).collect();
    assert_eq!(who[0], "ann, by ClusterFault one");
    assert_eq!(who[1], "its object was deleted: ClusterFault one");
}

#[tokio::test]
async fn pods_are_told_once_of_what_is_soon_over_and_else_twice() {
    const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";
    let estate = Estate::new().await;
    estate.api.pod("prod", "web-0", UID, "a");
    let own: IpAddr = [10, 1, 0, 1].into();
    let uid = PodUid::new(UID).unwrap();
    estate.fleet.nodes["a"].kernel.node(|node| {
        let _ = node.add_pod(&uid, &[own]);
    });
    let told = |reason: &str| {
        let mut all = estate.api.all("events");
        all.retain(|event| event["reason"] == reason);
        assert!(all.iter().all(|event| event["involvedObject"]["uid"] == UID), "{all:#?}");
        all.len()
    };
    let from = format!("pod:{UID}@a");
    estate.create_between("short", [&from, "netns:b@b"], "60s");
    estate.phase("short", "Active").await;
    estate.api.delete(PLURAL, "short");
    until(async || told("FaultEnded") == 1).await;
    estate.create_between("long", [&from, "netns:b@b"], "60s");
    estate.phase("long", "Active").await;
    assert_eq!(told("FaultBegan"), 0);
    until(async || told("FaultBegan") == 1).await;
    estate.api.delete(PLURAL, "long");
    until(async || told("FaultEnded") == 2).await;
    assert_eq!(told("FaultBegan"), 1);
}

#[tokio::test]
async fn one_that_ends_at_its_deadline_stays_and_is_let_go_of() {
    let estate = Estate::new().await;
    estate.create("one", "1s");
    estate.phase("one", "Expired").await;
    until(async || !estate.is_held("one")).await;
    let status = estate.status("one");
    // Nobody has sent anything.
    assert_eq!((&status["exitCode"], &status["lost"]), (&json!(3), &json!(0)), "{status:#}");
    let calls = estate.api.calls();
    assert_eq!(calls.len(), 4, "{calls:#?}");
}

#[tokio::test]
async fn one_that_goes_whoever_holds_it_is_healed() {
    let mut estate = Estate::new().await;
    estate.create("one", "60s");
    estate.phase("one", "Active").await;
    estate.api.strip(PLURAL, "one");
    estate.healed().await;
    // While nobody looks as well.
    estate.create("two", "60s");
    estate.phase("two", "Active").await;
    estate.crash();
    estate.api.strip(PLURAL, "two");
    assert_eq!(estate.acting().await, 2);
    estate.lead();
    estate.healed().await;
}

#[tokio::test]
async fn who_leads_next_puts_nothing_in_twice_and_hangs_nothing() {
    let mut estate = Estate::new().await;
    estate.create("one", "60s");
    estate.phase("one", "Active").await;
    let before = estate.status("one");
    estate.crash();
    estate.lead();
    // Whoever it is has looked at all by the time that another one acts.
    estate.create_between("two", ["netns:b@b", "netns:a@a"], "60s");
    estate.phase("two", "Active").await;
    assert_eq!(estate.acting().await, 4);
    assert_eq!(estate.status("one")["intent"], before["intent"]);
    assert_eq!(estate.fleet.control.list().await.unwrap().0.len(), 2);
    // In good order it lets go of what acts, and the next one holds it again.
    estate.end().await;
    assert!(!estate.is_held("one") && !estate.is_held("two"));
    estate.lead();
    until(async || estate.is_held("one")).await;
    for name in ["one", "two"] {
        estate.api.delete(PLURAL, name);
        until(async || estate.api.get(PLURAL, name).is_none()).await;
    }
    estate.healed().await;
}

#[tokio::test]
async fn an_api_server_that_is_away_prolongs_nothing_and_hears_of_it_later() {
    let estate = Estate::new().await;
    estate.create("one", "2s");
    estate.phase("one", "Active").await;
    estate.api.answers(Whether::No);
    estate.healed().await;
    assert_eq!(estate.status("one")["phase"], "Active");
    estate.api.answers(Whether::Yes);
    estate.phase("one", "Expired").await;
    until(async || !estate.is_held("one")).await;
}

#[tokio::test]
async fn a_namespace_without_the_label_and_nonsense_are_refused_and_hold_nothing() {
    let estate = Estate::new().await;
    estate.api.label("prod", &json!({ "schism.dev/faults": "no" }));
    let spec = json!({ "freeze": { "target": "pod/a" } });
    estate.api.create("faults", "prod", "unlabelled", &spec);
    estate.api.create(PLURAL, "", "nonsense", &json!({ "freeze": { "target": "nets:a" } }));
    estate.api.create(PLURAL, "", "nobody", &json!({ "freeze": { "target": "netns:nobody@a" } }));
    let table = [
        ("faults", "unlabelled", 4, "namespace prod does not let faults in"),
        (PLURAL, "nonsense", 2, "nets"),
        (PLURAL, "nobody", 5, "names nothing on"),
    ];
    for (plural, name, code, said) in table {
        until(async || {
            let object = estate.api.get(plural, name).unwrap();
            object["status"]["phase"] == "Refused" && object["metadata"]["finalizers"] == json!([])
        })
        .await;
        let status = estate.api.get(plural, name).unwrap()["status"].clone();
        assert_eq!(status["exitCode"], code, "{status:#}");
        assert!(status["message"].as_str().unwrap().contains(said), "{status:#}");
        assert_eq!(status["conditions"][0]["status"], "False");
    }
}

#[tokio::test]
async fn of_two_installations_the_older_one_keeps_objects_and_the_other_one_touches_none() {
    let mut estate = Estate::idle().await;
    estate.api.install("schism", 2);
    estate.api.install("elders", 1);
    estate.create("one", "60s");
    estate.lead();
    estate.tells("are kept by the installation in namespace elders, which is older").await;
    assert_eq!(estate.api.calls(), [""; 0]);
    assert_eq!(estate.status("one"), Value::Null);
    // It goes, and so whoever is left has them.
    estate.api.strip("clusterrolebindings", "schism:elders:faults");
    estate.tells("all faults as objects are kept").await;
    estate.phase("one", "Active").await;
    // One that comes later takes nothing away.
    estate.api.install("youth", 3);
    // What is done already is not done twice.
    estate.create_between("two", ["netns:b@b", "netns:a@a"], "60s");
    estate.phase("two", "Active").await;
    // Where it is older after all, everything is let go of and ends: that an object is deleted nobody would hear.
    estate.api.calls();
    estate.api.install("elders", 1);
    estate.tells("are kept by the installation in namespace elders").await;
    until(async || !estate.is_held("one") && !estate.is_held("two")).await;
    estate.healed().await;
    assert_eq!(estate.status("one")["phase"], "Active", "the other one tells of it");
}

#[tokio::test]
async fn where_the_definition_is_older_new_objects_are_refused_and_what_acts_goes_on() {
    let mut estate = Estate::new().await;
    estate.tells("all faults as objects are kept").await;
    estate.create("one", "60s");
    estate.phase("one", "Active").await;
    let [_, own] = definitions();
    let mut older = own.clone();
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = older.pointer_mut(fields).unwrap();
    fields.as_object_mut().unwrap().remove("onRestart").unwrap();
    estate.api.define(&older);
    let said = "the definition clusterfaults.schism.dev is older than this controller: it lacks \
                spec.onRestart";
    estate.tells(said).await;
    estate.create("two", "60s");
    estate.phase("two", "Refused").await;
    let status = estate.status("two");
    assert_eq!(status["exitCode"], 4, "{status:#}");
    assert!(status["message"].as_str().unwrap().contains(said), "{status:#}");
    assert_eq!(
        (estate.status("one")["phase"].as_str(), estate.acting().await),
        (Some("Active"), 2)
    );
    // A next leader knows it from its start.
    estate.end().await;
    estate.tenure.send_replace(Tenure::Unknown);
    estate.lead();
    estate.tells(said).await;
    estate.api.define(&own);
    estate.tells("all faults as objects are kept").await;
    estate.create_between("three", ["netns:b@b", "netns:a@a"], "60s");
    estate.phase("three", "Active").await;
}

//! Disruptions as objects: an API server that is a few lines, and everything else as it is.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

use cluster::Client;
use controller::control::Clusters;
use controller::disruptions::{Means, keep};
use controller::experiments;
use controller::objects::Tenure;
use controller::provider::kubernetes::{CORDON, Guard, Kubernetes};
use controller::runs::{Execution, Runs};
use fault::{Limits, PodUid};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::api::{Api, Words};
use crate::rig::{Fleet, LIMIT, soon, until};

const OF_PODS: &str = "disruptions";
const OF_NODES: &str = "clusterdisruptions";

const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";

/// A cluster of two nodes, and who keeps its objects.
struct Estate {
    fleet: Fleet,
    api: Api,
    client: Client,
    runs: Runs,
    tenure: watch::Sender<Tenure>,
    keeper: Option<(JoinHandle<()>, watch::Sender<bool>)>,
    _consent: watch::Sender<bool>,
}

impl Estate {
    async fn new() -> Self {
        let (api, client) = Api::start().await;
        ["a", "b"].iter().for_each(|node| api.node(node));
        api.label("prod", &json!({ "schism.dev/faults": "allowed" }));
        let kubernetes = Kubernetes::of(client.clone(), Guard::default());
        let clusters = Clusters::default().within(Some(kubernetes));
        let fleet = Fleet::with(clusters, &["a", "b"]).await;
        let (control, archive) = (fleet.control.clone(), fleet.archive.clone());
        let runs = Runs::start(control.clone(), archive, Limits::default(), Execution::Refused);
        let runs = runs.await.unwrap();
        let tenure = watch::Sender::new(Tenure::Whole);
        // Who keeps experiments hears which namespaces let anything in.
        let (consent, stopped) = watch::channel(false);
        let means = experiments::Means {
            client: client.clone(),
            control,
            runs: runs.clone(),
            jobs: None,
            tenure: tenure.subscribe(),
        };
        tokio::spawn(experiments::keep(means, stopped));
        let keeper = None;
        let mut estate = Self { fleet, api, client, runs, tenure, keeper, _consent: consent };
        estate.lead();
        estate
    }

    fn lead(&mut self) {
        let means = Means {
            tenure: self.tenure.subscribe(),
            client: self.client.clone(),
            control: self.fleet.control.clone(),
            runs: self.runs.clone(),
            audit: self.fleet.archive.audit.clone(),
            limits: Limits::default(),
        };
        let (stop, stopped) = watch::channel(false);
        self.keeper = Some((tokio::spawn(keep(means, stopped)), stop));
    }

    /// Nobody keeps objects any more, from one moment to the next.
    fn crash(&mut self) {
        self.keeper.take().unwrap().0.abort();
    }

    /// Nobody does any more, in good order.
    async fn end(&mut self) {
        let (task, stop) = self.keeper.take().unwrap();
        stop.send_replace(true);
        task.await.unwrap();
    }

    fn cordon(&self, name: &str, node: &str, total: &str) {
        let cordon = json!({ "node": node, "for": total });
        let spec = json!({ "cordon": cordon, "requestedBy": "ann" });
        self.api.create(OF_NODES, "", name, &spec);
    }

    /// A pod that runs, on its node and for the API server.
    fn run(&self, name: &str) {
        let own: IpAddr = [10, 1, 0, 1].into();
        let uid = PodUid::new(UID).unwrap();
        self.fleet.nodes["a"].kernel.node(|node| {
            let _ = node.add_pod(&uid, &[own]);
        });
        self.api.running("prod", name, UID, "a");
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

    fn is_cordoned(&self, node: &str) -> bool {
        self.api.get("nodes", node).unwrap()["spec"]["unschedulable"] == true
    }

    /// As it was before anybody came.
    fn is_untouched(&self, node: &str) -> bool {
        let object = self.api.get("nodes", node).unwrap();
        !self.is_cordoned(node) && object["metadata"]["annotations"][CORDON].is_null()
    }
}

#[tokio::test]
async fn a_node_is_cordoned_as_an_object_asks_and_uncordoned_when_that_goes() {
    let estate = Estate::new().await;
    estate.cordon("one", "a", "10m");
    let status = estate.phase(OF_NODES, "one", "Standing").await;
    assert!(estate.is_cordoned("a") && estate.is_held(OF_NODES, "one"), "{status:#}");
    assert_eq!((&status["what"], &status["exitCode"]), (&json!("node cordon a"), &Value::Null));
    assert!(status["until"].is_string(), "{status:#}");
    // Somebody else's is refused, and says by whom.
    estate.cordon("two", "a", "10m");
    let status = estate.phase(OF_NODES, "two", "Failed").await;
    assert_eq!(status["exitCode"], 4, "{status:#}");
    let said = status["message"].as_str().unwrap();
    assert!(
        said.contains("has cordoned it already, asked for by ann, by ClusterDisruption one"),
        "{said}"
    );
    estate.api.delete(OF_NODES, "one");
    until(async || estate.api.get(OF_NODES, "one").is_none()).await;
    assert!(estate.is_untouched("a"));
    let lines = estate.fleet.archive.audit.read().await.unwrap().entries;
    let who: Vec<&str> = lines.iter().map(|line| line.who.as_str()).collect();
    assert_eq!(who[0], "ann, by ClusterDisruption one");
    assert!(who.contains(&"its object was deleted: ClusterDisruption one"), "{who:?}");
}

#[tokio::test]
async fn a_deadline_comes_by_itself_and_the_object_stays_and_is_let_go_of() {
    let estate = Estate::new().await;
    estate.cordon("one", "a", "1s");
    let status = estate.phase(OF_NODES, "one", "Done").await;
    assert_eq!(status["exitCode"], 0, "{status:#}");
    until(async || !estate.is_held(OF_NODES, "one")).await;
    assert!(estate.is_untouched("a"));
}

#[tokio::test]
async fn pods_go_as_an_object_asks_and_once() {
    let mut estate = Estate::new().await;
    estate.run("web-0");
    let spec = json!({ "terminate": { "target": "pod/web-0" }, "requestedBy": "ann" });
    estate.api.create(OF_PODS, "prod", "one", &spec);
    let status = estate.phase(OF_PODS, "one", "Done").await;
    assert_eq!((&status["went"], &status["exitCode"]), (&json!("1/1"), &json!(0)), "{status:#}");
    assert_eq!(status["pods"][0]["fate"], "gone", "{status:#}");
    assert!(estate.api.get("pods", "web-0").is_none());
    until(async || !estate.is_held(OF_PODS, "one")).await;
    // Another one of its name is none of its business, whoever leads.
    estate.crash();
    estate.run("web-0");
    estate.api.calls();
    estate.lead();
    estate.cordon("later", "b", "10m");
    estate.phase(OF_NODES, "later", "Standing").await;
    assert!(estate.api.get("pods", "web-0").is_some());
    let calls = estate.api.calls();
    assert!(!calls.iter().any(|call| call.contains("/disruptions/one")), "{calls:?}");
}

#[tokio::test]
async fn what_may_not_be_is_refused_with_a_sentence_and_holds_nothing() {
    let estate = Estate::new().await;
    estate.api.label("shut", &json!({}));
    let of_pods = |target: &str| json!({ "restart": { "target": target } });
    estate.api.create(OF_PODS, "shut", "unlabelled", &of_pods("pod/a"));
    estate.api.create(OF_PODS, "prod", "elsewhere", &of_pods("k8s:other/pod/a"));
    estate.api.create(OF_PODS, "prod", "nobody", &of_pods("pod/nobody"));
    estate.cordon("nowhere", "c", "10m");
    let table = [
        (OF_PODS, "unlabelled", 4, "namespace shut does not let faults in"),
        (OF_PODS, "elsewhere", 2, "names no pods of namespace prod"),
        (OF_PODS, "nobody", 5, "nobody"),
        (OF_NODES, "nowhere", 5, "c"),
    ];
    for (plural, name, code, said) in table {
        let status = estate.phase(plural, name, "Refused").await;
        assert_eq!(status["exitCode"], code, "{status:#}");
        assert!(status["message"].as_str().unwrap().contains(said), "{status:#}");
        until(async || !estate.is_held(plural, name)).await;
    }
}

#[tokio::test]
async fn what_goes_while_nobody_looks_is_undone_by_who_leads_next() {
    let mut estate = Estate::new().await;
    estate.cordon("one", "a", "10m");
    estate.phase(OF_NODES, "one", "Standing").await;
    estate.api.strip(OF_NODES, "one");
    until(async || estate.is_untouched("a")).await;
    estate.cordon("two", "a", "10m");
    estate.phase(OF_NODES, "two", "Standing").await;
    estate.crash();
    estate.api.strip(OF_NODES, "two");
    assert!(estate.is_cordoned("a"));
    estate.lead();
    until(async || estate.is_untouched("a")).await;
}

#[tokio::test]
async fn what_nobody_can_be_told_of_is_undone_all_the_same() {
    let estate = Estate::new().await;
    estate.api.words(Words::Refused);
    estate.cordon("one", "a", "10m");
    until(async || estate.is_cordoned("a")).await;
    estate.api.delete(OF_NODES, "one");
    until(async || estate.is_untouched("a")).await;
    // What became of it is said, and it goes, once that can be.
    estate.api.words(Words::Taken);
    until(async || estate.api.get(OF_NODES, "one").is_none()).await;
}

#[tokio::test]
async fn who_leads_next_does_nothing_twice_and_hangs_nothing() {
    let mut estate = Estate::new().await;
    estate.cordon("one", "a", "10m");
    let before = estate.phase(OF_NODES, "one", "Standing").await;
    // In good order it lets go, and the next one holds it again.
    estate.end().await;
    assert!(!estate.is_held(OF_NODES, "one") && estate.is_cordoned("a"));
    estate.lead();
    until(async || estate.is_held(OF_NODES, "one")).await;
    assert_eq!(estate.status(OF_NODES, "one")["disruption"], before["disruption"]);
    assert_eq!(estate.fleet.control.listing().await.unwrap().disruptions.len(), 1);
    // What another installation keeps is undone here.
    estate.tenure.send_replace(Tenure::Other("elders".to_owned()));
    until(async || estate.is_untouched("a")).await;
}

/// The command as it is found by `kubectl`.
struct Plugin(TempDir);

impl Plugin {
    fn of(estate: &Estate) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = estate.client.config().server.to_string();
        let kubeconfig = json!({
            "current-context": "lab", "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": "lab", "context": { "cluster": "c", "user": "u", "namespace": "prod" } }],
            "clusters": [{ "name": "c", "cluster": { "server": server } }],
        });
        fs::write(directory.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        symlink(env!("CARGO_BIN_EXE_schism"), directory.path().join("kubectl-schism")).unwrap();
        Self(directory)
    }

    /// What it exits with, and all that it says.
    async fn run(&self, line: &str) -> (Option<i32>, String) {
        let mut command = Command::new(self.0.path().join("kubectl-schism"));
        command
            .args(line.split(' '))
            .env_clear()
            .env("KUBECONFIG", self.0.path().join("kubeconfig"));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = soon(command.output()).await.unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        (output.status.code(), said.concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_makes_the_object_follows_it_and_ends_as_the_command_does() {
    let estate = Estate::new().await;
    let plugin = Plugin::of(&estate);
    estate.run("web-0");
    let (code, said) = plugin.run("pod terminate pod/web-0").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("IN ITS PLACE") && said.contains("prod/web-0  a     gone"), "{said}");
    assert!(estate.api.get("pods", "web-0").is_none());
    let made = estate.api.all(OF_PODS);
    assert_eq!(
        made[0]["spec"],
        json!({ "terminate": { "target": "pod/web-0" }, "requestedBy": "ann" })
    );

    let (code, said) = plugin.run("node cordon a --for 10m --detach").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("end it with: kubectl schism node uncordon a"), "{said}");
    assert!(estate.is_cordoned("a"));
    let (code, said) = plugin.run("node cordon a --for 10m").await;
    assert!(code == Some(4) && said.contains("has cordoned it already"), "{code:?} {said}");
    let (code, said) = plugin.run("status").await;
    assert!(code == Some(0) && said.contains("node cordon a"), "{code:?} {said}");
    let (code, said) = plugin.run("node uncordon a").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(estate.is_untouched("a"));
    let (code, said) = plugin.run("node uncordon a").await;
    assert!(code == Some(5) && said.contains("no object has cordoned it"), "{code:?} {said}");

    let (code, said) = plugin.run("pod evict pod/nobody").await;
    assert!(code == Some(5) && said.contains("nobody"), "{code:?} {said}");
    let (code, said) = plugin.run("pod restart host:n1").await;
    assert!(code == Some(2) && said.contains("names no pods"), "{code:?} {said}");
}

//! `kubectl schism run`, as people start it, against an API server that is a few lines.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::api::USER;
use super::{Estate, PLURAL};
use crate::rig::{soon, until};

/// Goes on until somebody says so.
const WORK: &str = "touch there; while [ ! -e go ]; do sleep 0.05; done";

/// A cluster, and who runs experiments in it.
struct Bench {
    estate: Estate,
    directory: TempDir,
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    said: String,
}

/// A step that is a script.
fn script(name: &str, script: &str) -> Value {
    json!({"type": "action", "name": name, "provider": {
        "type": "process", "path": "sh", "arguments": ["-c", script],
    }})
}

/// A cut, work while it acts, and a rollback.
fn experiment(from: &str, total: &str) -> Value {
    let cut = json!({"type": "action", "name": "cut", "provider": {
        "type": "schism", "action": "cut", "as": "the-cut", "effect": "optional",
        "arguments": {"from": from, "to": "netns:b@b", "for": total, "lease": "3s"},
    }});
    json!({"title": "a cut", "description": "d", "method": [cut, script("work", WORK)],
        "rollbacks": [script("back", "touch back")]})
}

impl Bench {
    async fn new(experiment: &Value) -> Self {
        let bench = Self { estate: Estate::new().await, directory: tempfile::tempdir().unwrap() };
        let server = bench.estate.client.config().server.to_string();
        let kubeconfig = json!({
            "current-context": "lab", "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": "lab", "context": { "cluster": "c", "user": "u", "namespace": "prod" } }],
            "clusters": [{ "name": "c", "cluster": { "server": server } }],
        });
        bench.write("kubeconfig", &kubeconfig.to_string());
        bench.write("experiment.json", &experiment.to_string());
        symlink(env!("CARGO_BIN_EXE_schism"), bench.path("kubectl-schism")).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn document(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    fn begin(&self, line: &str) -> Child {
        let mut command = Command::new(self.path("kubectl-schism"));
        command.args(line.split(' ')).current_dir(self.directory.path()).env_clear();
        command.env("HOME", self.directory.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.env("KUBECONFIG", self.path("kubeconfig")).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    async fn run(&self, line: &str) -> Ended {
        ended(self.begin(line)).await
    }

    /// Runs it until its work has begun.
    async fn working(&self) -> Child {
        let running = self.begin("run experiment.json --summary last.json");
        until(async || self.path("there").exists()).await;
        running
    }

    /// The one object that there is.
    fn object(&self) -> Value {
        let objects = self.estate.api.all(PLURAL);
        assert_eq!(objects.len(), 1, "{objects:#?}");
        objects[0].clone()
    }

    fn name(&self) -> String {
        self.object()["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// Nothing acts, and no object is there.
    async fn is_clean(&self) {
        assert_eq!(self.estate.api.all(PLURAL), Vec::<Value>::new());
        self.estate.healed().await;
    }
}

async fn ended(running: Child) -> Ended {
    let output = soon(running.wait_with_output()).await.unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    Ended { code: output.status.code(), said: said.concat() }
}

fn signal(running: &Child, signal: Signal) {
    let pid = running.id().unwrap().try_into().unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_run_are_objects_and_none_stays() {
    let bench = Bench::new(&experiment("netns:a@a", "60s")).await;
    let running = bench.working().await;
    assert_eq!(bench.estate.acting().await, 2);
    let object = bench.object();
    let key = bench.document("journal.json")["schism"]["faults"]["the-cut"]["id"].clone();
    let name = format!("run-{}", key.as_str().unwrap());
    assert_eq!(object["metadata"]["name"], name.as_str(), "{object:#}");
    assert_eq!(object["metadata"]["annotations"], json!({"schism.dev/fault": "the-cut"}));
    assert_eq!(
        (&object["spec"]["requestedBy"], &object["spec"]["for"]),
        (&json!(USER), &json!("60s"))
    );
    assert_eq!(object["status"]["phase"], "Active", "{object:#}");
    bench.write("go", "");
    let ended = ended(running).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    bench.is_clean().await;
    let expected = [
        "POST /clusterfaults".to_owned(),
        format!("PATCH /clusterfaults/{name}"),
        format!("PATCH /clusterfaults/{name}/status"),
        format!("DELETE /clusterfaults/{name}"),
        format!("PATCH /clusterfaults/{name}/status"),
        format!("PATCH /clusterfaults/{name}"),
    ];
    assert_eq!(bench.estate.api.calls(), expected);
    let fault = bench.document("journal.json")["schism"]["faults"]["the-cut"].clone();
    assert_eq!(
        (&fault["state"], &fault["had_effect"]),
        (&json!("ended"), &json!(false)),
        "{fault:#}"
    );
    assert_eq!(fault["effect"]["links"], 1, "{fault:#}");
    let last = bench.document("last.json");
    assert_eq!((&last["exit_code"], &last["error"]), (&json!(0), &Value::Null), "{last:#}");
    let run = &last["runs"][0];
    assert_eq!(
        (&run["status"], &run["deviated"]),
        (&json!("completed"), &json!(false)),
        "{last:#}"
    );
    assert_eq!(run["steps"], json!({"succeeded": 2, "failed": 0, "interrupted": 0}));
    assert_eq!(run["rollbacks"], json!({"succeeded": 1, "failed": 0, "interrupted": 0}));
    assert_eq!(run["faults"], json!({"the-cut": {"effect": "no", "lost": 0}}));
    assert_eq!(run["owed"], json!({"rollbacks": [], "faults": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_heals_and_leaves_no_object() {
    let bench = Bench::new(&experiment("netns:a@a", "60s")).await;
    let running = bench.working().await;
    signal(&running, Signal::SIGTERM);
    let ended = ended(running).await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
    bench.is_clean().await;
    let last = bench.document("last.json");
    assert_eq!(
        (&last["exit_code"], &last["runs"][0]["status"]),
        (&json!(130), &json!("interrupted"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_that_was_killed_has_left_is_found_and_healed() {
    let bench = Bench::new(&experiment("netns:a@a", "60s")).await;
    let mut running = bench.working().await;
    signal(&running, Signal::SIGKILL);
    soon(running.wait()).await.unwrap();
    assert_eq!(bench.estate.acting().await, 2, "until its deadline");
    let elsewhere = bench.run("run --resume-rollbacks journal.json -n other").await;
    assert_eq!(elsewhere.code, Some(5), "{elsewhere:?}");
    assert!(elsewhere.said.contains("objects of namespace prod at "), "{elsewhere:?}");
    let ended = bench.run("run --resume-rollbacks journal.json --summary last.json").await;
    bench.is_clean().await;
    let last = bench.document("last.json");
    assert_eq!(last["runs"][0]["owed"], json!({"rollbacks": [], "faults": []}), "{ended:?}");
    assert!(bench.path("back").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_somebody_else_ends_fails_the_run() {
    let bench = Bench::new(&experiment("netns:a@a", "60s")).await;
    let running = bench.working().await;
    bench.estate.api.delete(PLURAL, &bench.name());
    until(async || bench.estate.api.all(PLURAL).is_empty()).await;
    bench.write("go", "");
    let ended = ended(running).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.said.contains("fault the-cut ended before its time: its object was deleted"),
        "{ended:?}"
    );
    bench.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_object_of_a_fault_that_ran_its_time_goes_with_the_run() {
    let bench = Bench::new(&experiment("netns:a@a", "1s")).await;
    let running = bench.working().await;
    bench.estate.phase(&bench.name(), "Expired").await;
    bench.write("go", "");
    let ended = ended(running).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.said.contains("fault the-cut is out: had no effect"), "{ended:?}");
    bench.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fault_does_is_counted_when_a_probe_asks() {
    let mut counting = experiment("netns:a@a", "60s");
    counting["method"][1] = json!({"type": "probe", "name": "counted", "provider": {
        "type": "schism", "probe": "effect", "arguments": {"fault": "the-cut"},
    }});
    let bench = Bench::new(&counting).await;
    let ended = bench.run("run experiment.json").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let output = bench.document("journal.json")["run"][1]["output"].clone();
    assert_eq!((&output["effect"], &output["lost"]), (&json!(false), &json!(0)), "{output:#}");
    // Held, told, asked for counts, told, deleted, told, and let go of.
    let calls = bench.estate.api.calls();
    let what: Vec<&str> = calls
        .iter()
        .map(|call| match call.split_once(' ').unwrap() {
            ("PATCH", path) if path.ends_with("/status") => "tell",
            (method, _) => method,
        })
        .collect();
    assert_eq!(
        what,
        ["POST", "PATCH", "tell", "PATCH", "tell", "DELETE", "tell", "PATCH"],
        "{calls:#?}"
    );
    bench.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_as_the_controller_says_it() {
    let bench = Bench::new(&experiment("netns:nobody@a", "60s")).await;
    bench.write("go", "");
    let ended = bench.run("run experiment.json --summary last.json").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.said.contains("names nothing on"), "{ended:?}");
    bench.is_clean().await;
    let last = bench.document("last.json");
    assert_eq!(last["runs"][0]["owed"], json!({"rollbacks": [], "faults": []}), "{last:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_touches_nothing() {
    let mut wrong = experiment("netns:a@a", "2h");
    wrong["method"][0]["provider"]["arguments"]["prove"] = json!(true);
    let bench = Bench::new(&wrong).await;
    for line in ["validate experiment.json", "run experiment.json --summary last.json"] {
        let ended = bench.run(line).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.said.contains("`prove` is for a command, not for a step"), "{ended:?}");
    }
    let last = bench.document("last.json");
    assert_eq!((&last["exit_code"], &last["error"]["kind"]), (&json!(2), &json!("wrong-usage")));
    // Nor is anything written over that is read.
    let ended = bench.run("run experiment.json --summary experiment.json").await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(bench.document("experiment.json"), wrong);
    let nowhere = bench.run("run experiment.json --kubeconfig nowhere --summary last.json").await;
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(bench.document("last.json")["error"]["message"].as_str().unwrap().contains("nowhere"));
    assert_eq!(bench.estate.api.calls(), Vec::<String>::new());
}

//! Faults as objects of the API server, with two controllers of which one leads, and an agent on each of two nodes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lab::{
    directory::Directory,
    kubernetes::{Cluster, Kubectl},
    topology::Family,
};
use serde_json::{Value, json};

use crate::{
    agents, disruptions,
    harness::tell,
    running::{Ended, Running, until},
    site::{Site, Space},
    web,
};

/// Where agents dial.
const PORT: u16 = 7070;

/// How long the API server is away: from before the end of a fault to long after.
const AWAY: Duration = Duration::from_secs(60);

/// The namespace of the pods.
pub(crate) const SPACE: &str = "objects";

/// One cluster with all that this needs.
pub(crate) struct Estate<'a> {
    site: &'a Site,
    pub(crate) cluster: &'a Cluster,
    pub(crate) kubectl: &'a Kubectl,
    files: PathBuf,
    addresses: [String; 2],
    _agents: Vec<Running>,
}

/// `schism certs`, with its files in a directory.
fn certs(directory: &Path, line: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command.arg("certs").args(line.split(' ')).arg("--dir").arg(directory);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// What of the manifest faults as objects need.
fn is_of_objects(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    match kind {
        "CustomResourceDefinition" => name != "records.schism.dev",
        "ClusterRole" => {
            let of_people = [
                "schism-view",
                "schism-inject",
                "schism-capture",
                "schism-inject-anywhere",
                "schism-disrupt",
                "schism-disrupt-anywhere",
            ];
            of_people.contains(&name)
        }
        _ => kind.starts_with("ValidatingAdmissionPolicy"),
    }
}

impl<'a> Estate<'a> {
    pub(crate) fn new(site: &'a Site, space: &'a Space, files: &Path) -> Self {
        let (cluster, kubectl) = (site.cluster(), &space.kubectl);
        // They start meanwhile.
        for (name, node) in ["left", "right"].into_iter().zip(cluster.nodes()) {
            kubectl.apply(&web::pod(name, node.name())).unwrap();
        }
        kubectl.run("create namespace schism").unwrap();
        kubectl.apply(&controller::store::definition().to_string()).unwrap();
        let mut objects = site.manifest().to_vec();
        objects.retain(is_of_objects);
        assert!(objects.len() >= 9, "{objects:#?}");
        agents::apply(kubectl, &objects);
        kubectl.run("wait --for=condition=Established crd --all --timeout=60s").unwrap();
        let hub = cluster.topology().hub_node().unwrap().address(Family::V4);
        certs(files, "init");
        certs(files, &format!("issue controller controller --host {hub}"));
        for node in cluster.nodes() {
            certs(files, &format!("issue agent {}", node.name()));
        }
        let program = Path::new(env!("CARGO_BIN_EXE_schism")).with_file_name("schism-agent");
        let agents = cluster.nodes().iter().map(|node| {
            let mut command = node.command(program.to_str().unwrap());
            let file = |name: &str| files.join(name);
            command.args(["--node", node.name(), "--controller", &format!("{hub}:{PORT}"), "--ca"]);
            command
                .arg(file("ca.pem"))
                .arg("--certificate")
                .arg(file(&format!("{}.pem", node.name())));
            command.arg("--key").arg(file(&format!("{}.key", node.name())));
            Running::start(command)
        });
        let agents = agents.collect();
        kubectl.run("wait --for=condition=Ready pod/left pod/right --timeout=60s").unwrap();
        let addresses = ["left", "right"].map(|name| web::url(web::addresses(kubectl, name)[0]));
        Self { site, cluster, kubectl, files: files.to_owned(), addresses, _agents: agents }
    }

    /// A controller that wants to lead.
    fn controller(&self, name: &str) -> Running {
        Running::start(self.serving(name))
    }

    /// The command that is one.
    pub(crate) fn serving(&self, name: &str) -> Command {
        let command = self.kubectl.command("true");
        let mut settings = command.get_envs().filter(|(name, _)| *name == "KUBECONFIG");
        let kubeconfig = settings.next().unwrap().1.unwrap().to_str().unwrap().to_owned();
        let files = self.files.display();
        let hub = self.cluster.topology().hub_node().unwrap().address(Family::V4);
        let settings = format!(
            "[kubernetes]\nkubeconfig = '{kubeconfig}'\nnamespace = 'schism'\nstore-in-cluster = true\n\
             [serve]\nstate = '{files}/{name}'\nsocket = '{files}/{name}.sock'\nlisten-agents = '{hub}:{PORT}'\n\
             ca = '{files}/ca.pem'\ncertificate = '{files}/controller.pem'\nkey = '{files}/controller.key'\n\
             issued = '{files}/issued'\n"
        );
        let path = self.files.join(format!("{name}.toml"));
        fs::write(&path, settings).unwrap();
        let mut command = self.kubectl.command(env!("CARGO_BIN_EXE_schism"));
        command.arg("serve").arg("--config").arg(path);
        command
    }

    /// A controller that leads.
    fn leader(&self, name: &str) -> Running {
        let mut leader = self.controller(name);
        leader.says("agents dial");
        leader
    }

    pub(crate) fn reaches(&self, from: &str, to: usize) -> bool {
        web::reaches(self.kubectl, from, &self.addresses[to])
    }

    fn apply(&self, name: &str, spec: &Value) -> Result<String, String> {
        let object = object(name, spec).to_string();
        self.kubectl.apply(&object).map_err(|error| error.to_string())
    }

    fn get(&self, name: &str) -> Value {
        web::get(self.kubectl, "fault", name)
    }

    /// Waits until it acts.
    fn acts(&self, name: &str) {
        let line = format!("wait --for=condition=Active fault/{name} --timeout=60s");
        self.kubectl.run(&line).unwrap_or_else(|error| panic!("{error}: {:#}", self.get(name)));
    }

    pub(crate) fn plugin(&self, user: &Kubectl, line: &str) -> Running {
        self.site.plugin(user, line)
    }
}

/// A fault as an object.
fn object(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "schism.dev/v1alpha1", "kind": "Fault",
        "metadata": { "name": name, "namespace": SPACE }, "spec": spec,
    })
}

/// What FROM opens to TO is lost.
fn cut(total: &str, lease: &str) -> Value {
    json!({
        "cut": { "from": "pod/left", "to": "pod/right", "mode": "initiator" }, "for": total, "lease": lease,
    })
}

pub(crate) fn faults_are_objects_of_the_api_server(site: &Site) {
    let files = Directory::create("objects").unwrap();
    let space = site.space(SPACE);
    let estate = Estate::new(site, &space, files.path());
    let leader = estate.leader("first");

    what_makes_no_sense_is_refused_with_a_sentence(&estate);
    a_namespace_that_lets_nothing_in_is_left_alone(&estate);
    what_is_applied_acts_is_shown_and_healed_by_its_deletion(&estate);
    who_has_no_right_is_refused_by_whatever_way(&estate);
    an_experiment_cuts_by_objects_and_leaves_none(&estate);
    disruptions::by_objects_pods_go_and_nodes_are_cordoned(&estate);
    let leader = who_leads_next_puts_nothing_in_twice(&estate, leader);
    let leader = what_is_stripped_and_deleted_while_nobody_looks_is_healed(&estate, leader);
    an_api_server_that_is_away_prolongs_nothing(&estate, leader);
}

fn what_makes_no_sense_is_refused_with_a_sentence(estate: &Estate<'_>) {
    let cut = |fields: Value| {
        let mut cut = json!({ "from": "pod/left", "to": "pod/right" });
        cut.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({ "cut": cut })
    };
    let table = [
        (cut(json!({ "form": "pod/left" })), "unknown field \"spec.cut.form\""),
        (cut(json!({ "mode": "both" })), "supported values: \"packet\", \"initiator\""),
        (cut(json!({ "from": "k8s:other/pod/a" })), "whatever else there is takes a ClusterFault"),
        (cut(json!({ "loss": "a third" })), "a loss is a percentage such as 30% or 0.5%"),
        (json!({ "for": "30s" }), "a fault is exactly one of cut, skew, freeze, kill and stress"),
        (
            json!({ "freeze": { "target": "pod/left" }, "for": "soon" }),
            "a time is a number and a unit, such as 500ms, 30s, 1m30s or 2h",
        ),
        (json!({ "skew": { "target": "pod/left" } }), "a skew has an offset, a drift or a strobe"),
        (
            json!({ "kill": { "target": "pod/left" }, "for": "5s" }),
            "a kill has no time of its own: it is over once the processes have ended",
        ),
    ];
    for (spec, said) in table {
        let refused = estate.apply("wrong", &spec).unwrap_err();
        assert!(refused.contains(said), "{spec}: {refused}");
    }
    // By no annotation of `kubectl apply`, which would be too large as well.
    let mut large = object("large", &cut(json!({})));
    large["spec"]["cut"]["from"] = json!(format!("pod/{}", "a".repeat(1 << 20)));
    let file = estate.files.join("large.json");
    fs::write(&file, large.to_string()).unwrap();
    let line = ["create", "-f", file.to_str().unwrap()];
    let refused = estate.kubectl.run_with(&line).unwrap_err().to_string();
    assert!(refused.contains("spec.cut.from: Too long"), "{refused:.1000}");
}

fn a_namespace_that_lets_nothing_in_is_left_alone(estate: &Estate<'_>) {
    let spec = cut("30s", "15s");
    let refused = estate.apply("early", &spec).unwrap_err();
    let label = format!("label namespace {SPACE} schism.dev/faults=allowed");
    let said = format!(
        "namespace {SPACE} does not let faults in; whoever it belongs to may: kubectl {label}"
    );
    assert!(refused.contains(&said), "{refused}");
    estate.kubectl.run(&label).unwrap();
}

fn what_is_applied_acts_is_shown_and_healed_by_its_deletion(estate: &Estate<'_>) {
    let began = Instant::now();
    estate.apply("one", &cut("120s", "15s")).unwrap();
    estate.acts("one");
    tell!("applied and acting after {:.2} s", began.elapsed().as_secs_f64());
    assert!(!estate.reaches("left", 1));
    assert!(estate.reaches("right", 0));
    let shown = estate.kubectl.run("get faults").unwrap();
    let mut lines = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = ["NAME", "KIND", "FROM", "TO", "STATE", "UNTIL", "LOST", "AGE"];
    assert_eq!(lines.next().unwrap(), head, "{shown}");
    assert_eq!(
        lines.next().unwrap()[..5],
        ["one", "cut", "pod/left", "pod/right", "Active"],
        "{shown}"
    );
    let changed = estate.apply("one", &cut("600s", "15s")).unwrap_err();
    assert!(
        changed.contains("what a fault is cannot be changed: delete it, which heals it"),
        "{changed}"
    );
    until("its losses are told", || {
        estate.get("one")["status"]["lost"].as_u64().is_some_and(|lost| lost > 0)
    });
    let status = estate.get("one")["status"].clone();
    assert_eq!(status["directions"].as_array().unwrap().len(), 1, "{status:#}");
    assert_eq!(
        (&status["parts"]["nodes"], &status["intent"].is_string()),
        (&json!(2), &true),
        "{status:#}"
    );
    // It returns once it is healed.
    estate.kubectl.run("delete fault one --timeout=30s").unwrap();
    assert!(estate.reaches("left", 1));
    for pod in ["left", "right"] {
        for said in
            ["cut from pod/left to pod/right until ", "cut from pod/left to pod/right healed, "]
        {
            until("it is told to its pods", || {
                let all =
                    "get events --no-headers -o custom-columns=M:.message,O:.involvedObject.name";
                let all = estate.kubectl.run(all).unwrap();
                all.lines().any(|line| line.starts_with(said) && line.trim_end().ends_with(pod))
            });
        }
    }
}

/// One who may make faults, and has no right to any pod, until she is given it.
fn who_has_no_right_is_refused_by_whatever_way(estate: &Estate<'_>) {
    let kubectl = estate.kubectl;
    let jane = estate.cluster.kubectl_as("jane", "people").unwrap().within(SPACE).unwrap();
    kubectl
        .run("create role makers --verb=get,list,watch,create,delete --resource=faults.schism.dev")
        .unwrap();
    kubectl.run("create rolebinding makers --role=makers --user=jane").unwrap();
    let said = "jane may not inject faults into pods of namespace objects";
    let object = object("hers", &cut("30s", "15s"));
    let refused = jane.apply(&object.to_string()).unwrap_err().to_string();
    assert!(refused.contains(said), "{refused}");
    let line = format!("cut pod/left pod/right --mode initiator --for 5s -n {SPACE}");
    let refused = estate.plugin(&jane, &line).ended();
    assert!(refused.code == Some(4) && refused.said.contains(said), "{refused:?}");
    let elsewhere = format!("cut k8s:{SPACE}/pod/left host:n1 --for 5s");
    let refused = estate.plugin(&jane, &elsewhere).ended();
    assert_eq!(refused.code, Some(4), "{refused:?}");

    kubectl.run("create rolebinding hers --clusterrole=schism-inject --user=jane").unwrap();
    let mut other = object;
    other["spec"]["requestedBy"] = json!("kubernetes-admin");
    let refused = jane.apply(&other.to_string()).unwrap_err().to_string();
    assert!(
        refused.contains("requestedBy names kubernetes-admin, and it is jane who asks"),
        "{refused}"
    );

    let mut running = estate.plugin(&jane, &line);
    running.says("acts until");
    assert!(!estate.reaches("left", 1));
    let ended: Ended = running.ended();
    assert!(ended.code == Some(0) && ended.said.contains("expired"), "{ended:?}");
    // Nobody tries to get through: it has no effect.
    let quiet = format!("cut pod/left pod/right --port 9 --for 2s -n {SPACE}");
    let silent = estate.plugin(&jane, &quiet).ended();
    assert_eq!(silent.code, Some(3), "{silent:?}");
    // Ctrl-C deletes it, which heals it.
    let long = format!("cut pod/left pod/right --mode initiator --for 60s -n {SPACE}");
    let mut running = estate.plugin(&jane, &long);
    running.says("acts until");
    assert!(!estate.reaches("left", 1));
    running.interrupt();
    let ended = running.ended();
    assert!(ended.code == Some(130) && ended.said.contains("healed"), "{ended:?}");
    assert!(estate.reaches("left", 1));
    let wrong = estate.plugin(&jane, &format!("freeze pod/nobody --for 2s -n {SPACE}")).ended();
    assert!(wrong.code == Some(5) && wrong.said.contains("has no Pod nobody"), "{wrong:?}");
    let audit = fs::read_to_string(estate.files.join("first/archive/audit.jsonl")).unwrap();
    assert!(audit.contains(r#""who":"jane, by Fault objects/"#), "{audit}");
}

/// A run here, whose fault is an object, and whose probes are programs.
fn an_experiment_cuts_by_objects_and_leaves_none(estate: &Estate<'_>) {
    let ask = |from: &str, to: usize| {
        format!("kubectl exec {from} -- timeout 2 wget -q -O - {}", estate.addresses[to])
    };
    let probe = |name: &str, script: String| {
        json!({
            "type": "probe", "name": name, "tolerance": 0,
            "provider": { "type": "process", "path": "sh", "arguments": ["-c", script] },
        })
    };
    let cut = json!({
        "type": "action", "name": "cut",
        "provider": {
            "type": "schism", "action": "cut", "as": "the-cut",
            "arguments": { "from": "pod/left", "to": "pod/right", "mode": "initiator", "for": "60s" },
        },
    });
    let back = json!({
        "type": "action", "name": "back",
        "provider": { "type": "process", "path": "kubectl", "arguments": ["get", "pods"] },
    });
    let experiment = json!({
        "title": "left cannot call right", "description": "and right can call left",
        "method": [
            cut,
            probe("left is cut off", format!("! {}", ask("left", 1))),
            probe("right is not", ask("right", 0)),
        ],
        "rollbacks": [back],
    });
    let file = |name: &str| estate.files.join(name).display().to_string();
    fs::write(file("experiment.json"), experiment.to_string()).unwrap();
    let (experiment, journal) = (file("experiment.json"), file("journal.json"));
    let line =
        format!("run {experiment} --journal {journal} --summary {} -n {SPACE}", file("last"));
    let ended = estate.plugin(estate.kubectl, &line).ended();
    assert!(ended.code == Some(0), "{ended:?}");
    assert!(estate.reaches("left", 1));
    let left =
        estate.kubectl.run("get faults --no-headers -o custom-columns=N:.metadata.name").unwrap();
    assert!(left.lines().all(|name| !name.starts_with("run-")), "{left}");
    let last = fs::read_to_string(file("last")).unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    let run = &last["runs"][0];
    assert_eq!((&last["exit_code"], &run["status"]), (&json!(0), &json!("completed")), "{last:#}");
    assert_eq!(run["faults"]["the-cut"]["effect"], "yes", "{last:#}");
    assert!(run["faults"]["the-cut"]["lost"].as_u64().is_some_and(|lost| lost > 0), "{last:#}");
    assert_eq!(run["rollbacks"]["succeeded"], 1, "{last:#}");
    assert_eq!(run["owed"], json!({ "rollbacks": [], "faults": [] }), "{last:#}");
}

fn who_leads_next_puts_nothing_in_twice(estate: &Estate<'_>, leader: Running) -> Running {
    estate.apply("two", &cut("120s", "30s")).unwrap();
    estate.acts("two");
    let before = estate.get("two")["status"].clone();
    let mut next = estate.controller("second");
    next.says("waits for its turn");
    leader.crash();
    next.says("agents dial");
    let socket = format!("--controller unix:{}/second.sock", estate.files.display());
    let status = |line: &str| {
        let mut command = estate.kubectl.command(env!("CARGO_BIN_EXE_schism"));
        command.args(line.split_whitespace()).args(socket.split(' '));
        Running::start(command).ended()
    };
    let got_through = estate.reaches("left", 1);
    assert!(
        !got_through,
        "{:#}\n{:?}",
        estate.get("two")["status"],
        status("status --all -o json")
    );
    until("the agents are back", || {
        status("agents").said.lines().filter(|line| line.contains(" up ")).count() == 2
    });
    let shown = status("status -o json");
    let intents = shown.document()["intents"].as_array().unwrap().len();
    assert_eq!(intents, 1, "{shown:?}");
    let after = estate.get("two")["status"].clone();
    for same in ["intent", "startedAt", "phase"] {
        assert_eq!(after[same], before[same], "{before:#} {after:#}");
    }
    estate.kubectl.run("delete fault two --timeout=60s").unwrap();
    until("it is healed", || estate.reaches("left", 1));
    next
}

fn what_is_stripped_and_deleted_while_nobody_looks_is_healed(
    estate: &Estate<'_>,
    leader: Running,
) -> Running {
    estate.apply("three", &cut("10m", "5m")).unwrap();
    estate.acts("three");
    leader.crash();
    let strip = r#"{"metadata":{"finalizers":null}}"#;
    estate.kubectl.run_with(&["patch", "fault", "three", "--type=merge", "-p", strip]).unwrap();
    estate.kubectl.run("delete fault three --grace-period=0 --force --timeout=20s").unwrap();
    assert!(!estate.reaches("left", 1), "its lease lasts for minutes");
    let began = Instant::now();
    let next = estate.leader("third");
    until("it is healed", || estate.reaches("left", 1));
    assert!(began.elapsed() < Duration::from_secs(60));
    next
}

/// Nobody can be asked by way of the API server meanwhile.
fn an_api_server_that_is_away_prolongs_nothing(estate: &Estate<'_>, leader: Running) {
    let node = &estate.cluster.nodes()[0];
    let container = web::container(estate.kubectl, "left");
    let reaches = || {
        let line = [
            "-n",
            "k8s.io",
            "tasks",
            "exec",
            "--exec-id",
            "probe",
            &container,
            "timeout",
            "2",
            "wget",
        ];
        let line = [line.as_slice(), &["-q", "-O", "-", &estate.addresses[1]]].concat();
        node.run("ctr", &line).is_ok()
    };
    estate.apply("four", &cut("20s", "15s")).unwrap();
    estate.acts("four");
    assert!(!reaches());
    let began = Instant::now();
    estate.cluster.suspend_api_server().unwrap();
    until("it has ended", reaches);
    let ended = began.elapsed();
    tell!("it ended {:.1} s after the API server went away", ended.as_secs_f64());
    assert!(ended < Duration::from_secs(24), "its deadline was 20 s");
    thread::sleep(AWAY.saturating_sub(began.elapsed()));
    estate.cluster.resume_api_server().unwrap();
    // Who could not renew its lead has ended; a kubelet starts it again.
    let lost = leader.ended();
    assert!(lost.said.contains("another controller may lead by now"), "{lost:?}");
    let _next = estate.leader("fourth");
    until("its end is told, and nothing holds it", || {
        let four = estate.get("four");
        let phase = four["status"]["phase"].as_str().unwrap().to_owned();
        ["Expired", "Failed", "Healed"].contains(&phase.as_str())
            && four["metadata"]["finalizers"].is_null()
    });
}

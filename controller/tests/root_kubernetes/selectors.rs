//! Pods by their names, through controllers beside the control plane that agents reach by their tokens.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use lab::{directory::Directory, kubernetes::Kubectl, process::Process, topology::Family};
use serde_json::json;

use crate::{
    agents::{self, NAMESPACE},
    clocks, disruptions,
    harness::tell,
    running::{Ended, Running, until},
    seats,
    site::{Site, are_up},
    tokens, web,
};

/// Where agents dial.
const PORT: u16 = 7070;

const SCHISM: &str = env!("CARGO_BIN_EXE_schism");

/// The namespace of the pods.
pub(crate) const SPACE: &str = "names";

pub(crate) fn pods_are_cut_by_their_names_and_a_cut_outlives_the_controller_that_leads(
    site: &Site,
) {
    let [here, there] = site.nodes();
    let space = site.space(SPACE);
    let kubectl = &space.kubectl;
    kubectl.run(&format!("create namespace {NAMESPACE}")).unwrap();
    let definition = controller::store::definition().to_string();
    kubectl.apply(&definition).unwrap();
    kubectl.run("wait --for=condition=Established crd/records.schism.dev --timeout=60s").unwrap();
    kubectl.apply(&clocks::pod("left", here).to_string()).unwrap();
    for (name, node) in [("near", here), ("right", there)] {
        kubectl.apply(&web::pod(name, node)).unwrap();
    }
    let directory = Directory::create("controllers").unwrap();
    let office = Office { kubectl, directory: directory.path() };
    let first = office.start("first");
    let lab = site.cluster();
    let hub = lab.topology().hub_node().unwrap().address(Family::V4);
    agents::start_for(site, &format!("{hub}:{PORT}"));
    let ready = "wait --for=condition=Ready pod/left pod/near pod/right --timeout=120s";
    kubectl.run(ready).unwrap();
    until("both agents have come", || office.has_both("first", [here, there]));

    what_cannot_be_meant_is_refused(&office);
    let ending = tokens::are_good_for_their_pod_alone(lab, PORT);
    pods_are_cut_by_name_and_by_label(&office);
    one_container_has_another_time(&office);
    ending.has_come();
    seats::a_pod_is_cut_from_a_service_whichever_way_it_is_reached(&office);
    seats::a_pod_that_is_made_anew_is_cut_again(&office, there);
    disruptions::pods_go_and_others_come(&office, there);
    disruptions::a_node_is_cordoned_and_drained_for_a_while(&office, there);
    let agents = [here, there].map(|node| agents::of(kubectl, node));
    the_next_one_leads_a_cut_to_its_end(&office, first, [here, there], &agents);
}

fn what_cannot_be_meant_is_refused(office: &Office<'_>) {
    let nowhere = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "nowhere" },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": "nowhere" },
            "containers": [{ "name": "idle", "image": "none" }],
        },
    });
    office.kubectl.apply(&nowhere.to_string()).unwrap();
    let mut wrong = Vec::new();
    for (selector, code, said) in [
        ("k8s:names/pod/lefd", 5, "did you mean left?"),
        ("k8s:naems/pod/left", 5, "did you mean names?"),
        ("k8s:names/pod/left/wep", 5, "has no container wep"),
        ("k8s:names/pod/nowhere", 4, "it is pending"),
        ("k8s:kube-system/label:app", 4, "the cluster's own"),
        ("k8s:schism/label:app", 4, "a part of Schism itself"),
        ("k8s:names/label:web", 2, "names 3 targets"),
        ("4:k8s:names/label:web", 5, "more than the 3 that there are"),
        ("k8s:names/label:nobody", 5, "names nothing"),
    ] {
        let refused = office.ask("first", &format!("cut {selector} addr:192.0.2.1 --for 5s"));
        if refused.code != Some(code) || !refused.said.contains(said) {
            wrong.push((selector, code, said, refused));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    office.kubectl.run("delete pod nowhere --wait=true --timeout=60s").unwrap();
    // The same seed picks the same ones, and nothing is touched.
    let pick = || {
        let line = format!("targets one:k8s:{SPACE}/label:web -o name");
        let found = office.ask("first", &line);
        assert_eq!(found.code, Some(0), "{found:?}");
        found.said
    };
    assert_eq!(pick(), pick());
}

fn pods_are_cut_by_name_and_by_label(office: &Office<'_>) {
    // On two nodes, one by its name and the other one by its labels.
    let left = pod("left");
    let long = "--mode initiator --for 120s --detach";
    office.done("first", &format!("cut {left} k8s:{SPACE}/label:web=right {long}"));
    let reached = office.reach([("left", "right"), ("right", "left"), ("near", "right")]);
    assert_eq!(reached, [[false; 2], [true; 2], [true; 2]]);
    office.done("first", "heal --all");
    assert_eq!(office.reach([("left", "right")]), [[true; 2]]);
    // On one node.
    office.done("first", &format!("cut k8s:{SPACE}/label:web=near {left} {long}"));
    let reached = office.reach([("near", "left"), ("left", "near"), ("near", "right")]);
    assert_eq!(reached, [[false; 2], [true; 2], [true; 2]]);
    office.done("first", "heal --all");
    assert_eq!(office.reach([("near", "left")]), [[true; 2]]);
}

fn one_container_has_another_time(office: &Office<'_>) {
    office.done("first", &format!("skew {}/clock +1h --for 120s --detach", pod("left")));
    clocks::are_off(office.kubectl, "left", "clock", 3_600);
    clocks::are_off(office.kubectl, "left", "sibling", 0);
    office.done("first", "heal --all");
    clocks::are_off(office.kubectl, "left", "clock", 0);
}

/// How long the cut lasts that outlives a controller: the next one leads after some eight seconds.
const DEADLINE: Duration = Duration::from_secs(30);

fn the_next_one_leads_a_cut_to_its_end(
    office: &Office<'_>,
    first: Process,
    nodes: [&str; 2],
    agents: &[String; 2],
) {
    let second = office.start_waiting("second");
    until("the second waits", || office.log("second").contains("waits for its turn"));
    let put_in = || agents.each_ref().map(|agent| agents::put_in(office.kubectl, agent));
    let before = put_in();
    let asked = Instant::now();
    let (left, right, seconds) = (pod("left"), pod("right"), DEADLINE.as_secs());
    let cut = format!("cut {left} {right} --mode initiator --for {seconds}s --detach");
    office.done("first", &cut);
    assert_eq!(office.reach([("left", "right")]), [[false; 2]]);
    assert_eq!(put_in(), before.map(|count| count + 1), "at either end once");

    assert!(!office.socket("second").exists(), "it serves without its turn");
    first.kill().unwrap();
    let killed = Instant::now();
    until("the second leads", || office.socket("second").exists());
    tell!("the next one led after {:.1} s", killed.elapsed().as_secs_f64());
    until("both agents have found it", || office.has_both("second", nodes));
    tell!("both agents had found it after {:.1} s", killed.elapsed().as_secs_f64());
    let status = office.ask("second", "status -o json");
    assert!(status.said.contains("\"active\""), "{status:?}");
    let reached = office.reach([("left", "right"), ("right", "left")]);
    assert_eq!(reached, [[false; 2], [true; 2]]);

    until("the cut ends", || office.reach([("left", "right")]) == [[true; 2]]);
    let lasted = asked.elapsed();
    assert!(lasted >= DEADLINE, "it ended after {lasted:?}");
    until("it is over", || {
        let status = office.ask("second", "status -o json");
        status.code == Some(0) && !status.said.contains("\"active\"")
    });
    assert_eq!(put_in(), before.map(|count| count + 1), "nothing was put in again");
    drop(second);
}

/// Controllers in the control plane's network, each with files of its own.
pub(crate) struct Office<'a> {
    pub(crate) kubectl: &'a Kubectl,
    directory: &'a Path,
}

impl Office<'_> {
    fn socket(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.sock"))
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join(format!("{name}.log"))).unwrap()
    }

    /// Starts one, and waits until it leads.
    fn start(&self, name: &str) -> Process {
        let process = self.start_waiting(name);
        until(&format!("the {name} controller serves"), || self.socket(name).exists());
        process
    }

    fn start_waiting(&self, name: &str) -> Process {
        let settings = self.directory.join("schism.toml");
        std::fs::write(&settings, format!("[kubernetes]\nnamespace = '{NAMESPACE}'\n")).unwrap();
        let mut command = self.kubectl.command(SCHISM);
        let kubeconfig = command.get_envs().find(|(name, _)| *name == "KUBECONFIG").unwrap();
        let kubeconfig = kubeconfig.1.unwrap().to_owned();
        command.arg("serve").arg("--config").arg(&settings);
        command.arg("--kubernetes").arg(kubeconfig);
        command.args(["--agents-by-token", "--store-in-cluster"]);
        command.arg("--state").arg(self.directory.join(name));
        command.arg("--socket").arg(self.socket(name));
        command.arg("--listen-agents").arg(format!("0.0.0.0:{PORT}"));
        let log = std::fs::File::create(self.directory.join(format!("{name}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Process::start(&mut command).unwrap()
    }

    pub(crate) fn ask(&self, name: &str, line: &str) -> Ended {
        let mut command = Command::new(SCHISM);
        command.args(line.split_whitespace());
        command.arg("--controller").arg(format!("unix:{}", self.socket(name).display()));
        Running::start(command).ended()
    }

    /// Something that must succeed.
    pub(crate) fn done(&self, name: &str, line: &str) {
        let ended = self.ask(name, line);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    fn has_both(&self, name: &str, nodes: [&str; 2]) -> bool {
        are_up(&self.ask(name, "agents").said, nodes)
    }

    /// Whether pods reach others, in both families each.
    pub(crate) fn reach<const N: usize>(&self, pairs: [(&str, &str); N]) -> [[bool; 2]; N] {
        web::reach(self.kubectl, pairs)
    }
}

/// A pod as commands name it.
pub(crate) fn pod(name: &str) -> String {
    format!("k8s:{SPACE}/pod/{name}")
}

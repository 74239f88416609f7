//! The cluster that cases share, and what of Schism is in it.

use std::{cell::Cell, os::unix::fs::symlink, process::Command, time::Instant};

use lab::{
    directory::Directory,
    kubernetes::{Cluster, Kubectl, Node},
};
use serde_json::{Value, json};

use crate::{
    agents::{self, NAMESPACE},
    harness::{Next, tell},
    running::{Ended, Running, until},
    web,
};

/// The command line, by the name by which it was built.
const SCHISM: &str = env!("CARGO_BIN_EXE_schism");

/// Namespaces that every cluster has.
const OF_EVERY_CLUSTER: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// What cases may have put into the namespace `default`.
const OF_CASES: &str = "statefulsets,deployments,daemonsets,jobs,pods,services,configmaps,roles,\
                        rolebindings,poddisruptionbudgets";

/// A cluster of two nodes.
pub(crate) struct Site {
    cluster: Cluster,
    manifest: Vec<Value>,
    /// Where `kubectl-schism` is.
    plugin: Directory,
    is_supplied: Cell<bool>,
    is_installed: Cell<bool>,
}

/// A namespace of a case, which is deleted after it.
pub(crate) struct Space {
    /// What it is called.
    pub(crate) name: String,
    /// `kubectl`, which means this namespace.
    pub(crate) kubectl: Kubectl,
}

impl Site {
    pub(crate) fn start() -> Self {
        let began = Instant::now();
        let cluster = Cluster::start(2).unwrap();
        tell!("two nodes were ready after {:.1} s", began.elapsed().as_secs_f64());
        let plugin = Directory::create("plugin").unwrap();
        symlink(SCHISM, plugin.path().join("kubectl-schism")).unwrap();
        let (is_supplied, is_installed) = (Cell::new(false), Cell::new(false));
        Self { cluster, manifest: agents::manifest(), plugin, is_supplied, is_installed }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// `kubectl` as the administrator.
    pub(crate) fn kubectl(&self) -> &Kubectl {
        self.cluster.kubectl()
    }

    /// The names of both nodes.
    pub(crate) fn nodes(&self) -> [&str; 2] {
        [0, 1].map(|number| self.cluster.nodes()[number].name())
    }

    /// A node by its name.
    pub(crate) fn node(&self, name: &str) -> &Node {
        self.cluster.nodes().iter().find(|node| node.name() == name).unwrap()
    }

    /// All objects that `schism install` prints.
    pub(crate) fn manifest(&self) -> &[Value] {
        &self.manifest
    }

    /// The command line as it is found by `kubectl`, for a user.
    pub(crate) fn plugin(&self, user: &Kubectl, line: &str) -> Running {
        let mut command = user.command(self.plugin.path().join("kubectl-schism"));
        command.args(line.split_whitespace());
        Running::start(command)
    }

    /// Makes a namespace in which pods can be.
    pub(crate) fn space(&self, name: &str) -> Space {
        self.kubectl().run(&format!("create namespace {name}")).unwrap();
        let account = format!("-n {name} wait --for=create serviceaccount/default --timeout=60s");
        self.kubectl().run(&account).unwrap();
        Space { name: name.to_owned(), kubectl: self.kubectl().within(name).unwrap() }
    }

    /// Has the nodes know the images that the manifest names; they do not forget them.
    pub(crate) fn supply(&self) {
        if !self.is_supplied.replace(true) {
            agents::supply(&self.cluster);
        }
    }

    /// Installs everything, if it is not there, and waits until it is connected.
    pub(crate) fn install(&self) {
        if self.is_installed.replace(true) {
            return;
        }
        self.supply();
        let began = Instant::now();
        agents::apply(self.kubectl(), &self.manifest);
        until("a controller leads", || !self.leader().is_empty());
        until("both agents have come", || self.has_both());
        tell!("installed and connected after {:.1} s", began.elapsed().as_secs_f64());
        self.controllers_are_ready();
    }

    pub(crate) fn controllers_are_ready(&self) {
        let ready = format!("-n {NAMESPACE} wait --for=condition=Ready --timeout=60s pod");
        let ready = format!("{ready} -l app.kubernetes.io/component=controller");
        self.kubectl().run(&ready).unwrap();
    }

    /// Has objects of these kinds be as a manifest has them that allows captures.
    pub(crate) fn upgrade(&self, kinds: &[&str]) {
        let mut objects = agents::manifest_with_captures();
        objects.retain(|object| kinds.iter().any(|kind| object["kind"] == **kind));
        let deployments = objects.iter_mut().filter(|object| object["kind"] == "Deployment");
        // Nobody keeps for long here what the names' server says.
        deployments.for_each(|object| object["spec"]["minReadySeconds"] = json!(3));
        agents::apply(self.kubectl(), &objects);
    }

    /// Has agents and controllers allow captures, if they do not yet, and waits until whoever leads does.
    pub(crate) fn allow_captures(&self) {
        self.upgrade(&["ConfigMap", "Deployment", "DaemonSet"]);
        for what in ["deployment/schism-controller", "daemonset/schism-agent"] {
            agents::rolled_out(self.kubectl(), what);
        }
        let settings = |kind: &str, name: &str| {
            let line = format!("-n {NAMESPACE} get {kind} {name} -o json --ignore-not-found");
            let found = self.kubectl().run(&line).unwrap();
            let mut found: Value = serde_json::from_str(&found).unwrap_or_default();
            let pod = if kind == "pod" { "" } else { "/spec/template" };
            found
                .pointer_mut(&format!("{pod}/metadata/annotations/schism.dev~1settings"))
                .map(Value::take)
        };
        let own = settings("deployment", "schism-controller");
        assert!(own.is_some(), "settings are told by an annotation");
        until("a controller leads that has the new settings", || {
            let leader = self.leader();
            !leader.is_empty() && settings("pod", &leader) == own
        });
        until("both agents have come", || self.has_both());
    }

    /// Takes everything away that `schism install` prints, if it is there.
    pub(crate) fn uninstall(&self) {
        if self.is_installed.replace(false) {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": self.manifest });
            self.kubectl().delete(&list.to_string()).unwrap();
        }
    }

    /// Takes away what a case has left, and all of Schism.
    pub(crate) fn clear(&self, next: Next) {
        let began = Instant::now();
        // Pods first: a namespace in which some are on their way out takes longer.
        let pods = "delete daemonsets,deployments --all --ignore-not-found --cascade=foreground";
        self.kubectl().run(&format!("-n {NAMESPACE} {pods} --timeout=60s")).unwrap();
        if next == Next::Another {
            self.is_installed.set(true);
            self.uninstall();
            self.tidy();
        }
        self.is_clean();
        tell!("cleared in {:.1} s", began.elapsed().as_secs_f64());
    }

    /// Takes away what a case has left, and makes sure that what is installed is as it was.
    pub(crate) fn sweep(&self, next: Next) {
        if self.is_installed.get() {
            until("a controller leads", || !self.leader().is_empty());
            self.ask("heal --all");
            until("nothing acts", || self.acts() == Some(0));
            until("both agents are there", || self.has_both());
        }
        if next == Next::Another {
            self.tidy();
        }
    }

    /// Waits until nothing is left behind on any node.
    pub(crate) fn is_clean(&self) {
        self.cluster.nodes().iter().for_each(is_clean);
    }

    /// Says how things are, for whoever looks for why a case has failed.
    pub(crate) fn tell(&self) {
        let logs = "logs -l app.kubernetes.io/part-of=schism --tail=30 --prefix";
        for line in ["get pods -A -o wide", &format!("-n {NAMESPACE} {logs}")] {
            match self.kubectl().run(&format!("{line} --request-timeout=5s")) {
                Ok(said) => eprintln!("{said}"),
                Err(error) => eprintln!("{error}"),
            }
        }
        eprintln!("{}", self.cluster.last_words());
    }

    /// Takes away namespaces of cases, and what they have left elsewhere.
    fn tidy(&self) {
        let all = self.kubectl().run("get namespaces -o name").unwrap();
        let names = all.lines().filter_map(|line| line.strip_prefix("namespace/"));
        let own = |name: &&str| {
            let stays = self.is_installed.get() && *name == NAMESPACE;
            !stays && !OF_EVERY_CLUSTER.contains(name)
        };
        let names: Vec<&str> = names.filter(own).collect();
        if !names.is_empty() {
            // Their pods go while the next one begins: it has others.
            let delete = ["delete", "namespace", "--wait=false", "--ignore-not-found"];
            let line = [delete.as_slice(), names.as_slice()].concat();
            self.kubectl().run_with(&line).unwrap();
        }
        // All but the API server's own service.
        let line = format!("delete {OF_CASES} -l component!=apiserver --grace-period=0 --force");
        let own = "--field-selector=metadata.name!=kube-root-ca.crt";
        self.kubectl().run(&format!("{line} {own} --timeout=60s")).unwrap();
        self.kubectl().run("label namespace default schism.dev/faults-").unwrap();
        self.kubectl().run("wait --for=condition=Ready nodes --all --timeout=60s").unwrap();
    }

    /// The pod of the controller that leads, as the Lease has it; empty where nobody does.
    pub(crate) fn leader(&self) -> String {
        agents::leader(self.kubectl())
    }

    /// A command beside the controller that leads, to its end.
    pub(crate) fn ask(&self, line: &str) -> Ended {
        Running::beside(self.kubectl(), &self.leader(), line).ended()
    }

    /// Something that must succeed.
    pub(crate) fn done(&self, line: &str) -> Ended {
        let ended = self.ask(line);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    /// How many intents have not ended; `None` where nobody says.
    pub(crate) fn acts(&self) -> Option<usize> {
        let status = self.ask("status -o json");
        status.code.filter(|code| *code == 0)?;
        Some(status.document()["intents"].as_array().map_or(0, Vec::len))
    }

    /// Whether the agents of both nodes are connected.
    pub(crate) fn has_both(&self) -> bool {
        are_up(&self.ask("agents").said, self.nodes())
    }

    /// Waits until another one leads than `before`, and both agents have found it; says how long that took.
    pub(crate) fn is_succeeded(&self, before: &str, began: Instant) {
        until("another one leads", || {
            let leader = self.leader();
            !leader.is_empty() && leader != before
        });
        let led = began.elapsed();
        until("both agents have found it", || self.has_both());
        let found = began.elapsed();
        tell!(
            "led anew after {:.1} s, found after {:.1} s",
            led.as_secs_f64(),
            found.as_secs_f64()
        );
    }
}

impl Space {
    /// Puts a web server on each of some nodes, by these names, and waits until they answer.
    pub(crate) fn serve(&self, pods: [(&str, &str); 2]) {
        for (name, node) in pods {
            self.kubectl.apply(&web::pod(name, node)).unwrap();
        }
        let [(one, _), (other, _)] = pods;
        let ready = format!("wait --for=condition=Ready pod/{one} pod/{other} --timeout=60s");
        self.kubectl.run(&ready).unwrap();
    }

    /// A pod of it as commands name it.
    pub(crate) fn pod(&self, name: &str) -> String {
        format!("k8s:{}/pod/{name}", self.name)
    }

    /// Lets faults in that are objects.
    pub(crate) fn lets_faults_in(&self) {
        let line = format!("label namespace {} schism.dev/faults=allowed", self.name);
        self.kubectl.run(&line).unwrap();
    }

    /// Whether pods reach others, in both families each.
    pub(crate) fn reach<const N: usize>(&self, pairs: [(&str, &str); N]) -> [[bool; 2]; N] {
        web::reach(&self.kubectl, pairs)
    }

    /// Has a pod ask another one from now on.
    pub(crate) fn ask_on(&self, from: &str, to: &str) -> Running {
        web::ask_on(&self.kubectl, from, self.addresses(to)[0])
    }

    /// Has it stop: what it says of that.
    pub(crate) fn told(&self, from: &str, asking: Running) -> Ended {
        web::told(&self.kubectl, from, asking)
    }

    /// The addresses of a pod.
    pub(crate) fn addresses(&self, pod: &str) -> [std::net::IpAddr; 2] {
        web::addresses(&self.kubectl, pod)
    }
}

/// Waits until nothing is left behind on a node. It is looked for from outside of it: all nodes have one kernel, and who
/// holds what in it is seen from there alone.
pub(crate) fn is_clean(node: &Node) {
    let socket = node.path("run/schism/agent.sock");
    until("nothing is left behind", || {
        let mut residue = Command::new(SCHISM);
        let output = residue.arg("residue").arg("--agent-socket").arg(&socket).output().unwrap();
        output.status.success()
    });
}

/// Whether the agents of nodes are connected, by what `schism agents` says.
pub(crate) fn are_up(said: &str, nodes: [&str; 2]) -> bool {
    let is_up =
        |node: &str| said.lines().any(|line| line.starts_with(node) && line.contains(" up "));
    nodes.into_iter().all(is_up)
}

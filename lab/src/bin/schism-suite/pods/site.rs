//! A Kubernetes cluster of two nodes with what `schism install` prints, and a Zeebe.

use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::directory::Directory;
use lab::kubernetes::{self, Cluster, Kubectl};
use lab::zeebe::{self, GATEWAY_PORT, Java, MANAGEMENT_PORT, Options};

use crate::scene::{Ended, perform};
use crate::zeebe::{MODELS, VARIABLE};

/// Where Zeebe is, as the experiments have it.
const NAMESPACE: &str = "camunda";

/// Where the product is.
const PRODUCT: &str = "schism";

/// Zeebe's image.
const IMAGE: &str = "schism.invalid/zeebe:1";

/// How many nodes there are.
const NODES: usize = 2;

/// How long a controller may take to lead, and agents to find it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(200);

/// All of it. Goes away with its handle.
pub(super) struct Site {
    cluster: Cluster,
    binaries: PathBuf,
    /// With the settings of the command line, and the plugin of `kubectl`.
    files: Directory,
    /// The brokers' pods, and where they are.
    brokers: Vec<(String, IpAddr)>,
}

impl Site {
    /// Sets everything up, and waits until all partitions make instances.
    pub(super) fn open() -> Result<Self> {
        let own = std::env::current_exe().context("where is this program?")?;
        let binaries = own.parent().context("a program without a place")?.to_owned();
        // Before minutes are spent.
        let (java, image) = (Java::find()?, zeebe::image(IMAGE)?);
        let product = kubernetes::product(&binaries)?;
        let began = Instant::now();
        let told = |what: &str| eprintln!("{what} after {:.1} s", began.elapsed().as_secs_f64());
        let cluster = Cluster::start(NODES)?;
        told("two nodes are ready");
        cluster.supply(&product)?;
        let install =
            Command::new(binaries.join("schism")).args(["install", "-o", "json"]).output()?;
        ensure!(install.status.success(), "schism install: {install:?}");
        let kubectl = cluster.kubectl();
        kubectl.apply(&String::from_utf8(install.stdout)?)?;
        cluster.supply(&[image])?;
        told("the image of Zeebe is there");
        let options = Options::default();
        kubectl.apply(&zeebe::objects(NAMESPACE, IMAGE, &java, options).to_string())?;
        for what in ["statefulset/zeebe", "deployment/zeebe-gateway"] {
            let line = format!("-n {NAMESPACE} rollout status {what} --timeout=600s");
            kubectl.run(&line).with_context(|| said_by_pods(kubectl))?;
        }
        await_agents(kubectl)?;
        told("its pods and all agents are ready");

        let brokers = zeebe::broker_pods(options).into_iter().map(|pod| {
            let address = address(kubectl, &pod)?;
            Ok((pod, address))
        });
        let brokers = brokers.collect::<Result<Vec<_>>>()?;
        let files = Directory::create("pods")?;
        symlink(binaries.join("schism"), files.path().join("kubectl-schism"))?;
        let gateway = address(kubectl, "-l app.kubernetes.io/component=zeebe-gateway")?;
        let managed: Vec<String> =
            brokers.iter().map(|(_, at)| format!("\"http://{at}:{MANAGEMENT_PORT}\"")).collect();
        let settings = format!(
            "[zeebe]\ngateways = [\"http://{gateway}:{GATEWAY_PORT}\"]\nbrokers = [{}]\n",
            managed.join(", ")
        );
        std::fs::write(files.path().join("schism.toml"), settings)?;
        let site = Self { cluster, binaries, files, brokers };
        site.calm()?;
        let model = format!("{}/idle.bpmn", models());
        site.zeebe(&["deploy", "process", &model])?;
        told("Zeebe is ready");
        Ok(site)
    }

    /// Waits until all is healthy, and each partition is led by whom it is to be led by.
    pub(super) fn calm(&self) -> Result<()> {
        self.zeebe(&["verify", "readiness", "--timeout", "300s"])?;
        self.zeebe(&["rebalance"])?;
        self.zeebe(&["verify", "leadership", "--timeout", "120s"])
    }

    /// Runs an experiment as somebody outside of the cluster would who reaches its pods.
    pub(super) fn run(&self, file: &Path, values: &[(&str, String)]) -> Result<Ended> {
        let directory = Directory::create("experiment")?;
        perform(self.schism(), file, values, directory.path())
    }

    /// What pods and components said last.
    pub(super) fn last_words(&self) -> String {
        format!("{}\n{}", said_by_pods(self.cluster.kubectl()), self.cluster.last_words())
    }

    /// `schism` with the settings, which finds all programs that the steps of experiments name.
    fn schism(&self) -> Command {
        let mut command = self.cluster.kubectl().command(self.binaries.join("schism"));
        let before =
            command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
        let before = before.map(ToOwned::to_owned).unwrap_or_default();
        let own = [self.files.path().to_owned(), self.binaries.clone()];
        if let Ok(path) =
            std::env::join_paths(own.into_iter().chain(std::env::split_paths(&before)))
        {
            command.env("PATH", path);
        }
        let member = |(pod, at): &(String, IpAddr)| format!("{pod}={at}");
        let brokers: Vec<String> = self.brokers.iter().map(member).collect();
        command.env("SCHISM_CONFIG", self.files.path().join("schism.toml"));
        command.env(VARIABLE, brokers.join(",")).env(MODELS, models());
        command
    }

    /// Something that Zeebe has to do.
    fn zeebe(&self, words: &[&str]) -> Result<()> {
        let mut command = self.schism();
        let output = command.arg("zeebe").args(words).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "schism zeebe {}: {said}", words.join(" "));
        Ok(())
    }
}

/// Where processes are that experiments deploy.
fn models() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/zeebe/models").to_owned()
}

/// The address of a pod, by its name or by what selects it.
fn address(kubectl: &Kubectl, which: &str) -> Result<IpAddr> {
    let line =
        format!("-n {NAMESPACE} get pods {which} -o custom-columns=IP:.status.podIP --no-headers");
    let said = kubectl.run(&line)?;
    said.trim().parse().with_context(|| format!("{which}: {said}"))
}

/// Waits until a controller leads, to which all agents are connected.
fn await_agents(kubectl: &Kubectl) -> Result<()> {
    let began = Instant::now();
    loop {
        let why = match connected(kubectl) {
            Ok(NODES) => return Ok(()),
            Ok(count) => format!("{count} of {NODES} agents have come"),
            Err(error) => format!("{error:#}"),
        };
        if began.elapsed() > PATIENCE {
            bail!("not within {PATIENCE:?}: {why}");
        }
        // What is looked at makes no event here.
        std::thread::sleep(LOOK);
    }
}

/// How many agents are connected to the controller that leads.
fn connected(kubectl: &Kubectl) -> Result<usize> {
    let line = ["-n", PRODUCT, "get", "lease", "schism-controller", "-o"];
    let holder = [line.as_slice(), &["jsonpath={.spec.holderIdentity}"]].concat();
    let holder = kubectl.run_with(&holder)?;
    let (pod, _) = holder.rsplit_once('_').context("nobody leads")?;
    let agents = kubectl.run(&format!("-n {PRODUCT} exec {pod} -- schism agents"))?;
    Ok(agents.lines().filter(|line| line.contains(" up ")).count())
}

/// How pods are, and the end of what they said, as far as it is told.
fn said_by_pods(kubectl: &Kubectl) -> String {
    let ask = |line: &str| kubectl.run(line).unwrap_or_else(|error| error.to_string());
    let logs = |namespace: &str, of: &str| {
        ask(&format!("-n {namespace} logs -l {of} --tail=12 --prefix --all-containers"))
    };
    [
        ask("get pods -A -o wide"),
        ask(&format!("-n {NAMESPACE} get events")),
        logs(NAMESPACE, "app.kubernetes.io/name=zeebe"),
        logs(PRODUCT, "app.kubernetes.io/component=controller"),
    ]
    .join("\n")
}

//! An installation in a cluster, as `schism install` prints it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use image::product;
use lab::kubernetes::{BUSYBOX, Cluster, Image, Kubectl, Node};
use serde_json::{Value, json};

use crate::footprint::{self, USER_HZ};
use crate::node::sibling;

/// Where it is installed.
pub(super) const NAMESPACE: &str = "schism";

/// How long anything may take to be as it is to be.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks; what is looked at makes no event here.
const PACE: Duration = Duration::from_millis(100);

/// Certificates of authorities, of the machine that measures.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A cluster with an installation, and two pods on two nodes.
pub(super) struct Site {
    pub(super) cluster: Cluster,
    plugin: PathBuf,
    pub(super) files: PathBuf,
}

/// A program of the installation, where it runs.
pub(super) struct Process<'a> {
    node: &'a Node,
    pid: String,
}

/// What a controller has counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    /// Faults that were put in.
    pub(super) applied: f64,
    /// Those of them that acted within 50 ms.
    pub(super) applied_in_50_ms: f64,
    /// How long all took, s.
    pub(super) applying: f64,
    /// Requests to the API server.
    pub(super) requests: f64,
    /// Those of them that only read.
    pub(super) reads: f64,
    /// Agents that are connected.
    pub(super) agents: f64,
}

/// The product's images, of static programs.
pub(super) fn images(programs: &Path) -> Result<Vec<(Image, &'static str)>> {
    let (agent, controller) = (programs.join("schism-agent"), programs.join("schism"));
    for program in [&agent, &controller] {
        ensure!(
            program.is_file(),
            "{} is not built: `cargo xtask image` does it",
            program.display()
        );
    }
    let tag = env!("CARGO_PKG_VERSION");
    Ok(vec![
        (product::agent(&agent, tag), "agent"),
        (product::controller(&controller, Path::new(CERTIFICATES), tag), "controller"),
    ])
}

/// Waits for something.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if began.elapsed() > PATIENCE => bail!("{what}: not within {PATIENCE:?}"),
            Err(error) if began.elapsed() > PATIENCE => return Err(error.context(what.to_owned())),
            Ok(None) | Err(_) => std::thread::sleep(PACE),
        }
    }
}

impl Site {
    /// Starts a cluster of two nodes, installs, and waits until both agents have come.
    pub(super) fn open(programs: &Path, files: &Path) -> Result<Self> {
        let cluster = Cluster::start(2)?;
        let images: Vec<Image> = images(programs)?.into_iter().map(|(image, _)| image).collect();
        cluster.supply(&images)?;
        let plugin = files.join("kubectl-schism");
        symlink(sibling("schism")?, &plugin)?;
        let site = Self { cluster, plugin, files: files.to_owned() };
        let installed =
            Command::new(sibling("schism")?).args(["install", "-o", "json"]).output()?;
        ensure!(installed.status.success(), "schism install: {installed:?}");
        site.kubectl().apply(&String::from_utf8(installed.stdout)?)?;
        site.kubectl().run("label namespace default schism.dev/faults=allowed")?;
        for (name, node) in ["left", "right"].into_iter().zip(site.nodes()) {
            site.kubectl().apply(&pod(name, node).to_string())?;
        }
        site.kubectl().run("wait --for=condition=Ready pod/left pod/right --timeout=120s")?;
        site.has_agents(2)?;
        Ok(site)
    }

    pub(super) fn kubectl(&self) -> &Kubectl {
        self.cluster.kubectl()
    }

    /// The names of its nodes.
    pub(super) fn nodes(&self) -> Vec<&str> {
        self.cluster.nodes().iter().map(Node::name).collect()
    }

    /// Waits until so many agents are connected.
    pub(super) fn has_agents(&self, count: usize) -> Result<()> {
        let come = || Ok((self.counted()?.agents >= count as f64).then_some(()));
        until(&format!("{count} agents"), come).with_context(|| {
            let leader = self.leader().unwrap_or_default();
            let log = format!("-n {NAMESPACE} logs {leader} --tail=20");
            format!("{leader} says: {}", self.kubectl().run(&log).unwrap_or_default())
        })
    }

    /// The pod that leads.
    pub(super) fn leader(&self) -> Result<String> {
        self.kubectl().leader(NAMESPACE, "schism-controller")?.context("nobody leads")
    }

    /// `kubectl schism`, to its end: how its user waits.
    pub(super) fn schism(&self, line: &str) -> Result<()> {
        let mut command = self.kubectl().command(&self.plugin);
        let output = command.args(line.split_whitespace()).stdin(Stdio::null()).output()?;
        // Without an effect, which nobody here waits for, it is 3.
        let fits = matches!(output.status.code(), Some(0 | 3));
        ensure!(fits, "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// What the leader has counted so far.
    pub(super) fn counted(&self) -> Result<Counted> {
        let path =
            format!("/api/v1/namespaces/{NAMESPACE}/pods/{}:9090/proxy/metrics", self.leader()?);
        let text = self.kubectl().run_with(&["get", "--raw", &path])?;
        let sum = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            let values = lines.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok());
            values.sum::<f64>()
        };
        Ok(Counted {
            applied: sum("schism_apply_seconds_count"),
            applied_in_50_ms: sum("schism_apply_seconds_bucket{le=\"0.05\"}"),
            applying: sum("schism_apply_seconds_sum"),
            requests: sum("schism_api_requests_total"),
            reads: sum("schism_api_requests_total{verb=\"read\"}"),
            agents: sum("schism_agents_connected"),
        })
    }

    /// How many requests a second a controller has for the API server that has nothing to do.
    pub(super) fn requests_of_an_idle_controller(&self) -> Result<f64> {
        const WATCHED: Duration = Duration::from_secs(20);
        let (before, began) = (self.counted()?, Instant::now());
        std::thread::sleep(WATCHED);
        let requests = self.counted()?.requests - before.requests;
        Ok(requests / began.elapsed().as_secs_f64())
    }

    /// A program on one node, by its path in its image.
    pub(super) fn process(&self, node: &str, path: &str) -> Result<Process<'_>> {
        let node = self.cluster.nodes().iter().find(|one| one.name() == node).context("a node")?;
        let all = node.run("ps", &["-e", "-o", "pid=,args="])?;
        let line = all.lines().find(|line| line.contains(path)).context("it does not run")?;
        let pid = line.split_whitespace().next().context("no pid")?.to_owned();
        Ok(Process { node, pid })
    }

    /// The controller that leads.
    pub(super) fn controller(&self) -> Result<Process<'_>> {
        let path = format!(
            "jsonpath={{.items[?(@.metadata.name==\"{}\")].spec.nodeName}}",
            self.leader()?
        );
        let node = self.kubectl().run_with(&["-n", NAMESPACE, "get", "pods", "-o", &path])?;
        self.process(node.trim(), "/usr/bin/schism serve")
    }

    /// A file of the site.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.files.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

impl Process<'_> {
    fn read(&self, name: &str) -> Result<String> {
        Ok(self.node.run("cat", &[&format!("/proc/{}/{name}", self.pid)])?)
    }

    /// Resident memory, bytes.
    pub(super) fn resident(&self) -> Result<f64> {
        footprint::resident_in(&self.read("status")?)
    }

    /// Processor time so far.
    pub(super) fn used(&self) -> Result<Duration> {
        let ticks = footprint::ticks_in(&self.read("stat")?)?;
        Ok(Duration::from_secs_f64(ticks as f64 / USER_HZ))
    }
}

/// A pod that stays.
fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": node }, "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "sleeps", "image": BUSYBOX, "imagePullPolicy": "Never",
                "command": ["sleep", "1000000"],
            }],
        },
    })
}

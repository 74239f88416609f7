//! A control plane and its nodes.

use std::{fs, path::Path, thread};

use image::Image;
use nix::sys::signal::Signal;

use super::{
    BUSYBOX, Components, Kubectl, KubernetesError, Node, PAUSE,
    addressing::Pods,
    authority::{Authority, Identity},
    control_plane::ControlPlane,
    fake_nodes,
    machine::Loan,
    names::Names,
    packages,
};
use crate::{directory::Directory, topology::Topology};

/// How long nodes may take to be ready; two take four seconds of two quiet processors.
const READY: &str = "120s";

/// A running cluster. All of it ends, and its files go, with the handle.
#[derive(Debug)]
pub struct Cluster {
    // Before what it asks.
    _names: Names,
    nodes: Vec<Node>,
    control_plane: ControlPlane,
    kubectl: Kubectl,
    authority: Authority,
    directory: Directory,
    topology: Topology,
}

impl Cluster {
    /// Starts a control plane and this many nodes, `n1` and so on, and waits until pods can run on all.
    ///
    /// The nodes know two images: [`BUSYBOX`], and [`PAUSE`], in which pods begin.
    ///
    /// # Errors
    /// No components, no packages, or a cluster that is not ready in two minutes.
    pub fn start(nodes: usize) -> Result<Self, KubernetesError> {
        // Before anything is made: they may take minutes.
        let (components, packages) = (Components::obtain()?, packages::obtain()?);
        let labels: Vec<String> = (1..=nodes).map(|number| format!("n{number}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let topology = Topology::hub(&labels)?;
        let hub = topology.hub_node().ok_or(KubernetesError::NoHub)?;
        route(&topology)?;

        let directory = Directory::create("kubernetes")?;
        let below = |name: &str| {
            let path = directory.path().join(name);
            fs::create_dir(&path).map_err(KubernetesError::file(&path))?;
            Ok::<_, KubernetesError>(path)
        };
        let (keys, images) = (below("keys")?, below("images")?);
        let mut loans = vec![
            Loan { name: "components", directory: components.directory().to_owned() },
            Loan { name: "keys", directory: keys.clone() },
        ];
        let authority = Authority::create(&keys, &[hub.v4.into(), hub.v6.into(), SERVICE.into()])?;
        let mut control_plane = ControlPlane::begin(hub, &below("control-plane")?, &loans)?;
        loans.push(Loan { name: "packages", directory: packages.clone() });
        loans.push(Loan { name: "images", directory: images.clone() });
        let begun: Result<Vec<Node>, _> = topology
            .nodes()
            .iter()
            .zip(1..)
            .map(|(node, number)| {
                Node::begin(node, &below(&node.label)?, &loans, &Pods::of(number))
            })
            .collect();

        let settings =
            authority.admit(Identity::Administrator, control_plane.server(), "admin.conf")?;
        let cache = below("kubectl")?;
        let kubectl = Kubectl::new(&hub.namespace, &components, &settings, &cache);
        let mut nodes = begun?;
        supply(&nodes, &images, &[pause(&packages), busybox(&packages)?])?;
        control_plane.complete(&authority, &kubectl)?;
        let names = Names::serve(&kubectl, hub.v4.into())?;
        for node in &mut nodes {
            node.join(&authority, control_plane.server(), hub.v4.into())?;
        }
        let cluster =
            Self { _names: names, nodes, control_plane, kubectl, authority, directory, topology };
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// Its nodes, in the order of their names.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// `kubectl` as its administrator.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Its network; the hub is the control plane's place.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// `kubectl` as a user, who may do what is bound to her name or group.
    ///
    /// # Errors
    /// No room for her certificate.
    pub fn kubectl_as(&self, name: &str, group: &str) -> Result<Kubectl, KubernetesError> {
        let (server, file) = (self.control_plane.server(), format!("user-{name}.conf"));
        let settings = self.authority.admit(Identity::User { name, group }, server, &file)?;
        Ok(self.kubectl.with_settings(&settings))
    }

    /// Has every node know more images. Pods that use them say `imagePullPolicy: Never`.
    ///
    /// # Errors
    /// An image's files can't be read, or containerd refuses it.
    pub fn supply(&self, images: &[Image]) -> Result<(), KubernetesError> {
        supply(&self.nodes, &self.directory.path().join("images"), images)
    }

    /// Adds nodes that are not there, `fake-1` and so on: they are ready, and pods that are put on them run, with an
    /// address at which nobody answers. Once for each cluster.
    ///
    /// # Errors
    /// They are not ready in two minutes.
    pub fn add_fake_nodes(&mut self, count: usize) -> Result<(), KubernetesError> {
        self.control_plane.play_nodes(&self.authority)?;
        self.kubectl.apply(&fake_nodes::objects(count).to_string())?;
        let ready = format!("wait --for=condition=Ready --timeout={READY} nodes -l type=fake");
        self.kubectl.run(&ready).map(drop).map_err(|error| {
            let said = format!("{error}\n{}", self.control_plane.last_words());
            KubernetesError::NotReady { what: "a node that is not there".to_owned(), said }
        })
    }

    /// Has the API server stand still: it takes connections and answers nobody.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn suspend_api_server(&self) -> Result<(), KubernetesError> {
        self.control_plane.signal_api_server(Signal::SIGSTOP)
    }

    /// Has it go on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn resume_api_server(&self) -> Result<(), KubernetesError> {
        self.control_plane.signal_api_server(Signal::SIGCONT)
    }

    /// What its processes said last.
    #[must_use]
    pub fn last_words(&self) -> String {
        let nodes = self.nodes.iter().map(Node::last_words);
        nodes.chain([self.control_plane.last_words()]).collect::<Vec<_>>().join("\n")
    }

    fn wait_ready(&self) -> Result<(), KubernetesError> {
        let names: Vec<String> =
            self.nodes.iter().map(|node| format!("node/{}", node.name())).collect();
        // One by one: `kubectl` knows of one thing only that is not there yet. Without the account pods are
        // refused.
        let account = "serviceaccount/default".to_owned();
        let created = names.iter().chain([&account]).map(|name| format!("create {name}"));
        let ready = format!("condition=Ready {}", names.join(" "));
        created.chain([ready]).try_for_each(|what| {
            let waited = self.kubectl.run(&format!("wait --timeout={READY} --for={what}"));
            waited.map(drop).map_err(|error| {
                let said = format!("{error}\n{}", self.last_words());
                KubernetesError::NotReady { what: "the cluster".to_owned(), said }
            })
        })
    }
}

/// The first address of services: the API server's, which its certificate must be for.
const SERVICE: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 96, 0, 1);

/// Tells everybody by way of which node pods are reached.
fn route(topology: &Topology) -> Result<(), KubernetesError> {
    let hub = topology.hub_node().ok_or(KubernetesError::NoHub)?;
    let mut towards = String::new();
    for (node, number) in topology.nodes().iter().zip(1..) {
        let pods = Pods::of(number);
        let lines = format!(
            "route add {} via {}\nroute add {} via {}\n",
            pods.v4, node.v4, pods.v6, node.v6
        );
        for other in topology.nodes().iter().filter(|other| other.label != node.label) {
            other.namespace.batch(&lines)?;
        }
        let away = format!("route add 0.0.0.0/0 via {}\nroute add ::/0 via {}\n", hub.v4, hub.v6);
        node.namespace.batch(&away)?;
        towards += &lines;
    }
    Ok(hub.namespace.batch(&towards)?)
}

/// Writes images to where nodes see them, and has all import them at the same time.
fn supply(nodes: &[Node], directory: &Path, images: &[Image]) -> Result<(), KubernetesError> {
    let mut archives = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let archive = format!("{number}.tar");
        image.write(&directory.join(&archive))?;
        archives.push(archive);
    }
    thread::scope(|scope| {
        let import = |node| {
            let archives = &archives;
            move || {
                let node: &Node = node;
                node.wait_runtime()?;
                archives.iter().try_for_each(|archive| node.import(archive))
            }
        };
        let running: Vec<_> = nodes.iter().map(|node| scope.spawn(import(node))).collect();
        running
            .into_iter()
            .try_for_each(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// What holds a pod's namespaces: one process that does nothing.
fn pause(packages: &Path) -> Image {
    let busybox = packages.join("bin/busybox");
    Image::new(PAUSE).program("bin/busybox", &busybox).entrypoint(&[
        "/bin/busybox",
        "sleep",
        "2147483647",
    ])
}

/// What a shell needs.
fn busybox(packages: &Path) -> Result<Image, KubernetesError> {
    let busybox = packages.join("bin/busybox");
    let failed = KubernetesError::file(&busybox);
    let listed = std::process::Command::new(&busybox).arg("--list").output().map_err(failed)?;
    let image = Image::new(BUSYBOX).program("bin/busybox", &busybox).entrypoint(&["/bin/sh"]);
    let image = ["tmp", "srv", "root", "etc"].into_iter().fold(image, Image::directory);
    let listed = String::from_utf8_lossy(&listed.stdout);
    let applets = listed.lines().filter(|name| *name != "busybox");
    Ok(applets.fold(image, |image, name| image.link(&format!("bin/{name}"), "busybox")))
}

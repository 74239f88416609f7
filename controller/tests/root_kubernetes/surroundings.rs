//! What a lab must leave as it was.

use std::{collections::BTreeSet, fs, process::Command};

/// What can be seen of a lab on this machine, and of what nodes keep in places that are this machine's. Others
/// work here at the same time: what is not of the lab's making is left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    named: BTreeSet<String>,
    mounts: BTreeSet<String>,
    network: BTreeSet<String>,
    files: BTreeSet<String>,
}

/// What only nodes and their pods have: addresses of pods and services, and the pods' bridge.
const OF_A_CLUSTER: [&str; 5] = ["10.124.", "fd78:", "10.96.", "fd79:", "pods0"];

impl Surroundings {
    /// With what there is of the lab of a process.
    pub(crate) fn with_lab_of(owner: u32) -> Self {
        let prefix = format!("schism-{owner}-");
        let mut named = listed("/run/netns");
        named.extend(listed("/tmp"));
        named.extend(listed("/sys/fs/cgroup").iter().flat_map(|hierarchy| listed(hierarchy)));
        named.extend(listed("/sys/fs/cgroup"));
        named.retain(|path| path.contains(&format!("/{prefix}")));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(&prefix));
        Self { named, mounts: mounts.map(ToOwned::to_owned).collect(), ..Self::without_lab() }
    }

    /// Without that, as it is before there is one.
    pub(crate) fn without_lab() -> Self {
        let network = ip(&["route"]) + &ip(&["-6", "route"]) + &ip(&["-br", "link"]);
        let of_a_cluster = |line: &&str| OF_A_CLUSTER.iter().any(|part| line.contains(part));
        let files = ["/run", "/var/lib", "/var/log", "/etc", "/opt", "/usr/libexec"];
        Self {
            network: network.lines().filter(of_a_cluster).map(ToOwned::to_owned).collect(),
            files: files.into_iter().flat_map(listed).filter(|path| of_a_node(path)).collect(),
            ..Self::default()
        }
    }
}

/// Whether a name is one that container runtimes and Kubernetes use.
fn of_a_node(path: &str) -> bool {
    ["containerd", "kube", "cni", "etcd", "runc", "pods", "containers"]
        .iter()
        .any(|word| path.contains(word))
}

fn listed(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

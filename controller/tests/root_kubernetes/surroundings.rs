//! What a lab must leave as it was.

use std::{collections::BTreeSet, fs, process::Command};

/// What can be seen of this machine that a cluster could change: everything that has a lab's name, mounts,
/// routes, devices, and what is in the places where nodes have their files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Surroundings {
    named: BTreeSet<String>,
    mounts: BTreeSet<String>,
    network: String,
    files: BTreeSet<String>,
}

impl Surroundings {
    /// Without what others have who work on this machine at the same time in labs of processes of their own.
    pub(crate) fn with_lab_of(owner: u32) -> Self {
        let mut named = listed("/run/netns");
        named.extend(listed("/tmp"));
        for hierarchy in listed("/sys/fs/cgroup") {
            named.extend(listed(&hierarchy));
        }
        named.extend(listed("/sys/fs/cgroup"));
        let prefix = format!("/schism-{owner}-");
        Self {
            named: named.into_iter().filter(|path| path.contains(&prefix)).collect(),
            ..Self::without_lab()
        }
    }

    pub(crate) fn without_lab() -> Self {
        let files = ["/run", "/var/lib", "/var/log", "/etc", "/opt", "/usr/libexec"];
        Self {
            named: BTreeSet::new(),
            mounts: mounts(),
            network: ip(&["route"]) + &ip(&["-6", "route"]) + &ip(&["-br", "link"]),
            files: files.into_iter().flat_map(listed).filter(|path| of_a_node(path)).collect(),
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

/// Where something is mounted, but for network namespaces, which others have too.
fn mounts() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let places = text.lines().filter_map(|line| line.split(' ').nth(4)).map(ToOwned::to_owned);
    places.filter(|place| !place.starts_with("/run/netns/")).collect()
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

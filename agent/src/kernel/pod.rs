//! Pods, found by the control groups of their processes: no runtime is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use fault::{ContainerName, Pod, PodUid, ProcessIdentity};

use super::process;

/// Where a control group belongs to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    pod: PodUid,
    /// What the runtime calls the container; `None` for what the runtime has beside the containers.
    container: Option<String>,
}

/// The containers of a pod by what the runtime calls them, each with its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Occupied {
    containers: BTreeMap<String, BTreeSet<ProcessIdentity>>,
}

/// Who is in the pods that are wanted.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn occupied(wanted: impl Fn(&PodUid) -> bool) -> io::Result<BTreeMap<PodUid, Occupied>> {
    let mut pods: BTreeMap<PodUid, Occupied> = BTreeMap::new();
    for pid in process::all()? {
        // What ends while it is looked at is nowhere.
        let memberships = of_process(pid);
        let wanted = memberships.into_iter().filter(|membership| wanted(&membership.pod));
        for membership in wanted {
            let Some(container) = membership.container else { continue };
            let Ok(identity) = process::identity(pid) else { continue };
            let pod = pods.entry(membership.pod).or_default();
            pod.containers.entry(container).or_default().insert(identity);
        }
    }
    Ok(pods)
}

/// Who is in a pod; nobody, if there is no such pod.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn in_pod(uid: &PodUid) -> io::Result<Occupied> {
    Ok(occupied(|pod| pod == uid)?.remove(uid).unwrap_or_default())
}

/// Whether a process is, or may be, in what a selector names of a pod: while a container begins, its mounts are
/// not all there, and it has no name yet.
pub(super) fn may_be_in(pid: u32, pod: &Pod) -> bool {
    let is_in_pod = of_process(pid).iter().any(|one| one.pod == pod.uid && one.container.is_some());
    is_in_pod && may_be_meant(pod.container.as_ref(), || container_name(pid, &pod.uid))
}

fn may_be_meant(
    meant: Option<&ContainerName>,
    name: impl FnOnce() -> Option<ContainerName>,
) -> bool {
    meant.is_none_or(|meant| name().is_none_or(|name| name == *meant))
}

/// The pod in which a process is: of pods within pods, the innermost.
pub(super) fn around(pid: u32) -> Option<PodUid> {
    let inner = of_process(pid).into_iter().rfind(|one| one.container.is_some());
    inner.map(|membership| membership.pod)
}

/// The processes that a selector means.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn processes(pod: &Pod) -> io::Result<BTreeSet<ProcessIdentity>> {
    Ok(in_pod(&pod.uid)?.meant(pod))
}

impl Occupied {
    /// The process by which the pod's network is entered: the first that was there. Runtimes begin a pod with
    /// one that does nothing and lives as long as the pod; those without it begin with a container.
    pub(super) fn first(&self) -> Option<ProcessIdentity> {
        let began = |one: &&ProcessIdentity| (one.started, one.pid);
        self.containers.values().flatten().min_by_key(began).copied()
    }

    /// The processes that are meant by a selector of this pod.
    pub(super) fn meant(&self, pod: &Pod) -> BTreeSet<ProcessIdentity> {
        self.of(pod.container.as_ref(), |pid| container_name(pid, &pod.uid))
    }

    /// The processes of one of the containers, or of all. What only holds the pod's namespaces is none of
    /// them, nor is what is still becoming a container.
    fn of(
        &self,
        container: Option<&ContainerName>,
        named: impl Fn(u32) -> Option<ContainerName>,
    ) -> BTreeSet<ProcessIdentity> {
        let first = self.first();
        let is_meant = |processes: &BTreeSet<ProcessIdentity>| {
            // Any of them: one may have left the mounts of the others.
            let name = processes.iter().find_map(|one| named(one.pid));
            match (container, name) {
                (Some(meant), name) => name.as_ref() == Some(meant),
                (None, Some(_)) => true,
                (None, None) => !first.is_some_and(|first| processes.contains(&first)),
            }
        };
        let meant = self.containers.values().filter(|processes| is_meant(processes)).flatten();
        meant.filter(|one| !is_becoming(one.pid)).copied().collect()
    }

    /// The names of its containers that can be told.
    pub(super) fn names(&self, uid: &PodUid) -> BTreeSet<ContainerName> {
        let name = |processes: &BTreeSet<ProcessIdentity>| {
            processes.iter().find_map(|one| container_name(one.pid, uid))
        };
        self.containers.values().filter_map(name).collect()
    }
}

/// Whether a process is a runtime's on its way to become a container's first: to hold it up would keep the
/// container from starting. (runc and what was made of it name it so; crun has none.)
fn is_becoming(pid: u32) -> bool {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.starts_with("runc:[")
}

fn of_process(pid: u32) -> Vec<Membership> {
    memberships(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
}

/// The name of the container in which a process of a pod is, as far as its mounts tell.
fn container_name(pid: u32, pod: &PodUid) -> Option<ContainerName> {
    name_in_mounts(&fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()?, pod)
}

/// The pods to which the paths in /proc/PID/cgroup belong, from outside in, each with its container.
///
/// The kubelet names a pod's group `pod<UID>` by its driver cgroupfs, and by systemd
/// `kubepods[-burstable|-besteffort]-pod<UID>.slice`, after what it was told to put everything into, with `_`
/// for each `-` of the UID (pkg/kubelet/cm of Kubernetes 1.36). In it runtimes make a group for each container.
fn memberships(cgroup: &str) -> Vec<Membership> {
    let mut found: Vec<Membership> = Vec::new();
    for path in cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        let parts: Vec<&str> = path.split('/').collect();
        for (at, part) in parts.iter().enumerate() {
            let Some((pod, within)) = pod_of(part) else { continue };
            let within = within.or_else(|| parts.get(at + 1).copied());
            let membership = Membership { pod, container: within.and_then(container_of) };
            match found.iter_mut().find(|known| known.pod == membership.pod) {
                // Not every hierarchy has a group for each container.
                Some(known) => known.container = known.container.take().or(membership.container),
                None => found.push(membership),
            }
        }
    }
    found
}

/// The pod that a part of a path names, and what of a container is in the same part: containerd that was told
/// the wrong driver has `SLICE:cri-containerd:ID` in one.
fn pod_of(part: &str) -> Option<(PodUid, Option<&str>)> {
    let (part, within) = match part.split_once(':') {
        Some((slice, within)) => {
            (slice, Some(within.rsplit_once(':').map_or(within, |(_, id)| id)))
        }
        None => (part, None),
    };
    let uid = match part.strip_suffix(".slice") {
        // A dash parts a slice from those around it (systemd.slice(5)).
        Some(slice) => slice.rsplit('-').next()?.strip_prefix("pod")?.replace('_', "-"),
        None => part.strip_prefix("pod")?.to_owned(),
    };
    Some((PodUid::new(&uid)?, within))
}

/// What the runtime calls the container whose group has this name; `None` for groups of its own.
fn container_of(part: &str) -> Option<String> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    // What watches a container is none.
    if part.is_empty() || part.ends_with(".slice") || bare.starts_with("crio-conmon-") {
        return None;
    }
    let prefixes = ["cri-containerd-", "crio-", "docker-"];
    let id = prefixes.iter().find_map(|prefix| bare.strip_prefix(prefix)).unwrap_or(bare);
    Some(id.to_owned())
}

/// From proc_pid_mountinfo(5): the fourth field is what of its file system is mounted. The kubelet gives every
/// container a file of `…/pods/UID/containers/NAME/` for its last words (terminationMessagePath).
fn name_in_mounts(mountinfo: &str, pod: &PodUid) -> Option<ContainerName> {
    let within = format!("/pods/{pod}/containers/");
    let roots = mountinfo.lines().filter_map(|line| line.split(' ').nth(3));
    roots.filter_map(|root| root.split_once(&within)).find_map(|(_, rest)| {
        let (name, file) = rest.split_once('/')?;
        if file.contains('/') { None } else { ContainerName::new(name) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";
    const STATIC: &str = "0123456789abcdef0123456789abcdef";

    fn uid(text: &str) -> PodUid {
        PodUid::new(text).unwrap()
    }

    fn id() -> String {
        "0123456789abcdef".repeat(4)
    }

    #[test]
    fn pods_are_found_in_the_paths_of_every_driver_and_runtime() {
        let (id, under) = (id(), UID.replace('-', "_"));
        let table = [
            // cgroupfs, of versions 1 and 2, each class of service.
            (format!("0::/kubepods/besteffort/pod{UID}/{id}"), UID),
            (format!("0::/kubepods/burstable/pod{UID}/{id}"), UID),
            (format!("0::/kubepods/pod{UID}/{id}"), UID),
            (format!("9:memory:/kubepods/pod{UID}/{id}\n1:name=systemd:/\n0::/\n"), UID),
            (format!("4:cpu,cpuacct:/lab/n1/kubepods/burstable/pod{UID}/{id}"), UID),
            (format!("0::/kubepods/burstable/pod{STATIC}/{id}"), STATIC),
            (format!("0::/kubepods/pod{UID}/crio-{id}"), UID),
            // systemd.
            (
                format!("0::/kubepods.slice/kubepods-pod{under}.slice/cri-containerd-{id}.scope"),
                UID,
            ),
            (
                format!(
                    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/\
                     cri-containerd-{id}.scope/init.scope"
                ),
                UID,
            ),
            (
                format!(
                    "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
                     kubelet-kubepods-besteffort-pod{under}.slice/crio-{id}.scope/container"
                ),
                UID,
            ),
            (format!("0::/kubepods.slice/kubepods-pod{STATIC}.slice/docker-{id}.scope"), STATIC),
            // Not the driver that containerd was told.
            (
                format!(
                    "0::/system.slice/containerd.service/kubepods-burstable-pod{under}.slice:\
                     cri-containerd:{id}"
                ),
                UID,
            ),
            // As a container with a hierarchy of its own sees it (cgroup_namespaces(7)).
            (
                format!("0::/../../kubepods-besteffort-pod{under}.slice/cri-containerd-{id}.scope"),
                UID,
            ),
            (format!("0::/../../../burstable/pod{UID}/{id}"), UID),
        ];
        for (text, pod) in table {
            let found = memberships(&text);
            let expected = Membership { pod: uid(pod), container: Some(id.clone()) };
            assert_eq!(found, [expected], "{text}");
        }
    }

    #[test]
    fn what_is_no_pod_or_beside_its_containers_is_not_taken_for_one() {
        let id = id();
        let table = [
            "0::/".to_owned(),
            format!("0::/system.slice/docker-{id}.scope"),
            format!("0::/machine.slice/libpod-{id}.scope"),
            "0::/podman.slice".to_owned(),
            "0::/kubepods/besteffort".to_owned(),
            "0::/kubepods/pod7f3e2a10/x".to_owned(),
            format!("0::/user.slice/{UID}/{id}"),
        ];
        for text in table {
            assert_eq!(memberships(&text), [], "{text}");
        }
        let beside = [
            format!("0::/kubepods/pod{UID}"),
            format!("0::/kubepods/pod{UID}/"),
            format!("0::/kubepods/pod{UID}/crio-conmon-{id}"),
            format!(
                "0::/kubepods.slice/kubepods-pod{}.slice/crio-conmon-{id}.scope",
                UID.replace('-', "_")
            ),
        ];
        for text in beside {
            assert_eq!(
                memberships(&text),
                [Membership { pod: uid(UID), container: None }],
                "{text}"
            );
        }
    }

    #[test]
    fn a_pod_within_a_pod_is_both() {
        let id = id();
        let text = format!("0::/kubepods/pod{STATIC}/outer/kubepods/besteffort/pod{UID}/{id}");
        let found = memberships(&text);
        let names: Vec<_> =
            found.iter().map(|one| (one.pod.as_str(), one.container.as_deref())).collect();
        assert_eq!(names, [(STATIC, Some("outer")), (UID, Some(id.as_str()))]);
    }

    #[test]
    fn the_name_of_a_container_is_in_its_mounts() {
        let mounts = |file: &str| {
            format!(
                "1450 1449 0:120 / / rw - overlay overlay rw\n\
                 1463 1450 254:1 /var/lib/kubelet/pods/{UID}/etc-hosts /etc/hosts rw - ext4 /dev/vda rw\n\
                 1464 1450 254:1 {file} /dev/termination-log rw - ext4 /dev/vda rw\n"
            )
        };
        let name =
            |file: String| name_in_mounts(&mounts(&file), &uid(UID)).map(|name| name.to_string());
        let web = Some("web".to_owned());
        assert_eq!(name(format!("/var/lib/kubelet/pods/{UID}/containers/web/8a3f")), web);
        // A file system of its own for the kubelet.
        assert_eq!(name(format!("/pods/{UID}/containers/web/8a3f")), web);
        assert_eq!(name(format!("/pods/{UID}/containers/web/8a3f/x")), None);
        assert_eq!(name(format!("/pods/{UID}/volumes/web/8a3f")), None);
        assert_eq!(name(format!("/pods/{STATIC}/containers/web/8a3f")), None);
    }

    #[test]
    fn what_holds_the_namespaces_is_entered_and_never_touched() {
        // Numbers that nobody has, so that nobody is on its way to become a container.
        let one = |number: u32, started| ProcessIdentity { pid: u32::MAX - number, started };
        let [pause, web, its_child, sidecar] = [one(9, 10), one(3, 20), one(2, 21), one(1, 30)];
        let group = |name: &str, all: &[ProcessIdentity]| {
            (name.to_owned(), all.iter().copied().collect::<BTreeSet<_>>())
        };
        let containers =
            [group("a", &[sidecar]), group("b", &[pause]), group("c", &[web, its_child])];
        let pod = Occupied { containers: containers.into_iter().collect() };
        assert_eq!(pod.first(), Some(pause));
        let name = |text: &str| ContainerName::new(text);
        // The container's first process has left the mounts by which it could be named.
        let named = |pid: u32| match u32::MAX - pid {
            1 => name("sidecar"),
            2 => name("web"),
            _ => None,
        };
        let meant = |container: Option<&str>| {
            pod.of(container.and_then(ContainerName::new).as_ref(), named)
        };
        assert_eq!(meant(None), BTreeSet::from([web, its_child, sidecar]));
        assert_eq!(meant(Some("web")), BTreeSet::from([web, its_child]));
        assert_eq!(meant(Some("sidecar")), BTreeSet::from([sidecar]));
        assert_eq!(meant(Some("other")), BTreeSet::new());
        for (container, name, is) in [
            (Some("web"), Some("web"), true),
            (Some("web"), Some("sidecar"), false),
            (Some("web"), None, true),
            (None, Some("sidecar"), true),
        ] {
            let name = || name.and_then(ContainerName::new);
            let container = container.and_then(ContainerName::new);
            assert_eq!(may_be_meant(container.as_ref(), name), is, "{container:?}");
        }
        // A runtime without such a process, and a container that tells no name.
        let bare = Occupied { containers: BTreeMap::from([group("c", &[web])]) };
        assert_eq!(bare.first(), Some(web));
        assert_eq!(bare.of(None, |_| name("web")), BTreeSet::from([web]));
        assert_eq!(Occupied::default().first(), None);
    }
}

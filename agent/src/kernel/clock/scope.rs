//! Which processes a fault is meant for, and which are never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use fault::{Extent, ProcessIdentity, Scheme};

use crate::kernel::pod;
use crate::kernel::process::{self, NamespaceInode};
use crate::kernel::{KernelError, Place};

/// By what name this program and the command run: a controller shares nothing else with an agent.
const OURS: [&str; 2] = ["schism", "schism-agent"];
/// By what names the children of an agent run that hold and load others.
pub const CHILDREN: [&str; 2] = ["schism-holder", "schism-worker"];
/// Those without which the node's other containers come to harm, as they run.
const RUNTIMES: [&str; 7] =
    ["containerd", "dockerd", "crio", "runc", "conmon", "podman", "kubelet"];
/// One of a runtime's for each pod; its name may be cut off (TASK_COMM_LEN).
const SHIM: &str = "containerd-shim";

/// The processes of a place, by pid. Those of a namespace are those that `inode` leads to.
///
/// `known` are processes that belong to it whoever their parent is by now. Those that have ended belong to
/// nobody: whoever has their numbers now is another one.
///
/// # Errors
/// /proc cannot be read, or the place has no processes of its own.
pub fn of(
    place: &Place,
    extent: Extent,
    inode: impl FnOnce() -> Result<NamespaceInode, KernelError>,
    known: &BTreeSet<ProcessIdentity>,
) -> Result<BTreeSet<ProcessIdentity>, KernelError> {
    let read = KernelError::call("read /proc");
    // What has ended since is no matter.
    let identities =
        |pids: Vec<u32>| pids.into_iter().filter_map(|pid| process::identity(pid).ok());
    let mut found: BTreeSet<ProcessIdentity> = match &place.selector.scheme {
        Scheme::Pid(_) => {
            place.identity.process.filter(|named| process::is_alive(*named)).into_iter().collect()
        }
        Scheme::Container(id) => {
            let within = process::in_container(id).map_err(read)?;
            identities(within.into_iter().map(|(_, pid)| pid).collect()).collect()
        }
        Scheme::Pod(named) => pod::processes(named).map_err(read)?,
        Scheme::Netns(_) => identities(process::in_namespace(inode()?).map_err(read)?).collect(),
        Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => {
            return Err(of_node());
        }
    };
    if extent == Extent::Tree {
        let parents = process::parents().map_err(KernelError::call("read /proc"))?;
        found.extend(known);
        // Only now: whoever lives still had its number when the parents were read.
        found.retain(|process| process::is_alive(*process));
        let roots: BTreeSet<u32> = found.iter().map(|process| process.pid).collect();
        let born = with_descendants(roots.clone(), &parents);
        found.extend(identities(born.difference(&roots).copied().collect()));
    }
    Ok(found)
}

/// Whether a process that is named and all that belong to it have ended: nobody can come there any more, as
/// somebody can into a container or a namespace.
#[must_use]
pub fn is_nobody_left(scheme: &Scheme, there: &BTreeSet<ProcessIdentity>) -> bool {
    matches!(scheme, Scheme::Pid(_)) && !there.iter().any(|one| process::is_alive(*one))
}

/// Whether a process is, or may be, in what is named, where that is a place and no process. A namespace is known by
/// those who are in it; without any, everybody may be.
#[must_use]
pub fn is_within(scheme: &Scheme, pid: u32, members: &BTreeSet<ProcessIdentity>) -> bool {
    let namespace = |pid: u32| process::namespace_inode(&process::namespace_path(pid)).ok();
    // Looked at first: then it was its own if it lives still.
    let theirs =
        |member: &ProcessIdentity| namespace(member.pid).filter(|_| process::is_alive(*member));
    match scheme {
        Scheme::Container(id) => process::is_in_container(pid, id),
        Scheme::Pod(named) => pod::may_be_in(pid, named),
        Scheme::Netns(_) => match members.iter().find_map(theirs) {
            Some(theirs) => namespace(pid) == Some(theirs),
            None => true,
        },
        Scheme::Pid(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => false,
    }
}

fn with_descendants(roots: BTreeSet<u32>, parents: &BTreeMap<u32, u32>) -> BTreeSet<u32> {
    let mut all = roots.clone();
    let mut latest = roots;
    while !latest.is_empty() {
        let born = parents.iter().filter(|(_, parent)| latest.contains(parent));
        latest = born.map(|(pid, _)| *pid).filter(|pid| !all.contains(pid)).collect();
        all.extend(&latest);
    }
    all
}

/// Why a process is never touched; `None` for all others.
#[must_use]
pub fn spared(process: ProcessIdentity, name: &str) -> Option<String> {
    let pid = process.pid;
    if pid == 1 {
        Some("process 1 is the node's own".to_owned())
    } else if pid == std::process::id() {
        Some(format!("process {pid} is the agent itself"))
    } else if OURS.contains(&name) || CHILDREN.contains(&name) {
        Some(format!("process {pid} is a part of Schism"))
    } else if process::is_thread_of_kernel(pid) {
        Some(format!("process {pid} is a thread of the kernel"))
    } else {
        None
    }
}

/// Why a process is not held up either; `None` for all others.
#[must_use]
pub fn indispensable(process: ProcessIdentity, name: &str) -> Option<String> {
    let runtime = RUNTIMES.contains(&name) || name.starts_with(SHIM);
    spared(process, name).or_else(|| {
        runtime.then(|| {
            let pid = process.pid;
            format!("process {pid} is {name}, on which other containers of the node depend")
        })
    })
}

/// The node is no target of what is done to processes, nor of what is read of them.
#[must_use]
pub fn of_node() -> KernelError {
    refused("a node as a whole is no target of what concerns processes".to_owned())
}

/// A refusal, with what to do about it.
#[must_use]
pub fn refused(reason: String) -> KernelError {
    let hint = "name a process of an application, or all of a container or a namespace: pid:, container:, pod:, netns:";
    KernelError::Refused { reason, hint: hint.to_owned() }
}

/// Nobody was found at a place. A process that is named is gone; elsewhere there may be somebody later.
#[must_use]
pub fn nobody(scheme: &Scheme) -> KernelError {
    match scheme {
        Scheme::Pid(_) => KernelError::Gone(scheme.clone()),
        Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Netns(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => KernelError::Refused {
            reason: format!("there is no process in {scheme}"),
            hint: "faults of processes need one: start it first".to_owned(),
        },
    }
}

/// The name of a process; empty if it has ended.
#[must_use]
pub fn name(pid: u32) -> String {
    let comm: io::Result<String> = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    comm.unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use fault::{BootId, NamespaceCookie, TargetIdentity};

    use super::*;

    #[test]
    fn whoever_has_the_number_of_one_that_has_ended_is_not_meant() {
        let mut children: Vec<Child> =
            (0..2).map(|_| Command::new("/bin/sleep").arg("60").spawn().unwrap()).collect();
        let [named, known] =
            [0, 1].map(|one: usize| process::identity(children[one].id()).unwrap());
        let identity = TargetIdentity {
            boot: BootId::new(1),
            namespace: NamespaceCookie::new(1),
            process: Some(named),
        };
        let place = Place { selector: format!("pid:{}", named.pid).parse().unwrap(), identity };
        let tree =
            |known| of(&place, Extent::Tree, || Err(of_node()), &BTreeSet::from([known])).unwrap();
        let ended = ProcessIdentity { started: known.started - 1, ..known };
        let (with, without) = (tree(known), tree(ended));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(with, BTreeSet::from([named, known]));
        assert_eq!(without, BTreeSet::from([named]));
    }

    #[test]
    fn a_tree_has_all_descendants_and_nobody_else() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 4), (7, 7)]);
        let tree = |root: u32| with_descendants(BTreeSet::from([root]), &parents);
        assert_eq!(tree(2), BTreeSet::from([2, 3, 4, 6]));
        assert_eq!(tree(7), BTreeSet::from([7]), "whoever is its own parent ends the search");
        assert_eq!(tree(9), BTreeSet::from([9]));
    }

    #[test]
    fn the_node_and_schism_itself_are_spared() {
        let spares = |pid, name| spared(ProcessIdentity { pid, started: 7 }, name).is_some();
        assert!(spares(1, "init") && spares(std::process::id(), "x"));
        assert!(spares(4711, "schism") && spares(4711, "schism-agent"));
        assert!(!spares(4711, "schism-like"));
    }

    #[test]
    fn runtimes_are_not_held_up() {
        let spares = |name| {
            let process = ProcessIdentity { pid: std::process::id() + 1, started: 7 };
            indispensable(process, name)
        };
        for name in ["containerd", "containerd-shim", "containerd-shim-runc-v2", "kubelet", "runc"]
        {
            let reason = spares(name).unwrap();
            assert!(reason.contains(name) && reason.contains("other containers"), "{reason}");
        }
        assert_eq!(spares("etcd"), None);
    }
}

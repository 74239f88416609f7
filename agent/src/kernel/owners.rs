//! Whose addresses these are: every network namespace of the node is looked into.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use fault::{Pod, Scheme, Selector, Target};

use super::linux::{Linux, NAMED};
use super::process::NamespaceInode;
use super::{KernelError, netns, pod, process, route};

/// A namespace, and by what it is named.
struct Candidate {
    path: PathBuf,
    scheme: Scheme,
    /// The process by which it was found.
    pid: Option<u32>,
}

impl Linux {
    /// The targets that own any of these addresses, each once and by its most lasting name: the host, a pod
    /// (runtimes give its namespace a name, too, which says nothing), a name of `ip netns`, a container, a
    /// process.
    ///
    /// Addresses that every namespace has or may have (loopback, link-local, unspecified) tell nothing
    /// and match nothing.
    pub(super) fn owners_of(&self, addresses: &[IpAddr]) -> Result<Vec<Target>, KernelError> {
        let wanted: Vec<IpAddr> = addresses.iter().copied().filter(is_telling).collect();
        let (mut seen, mut found) = (Vec::new(), Vec::new());
        if wanted.is_empty() {
            return Ok(found);
        }
        let pids = process::all().map_err(KernelError::call("read /proc"))?;
        let named = self.host().into_iter().chain(named());
        for candidate in named.chain(pids.into_iter().map(of_process)) {
            // What ends while it is looked at owns nothing any more.
            let Ok(inode) = process::namespace_inode(&candidate.path) else { continue };
            if seen.contains(&inode) {
                continue;
            }
            seen.push(inode);
            if !owns(&candidate.path, &wanted).unwrap_or(false) {
                continue;
            }
            let Candidate { path, scheme, pid } = candidate.named_to_last(inode);
            let selector = Selector { pick: None, scheme, node: None };
            match self.describe(&selector, &path, pid) {
                Ok(target) => found.push(target),
                Err(KernelError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn host(&self) -> Option<Candidate> {
        let scheme = Scheme::Host(self.node().clone());
        Some(Candidate { path: process::host_namespace().to_owned(), scheme, pid: None })
    }
}

impl Candidate {
    /// What is the network of a pod or a container is named by that, which outlives the process. A process in a
    /// pod may have another network, as that of a container within a container has.
    fn named_to_last(self, inode: NamespaceInode) -> Self {
        if matches!(self.scheme, Scheme::Host(_)) {
            return self;
        }
        let inside = || process::in_namespace(inode).unwrap_or_default().into_iter();
        let is_there = |pid: &u32| is_in(*pid, inode);
        // By the same process as whoever names the pod.
        let of_pod = |pid| {
            let uid = pod::around(pid)?;
            let first = pod::in_pod(&uid).ok()?.first()?.pid;
            Some((Some(first).filter(is_there)?, uid))
        };
        let podded = match self.pid {
            Some(pid) => of_pod(pid),
            None => inside().find_map(of_pod),
        };
        if let Some((pid, uid)) = podded {
            let scheme = Scheme::Pod(Pod { uid, container: None });
            return Self { scheme, pid: Some(pid), path: process::namespace_path(pid) };
        }
        let of_container = |pid| {
            let id = process::describe(pid).ok()?.container?;
            let (_, first) = process::in_container(&id).ok()?.into_iter().next()?;
            Some((Some(first).filter(is_there)?, id))
        };
        match self.pid.and_then(of_container) {
            Some((pid, id)) => Self {
                scheme: Scheme::Container(id),
                pid: Some(pid),
                path: process::namespace_path(pid),
            },
            None => self,
        }
    }
}

/// Whether a process has this network namespace.
pub(super) fn is_in(pid: u32, inode: NamespaceInode) -> bool {
    process::namespace_inode(&process::namespace_path(pid)).is_ok_and(|own| own == inode)
}

/// The inode of the namespace that `ip netns` knows by a name.
pub(super) fn inode_of(name: &str) -> Option<NamespaceInode> {
    process::namespace_inode(&Path::new(NAMED).join(name)).ok()
}

/// The network namespaces that `ip netns` knows, sorted.
pub(super) fn namespace_names() -> Vec<Scheme> {
    let entries = fs::read_dir(NAMED).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    // A name that no selector can hold cannot be given back.
    let scheme =
        |name: String| format!("netns:{name}").parse().ok().map(|one: Selector| one.scheme);
    names.into_iter().filter_map(scheme).collect()
}

fn named() -> impl Iterator<Item = Candidate> {
    namespace_names().into_iter().filter_map(|scheme| {
        let Scheme::Netns(name) = &scheme else { return None };
        Some(Candidate { path: Path::new(NAMED).join(name), scheme, pid: None })
    })
}

fn of_process(pid: u32) -> Candidate {
    Candidate { path: process::namespace_path(pid), scheme: Scheme::Pid(pid), pid: Some(pid) }
}

fn owns(path: &Path, wanted: &[IpAddr]) -> io::Result<bool> {
    let namespace = netns::open(path)?;
    let (own, _) = netns::inside(&namespace, route::addresses)??;
    Ok(own.iter().any(|own| wanted.contains(&own.address)))
}

fn is_telling(address: &IpAddr) -> bool {
    let everywhere = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(everywhere || address.is_loopback() || address.is_unspecified())
}

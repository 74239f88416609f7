//! What can be named on a node.

use std::collections::BTreeMap;

use fault::{Aspect, Pod, PodUid, Scheme, Selector, Target};

use super::linux::Linux;
use super::pod::{self, Occupied};
use super::process::NamespaceInode;
use super::{Kernel, KernelError, owners, process};

/// The most that are told.
const MOST: usize = 512;

/// What can be named on a node, as far as it could be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The machine itself, its named network namespaces, its pods, its other containers.
    pub targets: Vec<Target>,
    /// How many more there are.
    pub left_off: usize,
    /// What could not be looked at and why, for people.
    pub unseen: Vec<String>,
}

impl Listing {
    /// Of these names, what each of them means; one that cannot be looked at does not hide the others.
    pub fn of(
        names: impl IntoIterator<Item = Scheme>,
        look: impl Fn(&Selector) -> Result<Vec<Target>, KernelError>,
    ) -> Self {
        let mut listing = Self::default();
        for scheme in names {
            if listing.targets.len() >= MOST {
                listing.left_off += 1;
                continue;
            }
            let selector = Selector { pick: None, scheme, node: None };
            match look(&selector) {
                Ok(found) => listing.targets.extend(found),
                // It has ended meanwhile.
                Err(KernelError::Gone(_)) => {}
                Err(error) => listing.unseen.push(format!("{selector}: {error}")),
            }
        }
        listing
    }
}

impl Linux {
    pub(super) fn all_targets(&self) -> Listing {
        let host = Scheme::Host(self.node().clone());
        let pods = pod::occupied(|_| true).unwrap_or_default();
        let containers = containers(&pods);
        let contained = containers.keys().cloned().map(Scheme::Container);
        let podded = pods.iter().flat_map(|(uid, pod)| names_of(uid, pod)).map(Scheme::Pod);
        let sandboxes: Vec<_> = pods.values().filter_map(sandbox).collect();
        // A runtime's name for a pod's namespace says nothing to anybody.
        let has_own_name = |scheme: &Scheme| {
            let Scheme::Netns(name) = scheme else { return true };
            owners::inode_of(name).is_none_or(|inode| !sandboxes.contains(&inode))
        };
        let names = owners::namespace_names().into_iter().filter(has_own_name);
        let names = std::iter::once(host).chain(names).chain(podded).chain(contained);
        let first = |selector: &Selector| match &selector.scheme {
            Scheme::Container(id) => containers.get(id).copied(),
            Scheme::Pod(pod) => Some(pods.get(&pod.uid)?.first()?.pid),
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Host(_)
            | Scheme::Addr(_)
            | Scheme::Etcd(_)
            | Scheme::Zeebe(_)
            | Scheme::Kubernetes(_) => None,
        };
        Listing::of(names, |selector| match first(selector) {
            // Not by its name, for which all processes would be looked through once more.
            Some(pid) => self.resolve_process(selector, pid, Aspect::Network),
            None => self.resolve(selector, Aspect::Network),
        })
    }
}

/// A pod, and each of its containers where there are several.
fn names_of(uid: &PodUid, pod: &Occupied) -> Vec<Pod> {
    let names = pod.names(uid);
    let each = names.iter().filter(|_| names.len() > 1).cloned().map(Some);
    let named = |container| Pod { uid: uid.clone(), container };
    std::iter::once(None).chain(each).map(named).collect()
}

/// The network namespace of a pod.
fn sandbox(pod: &Occupied) -> Option<NamespaceInode> {
    process::namespace_inode(&process::namespace_path(pod.first()?.pid)).ok()
}

/// The containers that have not the network of a pod around them, each with the first of its processes.
fn containers(pods: &BTreeMap<PodUid, Occupied>) -> BTreeMap<String, u32> {
    let mut first = BTreeMap::new();
    for pid in process::all().unwrap_or_default() {
        if let Some(id) = process::describe(pid).ok().and_then(|process| process.container) {
            first.entry(id).or_insert(pid);
        }
    }
    let is_of_pod = |pid: u32| {
        let sandbox = |uid| pods.get(&uid).and_then(sandbox);
        let is_there = |uid| sandbox(uid).is_none_or(|sandbox| owners::is_in(pid, sandbox));
        pod::around(pid).is_some_and(is_there)
    };
    first.retain(|_, pid| !is_of_pod(*pid));
    first
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::fake::FakeKernel;

    #[test]
    fn what_cannot_be_looked_at_hides_nothing_and_many_are_counted() {
        let node = fault::NodeName::new("n1").unwrap();
        let kernel = FakeKernel::running(node);
        kernel.node(|node| node.add_namespace("a", &["10.0.0.1".parse().unwrap()]));
        let name = |name: &str| Scheme::Netns(name.to_owned());
        let look = |selector: &Selector| match selector.to_string().as_str() {
            "netns:broken" => Err(KernelError::call("stat")(io::Error::from_raw_os_error(13))),
            "netns:gone" => Err(KernelError::Gone(selector.scheme.clone())),
            _ => kernel.resolve(selector, Aspect::Network),
        };
        let few = Listing::of(["broken", "gone", "nobody", "a"].map(name), look);
        let told: Vec<String> = few.targets.iter().map(|one| one.selector.to_string()).collect();
        assert_eq!((told.as_slice(), few.left_off), (&["netns:a".to_owned()][..], 0));
        assert!(few.unseen[0].starts_with("netns:broken: stat: "), "{:?}", few.unseen);
        assert_eq!(few.unseen.len(), 1);
        let many = Listing::of(std::iter::repeat_n(name("a"), MOST + 3), look);
        assert_eq!((many.targets.len(), many.left_off), (MOST, 3));
    }
}

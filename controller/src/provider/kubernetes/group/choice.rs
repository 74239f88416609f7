//! Which pods of a namespace make up the group that is meant. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cluster::{Phase, Pod};
use fault::{ContainerName, KubernetesNamespace};

use super::{GroupsError, Wanted};
use crate::provider::Directory;

/// The label by which charts tell installations apart.
pub(super) const INSTANCE: &str = "app.kubernetes.io/instance";

/// What the installation is called whose pods have no such label, or an empty one. Kubernetes lets no label have this value.
pub(super) const NAMELESS: &str = "-";

/// The annotation of a pod by which one of its containers is what it is for.
const CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// What of a group a pod is: a member of etcd or a broker; a gateway that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    First,
    Second,
}

/// The pods of one group, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sorted(BTreeMap<String, (Part, Pod)>);

impl Sorted {
    /// All of them, those of the first part first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Pod> {
        self.of(Part::First).chain(self.of(Part::Second))
    }

    /// Those of a part.
    pub(super) fn of(&self, part: Part) -> impl Iterator<Item = &Pod> {
        self.0.values().filter(move |(own, _)| *own == part).map(|(_, pod)| pod)
    }

    /// The same with their addresses, all of this namespace.
    pub(super) fn directory(&self, namespace: &KubernetesNamespace, part: Part) -> Directory {
        let pods = self.of(part).map(|pod| (pod.metadata.name.clone(), addresses(pod)));
        let services = self.of(part).filter_map(|pod| pod.spec.subdomain.clone()).collect();
        Directory::new(namespace.to_string(), services, pods)
    }
}

/// The pods of the installation that is meant. What has ended is no part of one, and neither is what a job runs, such
/// as a backup.
pub(super) fn one(
    wanted: Wanted<'_>,
    found: Vec<(Part, Pod)>,
    labels: impl FnOnce() -> Vec<String>,
) -> Result<Sorted, GroupsError> {
    let mut installations: BTreeMap<String, Sorted> = BTreeMap::new();
    for (part, pod) in found {
        let is_over = matches!(pod.status.phase, Phase::Succeeded | Phase::Failed);
        if is_over || pod.metadata.controller().is_some_and(|owner| owner.kind == "Job") {
            continue;
        }
        let instance = pod.metadata.labels.get(INSTANCE).cloned().unwrap_or_default();
        let all = &mut installations.entry(instance).or_default().0;
        // By the labels of both parts it is what it is first.
        all.entry(pod.metadata.name.clone()).or_insert((part, pod));
    }
    let (namespace, system) = (wanted.namespace.clone(), wanted.system);
    let there = |installations: &BTreeMap<String, Sorted>| -> Vec<String> {
        let shown = |name: &String| match name.as_str() {
            "" => format!("{NAMELESS} (without that label)"),
            name => name.to_owned(),
        };
        installations.keys().map(shown).collect()
    };
    match wanted.instance {
        _ if installations.is_empty() => {
            Err(GroupsError::NoPods { namespace, system, labels: labels() })
        }
        Some(instance) => {
            let label = if instance.as_str() == NAMELESS { "" } else { instance.as_str() };
            installations.remove(label).ok_or_else(|| {
                let (instance, there) = (instance.clone(), there(&installations));
                GroupsError::NoInstance { namespace, system, instance, there }
            })
        }
        None if installations.len() > 1 => {
            Err(GroupsError::Several { namespace, system, there: there(&installations) })
        }
        None => Ok(installations.into_values().next().unwrap_or_default()),
    }
}

/// The addresses of a pod, first the one that it is known by.
pub(super) fn addresses(pod: &Pod) -> Vec<IpAddr> {
    pod.status.pod_ips.iter().filter_map(|one| one.ip.parse().ok()).collect()
}

/// What a pod of a StatefulSet is called by those in its namespace: certificates of members are for that.
pub(super) fn dns_name(pod: &Pod) -> Option<String> {
    let (host, subdomain) = (pod.spec.hostname.as_ref()?, pod.spec.subdomain.as_ref()?);
    let namespace = pod.metadata.namespace.as_deref()?;
    Some(format!("{host}.{subdomain}.{namespace}.svc"))
}

/// The container that is the member: the one that has its port, or the one that the pod is for, or the first.
pub(super) fn container(pod: &Pod, port: u16) -> Option<ContainerName> {
    let all = &pod.spec.containers;
    let has_port = all.iter().find(|one| one.ports.iter().any(|own| own.container_port == port));
    let annotated = pod.metadata.annotations.get(CONTAINER);
    let annotated = annotated.and_then(|name| all.iter().find(|one| one.name == *name));
    let named = has_port.or(annotated).or_else(|| all.first())?;
    ContainerName::new(&named.name)
}

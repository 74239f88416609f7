//! Groups in a namespace: an etcd or a Zeebe that consists of pods, which are known by their labels.
//!
//! Which pods these are is asked when somebody is meant, and what members say of themselves leads to them and to nobody
//! else.

mod choice;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use cluster::{ApiError, NameError, Pod, Selection, Within};
use fault::{
    ClusterName, ClusterPath, ContainerName, KubernetesNamespace, LabelSelector, MemberName,
};
use futures_util::future::try_join_all;
use zeebe::{GatewayUrl, ManagementUrl};

use super::asking::PodsError;
use super::selection::{Excluded, Located, PodName, locate};
use super::{Kubernetes, Protected};
use crate::provider::System;
use crate::provider::etcd::{Endpoint, Etcd};
use crate::provider::zeebe::Zeebe;
use crate::settings::{Groups, ZeebeSettings};
use choice::{Part, Sorted};

/// A group that can be asked, and where its members can be.
#[derive(Clone, Debug)]
pub struct Housed<T> {
    /// Whom to ask.
    pub group: T,
    /// Its pods.
    pub homes: Homes,
}

/// The pods of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Homes(Vec<Home>);

/// A pod in which a member can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its addresses; none where it has none yet.
    pub addresses: Vec<IpAddr>,
    /// Where it is, or why it cannot be hit.
    pub pod: Result<Located, Excluded>,
    /// The container that is the member; of several the one that has its port.
    pub container: Option<ContainerName>,
}

impl Home {
    /// Where it is.
    ///
    /// # Errors
    /// It cannot be hit.
    pub fn located(&self) -> Result<&Located, Box<PodsError>> {
        self.pod.as_ref().map_err(|Excluded { pod, why, .. }| {
            Box::new(PodsError::Unusable { pod: pod.clone(), why: why.clone() })
        })
    }
}

impl Homes {
    /// These.
    #[must_use]
    pub const fn new(homes: Vec<Home>) -> Self {
        Self(homes)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Home> {
        self.0.iter()
    }

    /// The pod that has one of these addresses.
    #[must_use]
    pub fn of(&self, addresses: &BTreeSet<IpAddr>) -> Option<&Home> {
        self.0.iter().find(|home| home.addresses.iter().any(|own| addresses.contains(own)))
    }
}

/// Why no group was found in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// The API server did not say, or the namespace is left alone.
    #[error(transparent)]
    Pods(Box<PodsError>),
    /// A name that no namespace has.
    #[error("this controller knows no cluster {0}, and no namespace can be called so")]
    NoNamespace(ClusterName),
    /// No pods.
    #[error("namespace {namespace} has no pods of {system}, which are known by {}", list(labels))]
    NoPods {
        /// In which namespace.
        namespace: KubernetesNamespace,
        /// Of what.
        system: System,
        /// By what they are known.
        labels: Vec<String>,
    },
    /// Several, and none was named.
    #[error("namespace {namespace} has several of {system}: {}", list(there))]
    Several {
        /// In which namespace.
        namespace: KubernetesNamespace,
        /// Of what.
        system: System,
        /// The installations that there are.
        there: Vec<String>,
    },
    /// None of that name.
    #[error(
        "namespace {namespace} has no {system} of installation {instance}; it has {}",
        list(there)
    )]
    NoInstance {
        /// In which namespace.
        namespace: KubernetesNamespace,
        /// Of what.
        system: System,
        /// Which was meant.
        instance: ClusterName,
        /// The installations that there are.
        there: Vec<String>,
    },
    /// Nobody can be asked yet.
    #[error("no pod of {system} in namespace {namespace} can be asked: {}", list(pods))]
    NobodyRuns {
        /// In which namespace.
        namespace: KubernetesNamespace,
        /// Of what.
        system: System,
        /// Each, and how it is.
        pods: Vec<String>,
    },
    /// What the settings say of how they are asked cannot be used.
    #[error("{0}")]
    Settings(String),
}

fn list(things: &[String]) -> String {
    things.join(", ")
}

impl From<PodsError> for GroupsError {
    fn from(error: PodsError) -> Self {
        Self::Pods(Box::new(error))
    }
}

impl From<ApiError> for GroupsError {
    fn from(error: ApiError) -> Self {
        PodsError::from(error).into()
    }
}

impl From<NameError> for GroupsError {
    fn from(error: NameError) -> Self {
        PodsError::from(error).into()
    }
}

impl GroupsError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Pods(error) => error.hint(),
            Self::NoPods { system, .. } => format!(
                "whoever runs the controller may say how they are known: [kubernetes.{system}] in its schism.toml"
            ),
            Self::Several { namespace, there, .. } => {
                let named = there.iter().find(|name| ClusterName::new(name).is_some());
                let example = named.map_or("INSTANCE", String::as_str);
                format!(
                    "say which one, as its pods have it in the label {}, or {} of none: -n {namespace}/{example}",
                    choice::INSTANCE,
                    choice::NAMELESS
                )
            }
            Self::NoInstance { .. } => {
                format!("an installation is what its pods have in the label {}", choice::INSTANCE)
            }
            Self::NobodyRuns { .. } => {
                "wait until they run: `kubectl wait --for=condition=Ready`".to_owned()
            }
            Self::Settings(_) | Self::NoNamespace(_) => String::new(),
        }
    }
}

/// Settings that cannot be used.
fn unusable(error: impl std::fmt::Display) -> GroupsError {
    GroupsError::Settings(error.to_string())
}

/// Which group of a namespace is meant.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    namespace: &'a KubernetesNamespace,
    system: System,
    instance: Option<&'a ClusterName>,
}

impl Kubernetes {
    /// The groups in which a pod is a member, by its labels.
    #[must_use]
    pub fn memberships(&self, pod: &Located) -> Vec<(System, ClusterPath)> {
        let Some(name) = ClusterName::new(&pod.pod.namespace) else { return Vec::new() };
        let label = pod.labels.get(choice::INSTANCE).map_or("", String::as_str);
        let instance = ClusterName::new(if label.is_empty() { choice::NAMELESS } else { label });
        let Groups { etcd, zeebe } = &self.groups;
        let has =
            |selectors: &[LabelSelector]| selectors.iter().any(|one| one.selects(&pod.labels));
        let sorts = [
            (System::Etcd, has(&etcd.labels)),
            (System::Zeebe, has(&zeebe.brokers) || has(&zeebe.gateways)),
        ];
        let path = ClusterPath::new(name, instance);
        let members = sorts.into_iter().filter(|(_, is_member)| *is_member);
        members.map(|(system, _)| (system, path.clone())).collect()
    }

    /// The etcd of a namespace, or the one of several that is meant.
    ///
    /// # Errors
    /// There is none, or not one, or none of its pods can be asked.
    pub async fn etcd_in(
        &self,
        namespace: &KubernetesNamespace,
        instance: Option<&ClusterName>,
    ) -> Result<Housed<Etcd>, GroupsError> {
        let settings = &self.groups.etcd;
        let wanted = Wanted { namespace, system: System::Etcd, instance };
        let sorted = self.sorted(wanted, [&settings.labels, &[]]).await?;
        let homes = self.homes(wanted, &sorted, settings.port).await?;
        let host = |pod: &Pod, address: IpAddr| {
            settings.credentials.as_ref()?;
            let own = settings.server_name.clone().or_else(|| choice::dns_name(pod));
            Some(own.unwrap_or_else(|| address.to_string()))
        };
        let endpoints = sorted.of(Part::First).filter_map(|pod| {
            let address = *choice::addresses(pod).first()?;
            Some(Endpoint::at(address, settings.port, host(pod, address)))
        });
        let group = Etcd::new(endpoints.collect(), settings.credentials.as_ref());
        let group = group.map_err(unusable)?.in_pods(sorted.directory(namespace, Part::First));
        Ok(Housed { group, homes })
    }

    /// The Zeebe of a namespace, or the one of several that is meant.
    ///
    /// # Errors
    /// There is none, or not one, or none of its pods can be asked.
    pub async fn zeebe_in(
        &self,
        namespace: &KubernetesNamespace,
        instance: Option<&ClusterName>,
    ) -> Result<Housed<Zeebe>, GroupsError> {
        let settings = &self.groups.zeebe;
        let wanted = Wanted { namespace, system: System::Zeebe, instance };
        let sorted = self.sorted(wanted, [&settings.brokers, &settings.gateways]).await?;
        // Brokers and gateways both have this one.
        let homes = self.homes(wanted, &sorted, settings.management_port).await?;
        // Where none stands alone each broker has one.
        let part =
            if sorted.of(Part::Second).next().is_some() { Part::Second } else { Part::First };
        let (mut gateways, mut names) = (Vec::new(), Vec::new());
        for pod in sorted.of(part) {
            let Some(address) = choice::addresses(pod).first().copied() else { continue };
            let at = socket(address, settings.gateway_port);
            gateways.push(at.parse::<GatewayUrl>().map_err(unusable)?);
            names.push(gateway_name(&pod.metadata.name));
        }
        if gateways.is_empty() {
            return Err(nobody(wanted, &homes));
        }
        // Nobody is shown a token, which any pod could have itself shown that has the labels.
        let own = ZeebeSettings { gateways, brokers: Vec::new(), ca: None, oauth: None };
        let anywhere = format!("localhost:{}", settings.management_port);
        let management: ManagementUrl = anywhere.parse().map_err(unusable)?;
        let directories = [Part::First, part].map(|part| sorted.directory(namespace, part));
        let group = Zeebe::new(&own).map_err(unusable)?;
        Ok(Housed { group: group.in_pods(names, directories, management), homes })
    }

    /// The pods of the one group that is meant: those of either sort.
    async fn sorted(
        &self,
        wanted: Wanted<'_>,
        labels: [&[LabelSelector]; 2],
    ) -> Result<Sorted, GroupsError> {
        let namespace = wanted.namespace.as_str();
        // Before anything is told of it.
        if let Err(protected) = self.guard.admit(namespace) {
            return Err(left_alone(wanted, protected));
        }
        let within = Within::Namespace(namespace.parse::<cluster::Namespace>()?);
        let parts = [Part::First, Part::Second].into_iter().zip(labels);
        let asked = parts.flat_map(|(part, labels)| labels.iter().map(move |one| (part, one)));
        let found = try_join_all(asked.map(async |(part, labels): (Part, &LabelSelector)| {
            let labels = Selection::labels(labels.to_string());
            let pods = self.client.list::<Pod>(&within, &labels).await?.items;
            Ok::<_, GroupsError>(pods.into_iter().map(move |pod| (part, pod)))
        }));
        let found: Vec<(Part, Pod)> = found.await?.into_iter().flatten().collect();
        if found.is_empty() {
            self.check_namespace(namespace).await?;
        }
        let labels = || labels.into_iter().flatten().map(ToString::to_string).collect();
        choice::one(wanted, found, labels)
    }

    /// Where these pods are; at least one of them can be asked.
    async fn homes(
        &self,
        wanted: Wanted<'_>,
        sorted: &Sorted,
        port: u16,
    ) -> Result<Homes, GroupsError> {
        let all: Vec<&Pod> = sorted.all().collect();
        let names: BTreeSet<&str> =
            all.iter().filter_map(|pod| pod.spec.node_name.as_deref()).collect();
        let nodes = self.nodes(&names).await?;
        let home = |pod: &&Pod| {
            let located = locate(pod, &nodes, &self.guard);
            let node = pod.spec.node_name.clone();
            Home {
                addresses: choice::addresses(pod),
                pod: located.map_err(|why| Excluded { pod: PodName::of(pod), node, why }),
                container: choice::container(pod, port),
            }
        };
        let homes = Homes(all.iter().map(home).collect());
        if homes.0.iter().all(|home| home.addresses.is_empty()) {
            return Err(nobody(wanted, &homes));
        }
        Ok(homes)
    }
}

fn left_alone(wanted: Wanted<'_>, protected: Protected) -> GroupsError {
    let (namespace, name) = (wanted.namespace.to_string(), wanted.system.to_string());
    PodsError::Unusable { pod: PodName { namespace, name }, why: protected.into() }.into()
}

fn nobody(wanted: Wanted<'_>, homes: &Homes) -> GroupsError {
    let pods = homes.0.iter().map(|home| match &home.pod {
        Ok(located) => format!("{} is no gateway", located.pod.name),
        Err(excluded) => format!("{}: {}", excluded.pod.name, excluded.why),
    });
    GroupsError::NobodyRuns {
        namespace: wanted.namespace.clone(),
        system: wanted.system,
        pods: pods.collect(),
    }
}

fn socket(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// What a gateway is called, so that no broker is called the same.
fn gateway_name(pod: &str) -> MemberName {
    let own = if pod.starts_with("broker-") { format!("gateway-{pod}") } else { pod.to_owned() };
    let own: String = own.chars().take(LONGEST).collect();
    MemberName::new(&own)
        .unwrap_or_else(|| unreachable!("a pod's name has what a member's may have"))
}

/// The longest name of a member.
const LONGEST: usize = 253;

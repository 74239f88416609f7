//! What a service leads to: virtual addresses, and the endpoints behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cluster::{
    Endpoint, EndpointSlice, Name, Pod, Reason, Selection, Service, ServiceType, TargetRef, Within,
};
use fault::{KubernetesPods, ObjectName};

use super::Kubernetes;
use super::asking::{PodsError, named};
use super::selection::{Found, PodName, Unusable};

/// What a service leads to, ready or not: all that it may send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// Its name, with its namespace.
    pub service: PodName,
    /// Its virtual addresses, which whoever sends to it sees; none of a headless one.
    pub own: BTreeSet<IpAddr>,
    /// The addresses of its endpoints, which whoever is behind it has.
    pub endpoints: BTreeSet<IpAddr>,
    /// Those of them at which there is no pod.
    pub elsewhere: BTreeSet<IpAddr>,
    /// The pods that are its endpoints, and whether they can be hit.
    pub pods: Found,
    /// Which pods these are.
    pub uids: BTreeSet<String>,
}

impl Led {
    /// All of its addresses.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.own.union(&self.endpoints).copied().collect()
    }

    /// Makes sure that its addresses may be a side of a cut: none of them is that of what is left alone, or of a
    /// node. That a pod cannot be hit itself does not matter there.
    ///
    /// # Errors
    /// One of them may not.
    pub fn admit(&self) -> Result<(), PodsError> {
        let is_in_the_way = |why: &Unusable| match why {
            Unusable::HostNetwork(_) | Unusable::Protected(_) => true,
            Unusable::Terminating
            | Unusable::Ended
            | Unusable::Unscheduled
            | Unusable::Pending
            | Unusable::NoAddress
            | Unusable::NodeNotReady { .. }
            | Unusable::NoNode(_) => false,
        };
        match self.pods.unusable.iter().find(|one| is_in_the_way(&one.why)) {
            None => Ok(()),
            Some(one) => Err(PodsError::Unusable { pod: one.pod.clone(), why: one.why.clone() }),
        }
    }
}

/// A service as the API server has it.
pub(super) struct Told {
    service: Service,
    endpoints: Vec<Endpoint>,
    pub(super) pods: Vec<Pod>,
}

impl Kubernetes {
    /// What a service leads to now.
    ///
    /// # Errors
    /// The API server does not say, there is none of that name, it is but a name, or it is left alone.
    pub async fn led(&self, pods: &KubernetesPods, name: &ObjectName) -> Result<Led, PodsError> {
        let namespace = pods.namespace.as_str();
        let service = PodName { namespace: namespace.to_owned(), name: named(&pods.which) };
        let refused = |why| PodsError::Service { service: service.clone(), why };
        self.guard.admit(namespace).map_err(refused)?;
        let within = Within::Namespace(namespace.parse()?);
        let told = self.service_of(&within, pods, name).await?;
        self.guard.admit_service(namespace, &told.service).map_err(refused)?;
        if told.service.spec.how == ServiceType::ExternalName {
            return Err(PodsError::ExternalName {
                namespace: service.namespace,
                name: service.name,
                stands_for: told.service.spec.external_name,
            });
        }
        let nodes: BTreeSet<&str> =
            told.pods.iter().filter_map(|pod| pod.spec.node_name.as_deref()).collect();
        let nodes = self.nodes(&nodes).await?;
        let found = Found::of(&told.pods, &nodes, &self.guard);
        let known: BTreeSet<&str> = told.pods.iter().map(|pod| pod.metadata.uid.as_str()).collect();
        let (own, endpoints) = (virtual_addresses(&told.service), addresses(&told.endpoints));
        let is_pod = |one: &&Endpoint| pod(one).is_some_and(|pod| known.contains(&*pod.uid));
        let of_pods = addresses(told.endpoints.iter().filter(is_pod));
        let elsewhere = endpoints.difference(&of_pods).copied().collect();
        let uids = known.iter().map(|uid| (*uid).to_owned()).collect();
        Ok(Led { service, own, endpoints, elsewhere, pods: found, uids })
    }

    /// A service with its endpoints, and those of them that are pods.
    pub(super) async fn service_of(
        &self,
        within: &Within,
        pods: &KubernetesPods,
        name: &ObjectName,
    ) -> Result<Told, PodsError> {
        let service: Service = self.object(within, pods, name).await?;
        let slices = self.client.list::<EndpointSlice>(within, &slices(name)).await?.items;
        let endpoints: Vec<Endpoint> =
            slices.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default()).collect();
        let behind = self.behind(within, &service, &endpoints).await?;
        Ok(Told { service, endpoints, pods: behind })
    }

    /// The pods that are endpoints. Most have the labels of the service; of others each is asked for.
    async fn behind(
        &self,
        within: &Within,
        service: &Service,
        endpoints: &[Endpoint],
    ) -> Result<Vec<Pod>, PodsError> {
        let mut wanted: BTreeMap<&str, &str> =
            endpoints.iter().filter_map(pod).map(|one| (&*one.uid, &*one.name)).collect();
        let mut found = Vec::new();
        if !wanted.is_empty() && !service.spec.selector.is_empty() {
            let labels = service.spec.selector.iter().map(|(key, value)| format!("{key}={value}"));
            let labels = Selection::labels(labels.collect::<Vec<_>>().join(","));
            let all = self.client.list::<Pod>(within, &labels).await?.items;
            found.extend(all.into_iter().filter(|one| wanted.remove(&*one.metadata.uid).is_some()));
        }
        for (uid, name) in wanted {
            let name: Name = name.parse()?;
            match self.client.get::<Pod>(within, &name).await {
                // Another one of its name is no endpoint.
                Ok(pod) if pod.metadata.uid == uid => found.push(pod),
                Ok(_) => {}
                Err(error) if error.reason() == Some(&Reason::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

/// By what the slices of a service are found.
pub(super) fn slices(name: &ObjectName) -> Selection {
    Selection::labels(format!("{}={name}", EndpointSlice::OF))
}

/// The pod at an endpoint, if there is one.
fn pod(endpoint: &Endpoint) -> Option<&TargetRef> {
    endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod")
}

/// What is no address is a name, of a slice of names.
fn addresses<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> BTreeSet<IpAddr> {
    let texts = endpoints.into_iter().flat_map(|endpoint| &endpoint.addresses);
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// A headless service has the word `None` for them.
fn virtual_addresses(service: &Service) -> BTreeSet<IpAddr> {
    service.spec.cluster_ips.iter().filter_map(|text| text.parse().ok()).collect()
}

//! What a service leads to: virtual addresses, and the endpoints behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use cluster::{
    Endpoint, EndpointSlice, Name, Pod, Reason, Selection, Service, ServiceType, TargetRef, Within,
};
use fault::{KubernetesPods, ObjectName};

use super::Kubernetes;
use super::asking::{PodsError, Source, named};
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
            | Unusable::NoNode(_)
            | Unusable::Alone => false,
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
}

impl Kubernetes {
    /// What a service leads to now. What is told of pods is believed where none of them is in the way.
    ///
    /// # Errors
    /// The API server does not say, there is none of that name, it is but a name, or it is left alone.
    pub async fn led(&self, pods: &KubernetesPods, name: &ObjectName) -> Result<Led, PodsError> {
        self.led_by(pods, name, self.current().map_or(Source::Asked, Source::Told)).await
    }

    /// The same, where the API server is asked in any case.
    ///
    /// # Errors
    /// As those of [`Self::led`].
    pub async fn led_anew(
        &self,
        pods: &KubernetesPods,
        name: &ObjectName,
    ) -> Result<Led, PodsError> {
        self.led_by(pods, name, Source::Asked).await
    }

    async fn led_by(
        &self,
        pods: &KubernetesPods,
        name: &ObjectName,
        source: Source<'_>,
    ) -> Result<Led, PodsError> {
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
        let mut behind = self.behind(&within, &told, source).await?;
        let mut found = self.sorted_out(&behind).await?;
        // Whatever is in the way is asked for.
        if matches!(source, Source::Told(_)) && !found.unusable.is_empty() {
            behind = self.behind(&within, &told, Source::Asked).await?;
            found = self.sorted_out(&behind).await?;
        }
        let known: BTreeSet<&str> = behind.iter().map(|pod| pod.metadata.uid.as_str()).collect();
        let (own, endpoints) = (virtual_addresses(&told.service), addresses(&told.endpoints));
        let is_pod = |one: &&Endpoint| pod(one).is_some_and(|pod| known.contains(&*pod.uid));
        let of_pods = addresses(told.endpoints.iter().filter(is_pod));
        let elsewhere = endpoints.difference(&of_pods).copied().collect();
        let uids = known.iter().map(|uid| (*uid).to_owned()).collect();
        Ok(Led { service, own, endpoints, elsewhere, pods: found, uids })
    }

    /// Those that can be hit, and those that cannot.
    async fn sorted_out(&self, pods: &[Arc<Pod>]) -> Result<Found, PodsError> {
        let nodes: BTreeSet<&str> =
            pods.iter().filter_map(|pod| pod.spec.node_name.as_deref()).collect();
        let nodes = self.nodes(&nodes).await?;
        Ok(Found::of(pods, &nodes, &self.guard))
    }

    /// A service with its endpoints.
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
        Ok(Told { service, endpoints })
    }

    /// The pods that are endpoints. Most are told, or have the labels of the service; of others each is asked for.
    pub(super) async fn behind(
        &self,
        within: &Within,
        told: &Told,
        source: Source<'_>,
    ) -> Result<Vec<Arc<Pod>>, PodsError> {
        let Told { service, endpoints } = told;
        let mut wanted: BTreeMap<&str, &str> =
            endpoints.iter().filter_map(pod).map(|one| (&*one.uid, &*one.name)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let all = match (source, within) {
            (Source::Told(catalogue), Within::Namespace(namespace)) => {
                catalogue.within(&namespace.to_string())
            }
            _ if service.spec.selector.is_empty() => Vec::new(),
            (Source::Told(_) | Source::Asked, _) => {
                let labels = &service.spec.selector;
                let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
                let labels = Selection::labels(labels.collect::<Vec<_>>().join(","));
                self.list_pods(within, &labels).await?
            }
        };
        let is_one = |one: &Arc<Pod>| wanted.remove(&*one.metadata.uid).is_some();
        let mut found: Vec<Arc<Pod>> = all.into_iter().filter(is_one).collect();
        for (uid, name) in wanted {
            let name: Name = name.parse()?;
            match self.client.get::<Pod>(within, &name).await {
                // Another one of its name is no endpoint.
                Ok(pod) if pod.metadata.uid == uid => found.push(Arc::new(pod)),
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

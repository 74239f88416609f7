//! What becomes of the pods, or of the service, that a selector names: told as it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cluster::{
    ApiError, Deployment, Endpoint, EndpointSlice, Event, Phase, Pod, Resource, Selection, Service,
    StatefulSet, Watch, Within,
};
use fault::{KubernetesPods, LabelSelector, PodsBy};

use super::Kubernetes;
use super::asking::{PodsError, selection};
use super::catalogue::{Moved, Subscription};
use super::service::slices;

/// What matters of a pod that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// All of its containers have ended: its addresses are anybody's.
    pub over: bool,
    /// What else decides whether it can be hit: where it is, whether it goes, how many containers run.
    state: (Option<String>, bool, Phase, usize),
}

/// Whether something has changed that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stirred {
    /// It has.
    Changed,
    /// What is known may be old.
    Trouble(ApiError),
}

/// A watch of what a selector names.
#[derive(Debug)]
pub struct Attention(Inner);

#[derive(Debug)]
enum Inner {
    /// What is told of all pods anyway.
    Told(Told),
    Pods {
        watch: Watch<Pod>,
        /// By UID; `None` before they were listed.
        known: Option<BTreeMap<String, Fact>>,
    },
    Service {
        service: Watch<Service>,
        slices: Watch<EndpointSlice>,
        of_service: BTreeMap<String, Service>,
        of_slices: BTreeMap<String, Vec<Endpoint>>,
    },
}

/// The pods of a namespace that are meant, of all that are told.
#[derive(Debug)]
struct Told {
    subscription: Subscription<Pod>,
    namespace: String,
    meant: Meant,
    /// By UID.
    known: BTreeMap<String, Fact>,
}

/// Which pods are meant.
#[derive(Debug)]
enum Meant {
    Name(String),
    Labels(LabelSelector),
}

/// A pod that is known to be there otherwise, and its addresses.
pub type Expected = (String, BTreeSet<IpAddr>);

impl Kubernetes {
    /// Watches what a selector names, from now on, where these pods of it are expected. Of a StatefulSet or a Deployment
    /// those are all pods with its labels, which do not change.
    ///
    /// # Errors
    /// There is no such set, or the API server does not say.
    pub async fn attend(
        &self,
        pods: &KubernetesPods,
        expected: &[Expected],
    ) -> Result<Attention, PodsError> {
        let within = Within::Namespace(pods.namespace.as_str().parse()?);
        let named =
            |name: &str| Selection { labels: None, fields: Some(format!("metadata.name={name}")) };
        let selected = match &pods.which {
            PodsBy::Name { pod, .. } => named(pod.as_str()),
            PodsBy::StatefulSet { name, .. } => {
                selection(&self.object::<StatefulSet>(&within, pods, name).await?.spec)
            }
            PodsBy::Deployment(name) => {
                selection(&self.object::<Deployment>(&within, pods, name).await?.spec)
            }
            PodsBy::Labels(labels) => Selection::labels(labels.to_string()),
            PodsBy::Service(name) => {
                return Ok(Attention(Inner::Service {
                    service: self.client.watch(within.clone(), named(name.as_str())),
                    slices: self.client.watch(within, slices(name)),
                    of_service: BTreeMap::new(),
                    of_slices: BTreeMap::new(),
                }));
            }
        };
        // What is told may be behind what was asked: nobody is gone because of that.
        let told = self.told(pods, &selected).filter(|told| told.has(expected));
        if let Some(told) = told {
            return Ok(Attention(Inner::Told(told)));
        }
        let watch = self.client.watch(within, selected);
        Ok(Attention(Inner::Pods { watch, known: None }))
    }

    /// What is told of pods anyway, where that is how things are.
    fn told(&self, pods: &KubernetesPods, selected: &Selection) -> Option<Told> {
        let catalogue = self.current()?;
        let meant = match (&pods.which, &selected.labels) {
            (PodsBy::Name { pod, .. }, _) => Meant::Name(pod.to_string()),
            (_, labels) => Meant::Labels(labels.as_ref()?.parse().ok()?),
        };
        let (subscription, namespace) = (catalogue.subscribe(), pods.namespace.to_string());
        let mut told = Told { subscription, namespace, meant, known: BTreeMap::new() };
        told.look_at_all();
        Some(told)
    }
}

impl Told {
    /// Waits until something has changed that matters.
    async fn stirred(&mut self) {
        loop {
            let moved = self.subscription.moved().await;
            if self.look(&moved) {
                return;
            }
        }
    }

    /// Looks at what has changed; whether that matters.
    fn look(&mut self, moved: &Moved) -> bool {
        match moved {
            Moved::One(place) if place.0 == self.namespace => self.look_at(place),
            Moved::One(_) => false,
            Moved::All => self.look_at_all(),
        }
    }

    fn look_at(&mut self, place: &(String, String)) -> bool {
        let now = self.subscription.get(place).filter(|pod| self.meant.is(pod));
        let before = self.known.iter().find(|(_, fact)| fact.name == place.1);
        let before = before.map(|(uid, fact)| (uid.clone(), fact.clone()));
        let now = now.map(|pod| (pod.metadata.uid.clone(), fact(&pod)));
        if now == before {
            return false;
        }
        if let Some((uid, _)) = before {
            self.known.remove(&uid);
        }
        self.known.extend(now);
        true
    }

    fn look_at_all(&mut self) -> bool {
        let all = self.subscription.within(&self.namespace);
        let all = all.iter().filter(|pod| self.meant.is(pod));
        let all = all.map(|pod| (pod.metadata.uid.clone(), fact(pod))).collect();
        let before = std::mem::replace(&mut self.known, all);
        self.known != before
    }

    /// Whether all of these are there, and nothing else is told of their addresses.
    fn has(&self, expected: &[Expected]) -> bool {
        expected.iter().all(|(uid, addresses)| {
            let known = self.known.get(uid);
            known.is_some_and(|fact| !fact.over && addresses.is_superset(&fact.addresses))
        })
    }
}

impl Meant {
    fn is(&self, pod: &Pod) -> bool {
        match self {
            Self::Name(name) => pod.metadata.name == *name,
            Self::Labels(labels) => labels.selects(&pod.metadata.labels),
        }
    }
}

impl Attention {
    /// Waits until something has changed that matters. A call that is dropped loses nothing.
    pub async fn stirred(&mut self) -> Stirred {
        loop {
            let stirred = match &mut self.0 {
                Inner::Told(told) => {
                    told.stirred().await;
                    Some(Stirred::Changed)
                }
                Inner::Pods { watch, known } => take_pod(known, watch.next().await),
                Inner::Service { service, slices, of_service, of_slices } => {
                    tokio::select! {
                        event = service.next() => {
                            take(of_service, event, |service| Service {
                                metadata: cluster::Metadata::default(),
                                ..service
                            })
                        }
                        event = slices.next() => {
                            take(of_slices, event, |slice| slice.endpoints.unwrap_or_default())
                        }
                    }
                }
            };
            if let Some(stirred) = stirred {
                return stirred;
            }
        }
    }

    /// Whether its pods are watched by themselves: what is told of all pods may be behind what is told here.
    #[must_use]
    pub const fn is_of_its_own(&self) -> bool {
        match &self.0 {
            Inner::Pods { .. } => true,
            // Whom a service leads to is asked for, where nobody has told of it.
            Inner::Told(_) | Inner::Service { .. } => false,
        }
    }

    /// The pods that there are, by UID; `None` of a service, and before they were told.
    #[must_use]
    pub const fn pods(&self) -> Option<&BTreeMap<String, Fact>> {
        match &self.0 {
            Inner::Told(told) => Some(&told.known),
            Inner::Pods { known, .. } => known.as_ref(),
            Inner::Service { .. } => None,
        }
    }
}

fn take_pod(known: &mut Option<BTreeMap<String, Fact>>, event: Event<Pod>) -> Option<Stirred> {
    let before = known.clone();
    match event {
        Event::Listed(all) => {
            *known = Some(all.iter().map(|pod| (pod.metadata.uid.clone(), fact(pod))).collect());
        }
        Event::Applied(pod) => {
            let all = known.get_or_insert_default();
            // One that has its name is another one.
            all.retain(|uid, fact| *uid == pod.metadata.uid || fact.name != pod.metadata.name);
            all.insert(pod.metadata.uid.clone(), fact(&pod));
        }
        Event::Deleted(pod) => drop(known.get_or_insert_default().remove(&pod.metadata.uid)),
        Event::Trouble(error) => return Some(Stirred::Trouble(error)),
    }
    (*known != before).then_some(Stirred::Changed)
}

/// Takes an event in where objects have names of their own, by what matters of them.
fn take<R: Resource, M: PartialEq + Clone>(
    known: &mut BTreeMap<String, M>,
    event: Event<R>,
    matters: impl Fn(R) -> M,
) -> Option<Stirred> {
    let before = known.clone();
    match event {
        Event::Listed(all) => {
            let named = all.into_iter().map(|one| (one.metadata().name.clone(), matters(one)));
            *known = named.collect();
        }
        Event::Applied(one) => drop(known.insert(one.metadata().name.clone(), matters(one))),
        Event::Deleted(one) => drop(known.remove(&one.metadata().name)),
        Event::Trouble(error) => return Some(Stirred::Trouble(error)),
    }
    (*known != before).then_some(Stirred::Changed)
}

fn fact(pod: &Pod) -> Fact {
    let all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let running = all.filter(|status| status.is_running()).count();
    let addresses = pod.status.pod_ips.iter().filter_map(|one| one.ip.parse().ok());
    let leaves = pod.metadata.deletion_timestamp.is_some();
    Fact {
        name: pod.metadata.name.clone(),
        addresses: addresses.collect(),
        over: matches!(pod.status.phase, Phase::Succeeded | Phase::Failed),
        state: (pod.spec.node_name.clone(), leaves, pod.status.phase, running),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster::Pulse;
    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::catalogue::Shelf;
    use super::*;

    fn pod(uid: &str, name: &str, more: Value) -> Pod {
        let mut pod = json!({
            "metadata": { "uid": uid, "name": name },
            "status": { "phase": "Running", "podIPs": [{ "ip": "10.0.0.1" }] },
        });
        for (key, value) in more.as_object().unwrap() {
            pod["status"][key] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn what_does_not_matter_stirs_nobody() {
        let changed = Some(Stirred::Changed);
        let mut known = None;
        let mut told = |event| take_pod(&mut known, event);
        let web = |more| pod("1", "web-0", more);
        assert_eq!(told(Event::Listed(Vec::new())), changed, "that there is none is news");
        assert_eq!(told(Event::Applied(web(json!({})))), changed);
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        assert_eq!(told(Event::Applied(web(ready))), None);
        assert_eq!(told(Event::Applied(web(json!({ "podIPs": [] })))), changed);
        assert_eq!(told(Event::Applied(web(json!({ "phase": "Failed" })))), changed);
        // Whoever comes under its name has taken its place, also where its end was not told.
        assert_eq!(told(Event::Applied(pod("2", "web-0", json!({})))), changed);
        assert_eq!(known.unwrap().into_keys().collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn a_pod_whose_containers_have_ended_is_over() {
        let over = |phase: &str| fact(&pod("1", "web-0", json!({ "phase": phase }))).over;
        let table = ["Pending", "Running", "Unknown", "Succeeded", "Failed"].map(over);
        assert_eq!(table, [false, false, false, true, true]);
    }

    fn told(shelf: &Arc<Shelf<Pod>>) -> Told {
        let meant = Meant::Labels("app=web".parse().unwrap());
        let (subscription, namespace) = (Subscription::of(shelf), "prod".to_owned());
        Told { subscription, namespace, meant, known: BTreeMap::new() }
    }

    proptest! {
        /// Whoever goes from change to change knows what one knows who looks at all of it, and is stirred if and only
        /// if that is something else than before.
        #[test]
        fn what_is_told_of_all_is_what_is_meant(
            events in proptest::collection::vec((0u8..8, 0u8..4, 0u8..3, any::<bool>()), 0..40),
        ) {
            let shelf = Arc::new(Shelf::new(Pulse::default()));
            let mut going = told(&shelf);
            for (kind, place, life, labelled) in events {
                let namespace = if place % 2 == 0 { "prod" } else { "dev" };
                let name = format!("web-{}", place / 2);
                let mut one = pod(&format!("{place}-{life}"), &name, json!({}));
                one.metadata.namespace = Some(namespace.to_owned());
                if labelled {
                    one.metadata.labels.insert("app".to_owned(), "web".to_owned());
                }
                shelf.take(match kind {
                    0 => Event::Listed(vec![one]),
                    1 | 2 => Event::Deleted(one),
                    _ => Event::Applied(one),
                });
                let before = going.known.clone();
                let moved = going.subscription.moved().now_or_never().unwrap();
                let stirred = going.look(&moved);
                let mut looking = told(&shelf);
                looking.look_at_all();
                prop_assert_eq!(&going.known, &looking.known);
                prop_assert_eq!(stirred, before != going.known);
            }
        }
    }

    #[test]
    fn who_is_expected_and_not_told_of_is_not_taken_for_gone() {
        let shelf = Arc::new(Shelf::new(Pulse::default()));
        let mut one = pod("1", "web-0", json!({}));
        one.metadata.namespace = Some("prod".to_owned());
        one.metadata.labels.insert("app".to_owned(), "web".to_owned());
        shelf.take(Event::Listed(vec![one]));
        let mut told = told(&shelf);
        told.look_at_all();
        let expects = |uid: &str, addresses: &[[u8; 4]]| {
            let addresses = addresses.iter().map(|own| IpAddr::from(*own)).collect();
            told.has(&[(uid.to_owned(), addresses)])
        };
        // With the addresses that are told, and with others of its node; then with another one, and another pod.
        assert!(expects("1", &[[10, 0, 0, 1]]) && expects("1", &[[10, 0, 0, 1], [10, 0, 0, 9]]));
        assert!(!expects("1", &[[10, 0, 0, 2]]) && !expects("2", &[[10, 0, 0, 1]]));
        assert!(told.has(&[]), "nobody is");
    }
}

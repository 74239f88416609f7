//! What becomes of the pods, or of the service, that a selector names: told as it happens.

mod roster;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use cluster::{
    ApiError, Deployment, Endpoint, EndpointSlice, Event, Pod, Resource, Selection, Service,
    StatefulSet, Watch, Within,
};
use fault::{KubernetesPods, LabelSelector, PodsBy};

use super::Kubernetes;
use super::asking::{PodsError, selection};
use super::catalogue::{Moved, Subscription};
use super::service::slices;
pub use roster::{Fact, Presence};
use roster::{Roster, Standing, facts};

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
pub struct Attention {
    inner: Inner,
    /// What is asked for of whom nothing was told.
    within: Within,
    selection: Selection,
}

#[derive(Debug)]
enum Inner {
    /// What is told of all pods anyway.
    Told(Told),
    Pods {
        watch: Watch<Pod>,
        /// `None` before they were listed.
        roster: Option<Roster>,
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
    roster: Roster,
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
                let selection = named(name.as_str());
                let inner = Inner::Service {
                    service: self.client.watch(within.clone(), selection.clone()),
                    slices: self.client.watch(within.clone(), slices(name)),
                    of_service: BTreeMap::new(),
                    of_slices: BTreeMap::new(),
                };
                return Ok(Attention { inner, within, selection });
            }
        };
        // What is told may be behind what was asked: nobody is gone because of that.
        let told = self.told(pods, &selected).filter(|told| told.has(expected));
        let inner = match told {
            Some(told) => Inner::Told(told),
            None => {
                let watch = self.client.watch(within.clone(), selected.clone());
                Inner::Pods { watch, roster: None }
            }
        };
        Ok(Attention { inner, within, selection: selected })
    }

    /// The pods that are watched, by UID, as the API server has them right now.
    ///
    /// # Errors
    /// It does not say.
    pub async fn watched_now(
        &self,
        attention: &Attention,
    ) -> Result<BTreeMap<String, Fact>, PodsError> {
        let Attention { within, selection, .. } = attention;
        let all = self.list_pods(within, selection).await?;
        Ok(facts(all.iter().map(Arc::as_ref)))
    }

    /// What is told of pods anyway, where that is how things are.
    fn told(&self, pods: &KubernetesPods, selected: &Selection) -> Option<Told> {
        let catalogue = self.current()?;
        let meant = match (&pods.which, &selected.labels) {
            (PodsBy::Name { pod, .. }, _) => Meant::Name(pod.to_string()),
            (_, labels) => Meant::Labels(labels.as_ref()?.parse().ok()?),
        };
        let (subscription, namespace) = (catalogue.subscribe(), pods.namespace.to_string());
        let mut told = Told { subscription, namespace, meant, roster: Roster::default() };
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
        self.roster.is(&place.1, now.as_deref())
    }

    fn look_at_all(&mut self) -> bool {
        let all = self.subscription.within(&self.namespace);
        let all = all.iter().map(Arc::as_ref).filter(|pod| self.meant.is(pod));
        self.roster.are(facts(all))
    }

    /// Whether all of these are there, and nothing else is told of their addresses.
    fn has(&self, expected: &[Expected]) -> bool {
        expected.iter().all(|(uid, addresses)| {
            self.roster.there().get(uid).is_some_and(|fact| fact.is_with(addresses))
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
            let stirred = match &mut self.inner {
                Inner::Told(told) => {
                    told.stirred().await;
                    Some(Stirred::Changed)
                }
                Inner::Pods { watch, roster } => {
                    let event = watch.next().await;
                    let is_news = roster::take(roster, &event);
                    match event {
                        Event::Trouble(error) => Some(Stirred::Trouble(error)),
                        Event::Listed(_) | Event::Applied(_) | Event::Deleted(_) => {
                            is_news.then_some(Stirred::Changed)
                        }
                    }
                }
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
        match &self.inner {
            Inner::Pods { .. } => true,
            // Whom a service leads to is asked for, where nobody has told of it.
            Inner::Told(_) | Inner::Service { .. } => false,
        }
    }

    /// The pods that there are, by UID; `None` of a service, and before they were told.
    #[must_use]
    pub fn pods(&self) -> Option<&BTreeMap<String, Fact>> {
        self.roster().map(|(roster, _)| roster.there())
    }

    /// Whether a pod is there which has these addresses, by what is told; `None` of a service, and before any were told.
    #[must_use]
    pub fn presence(&self, uid: &str, addresses: &BTreeSet<IpAddr>) -> Option<Presence> {
        let (roster, standing) = self.roster()?;
        Some(roster.presence(uid, addresses, standing))
    }

    fn roster(&self) -> Option<(&Roster, Standing)> {
        let (roster, is_current) = match &self.inner {
            Inner::Told(told) => (&told.roster, told.subscription.is_current()),
            Inner::Pods { watch, roster } => (roster.as_ref()?, watch.pulse().is_current()),
            Inner::Service { .. } => return None,
        };
        Some((roster, if is_current { Standing::Current } else { Standing::Old }))
    }
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

    fn told(shelf: &Arc<Shelf<Pod>>) -> Told {
        let meant = Meant::Labels("app=web".parse().unwrap());
        let (subscription, namespace) = (Subscription::of(shelf), "prod".to_owned());
        Told { subscription, namespace, meant, roster: Roster::default() }
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
                let before = going.roster.there().clone();
                let moved = going.subscription.moved().now_or_never().unwrap();
                let stirred = going.look(&moved);
                let mut looking = told(&shelf);
                looking.look_at_all();
                prop_assert_eq!(going.roster.there(), looking.roster.there());
                prop_assert_eq!(stirred, &before != going.roster.there());
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

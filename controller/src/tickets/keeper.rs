//! The task that makes tickets good, and says in objects what has become of them.
//!
//! Only who leads has it. Tickets are in its memory alone: those of a controller that is gone are good no longer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use agent::server::Captures;
use cluster::{ApiError, Client, Event, Name, Namespace, NamespaceObject, Selection, Within};
use fault::Selector;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::asked::asked;
use super::book::{Book, Ticket};
use super::resource::{Capture, Phase, Status};
use crate::keeping::waiting::told_to_stop;
use crate::objects::Tenure;
use crate::objects::consent::{Consent, Withheld};
use crate::serve::capturing::{ALLOWING, PRIVATE};
use crate::sight::GroupName;

/// How often it is looked whose time is over, and what failed is tried again.
const LOOK: Duration = Duration::from_secs(2);
/// What may have been heard and not been looked at yet.
const WAITING: usize = 64;

/// The tickets, for whoever makes them good and whoever redeems them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Book>>);

impl Shared {
    /// The book, for a moment.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has become of a ticket that was redeemed.
#[derive(Debug)]
pub(crate) struct News {
    /// Whose.
    pub(crate) object: Box<Capture>,
    /// How it stands now.
    pub(crate) status: Status,
}

/// Tells which clusters are of the settings.
pub(crate) type OfSettings = Box<dyn Fn(&GroupName) -> bool + Send + Sync>;

/// What it works with.
pub(crate) struct Means {
    /// Whom it asks for objects.
    pub(crate) client: Client,
    /// Whether there are captures at all.
    pub(crate) captures: Captures,
    /// The tickets.
    pub(crate) tickets: Shared,
    /// The own pod, NAMESPACE/NAME.
    pub(crate) pod: String,
    /// Whether a cluster is one of the settings, which may be anywhere.
    pub(crate) of_settings: OfSettings,
    /// Whether this installation keeps objects: of several in a cluster one does.
    pub(crate) tenure: watch::Receiver<Tenure>,
    /// From whoever redeems.
    pub(crate) news: mpsc::UnboundedReceiver<News>,
}

struct Keeper {
    client: Client,
    captures: Captures,
    tickets: Shared,
    pod: String,
    of_settings: OfSettings,
    tenure: watch::Receiver<Tenure>,
    /// Objects of which it is not known yet whose they are, or that are another installation's.
    others: BTreeMap<String, Capture>,
    /// Objects that are ours to tell of, by their UIDs.
    own: BTreeMap<String, Capture>,
    /// What is to be written into them.
    owed: BTreeMap<String, Status>,
}

/// Keeps tickets until it is told to stop.
pub(crate) async fn run(means: Means, mut stopped: watch::Receiver<bool>) {
    let Means { client, captures, tickets, pod, of_settings, tenure, mut news } = means;
    // By itself, so that what happens elsewhere never has it begin anew.
    let (heard, mut hearing) = mpsc::channel(WAITING);
    let mut watched = client.watch::<Capture>(Within::Cluster, Selection::default());
    let following =
        tokio::spawn(async move { while heard.send(watched.next().await).await.is_ok() {} });
    let mut keeper = Keeper {
        client,
        captures,
        tickets,
        pod,
        of_settings,
        tenure,
        others: BTreeMap::new(),
        own: BTreeMap::new(),
        owed: BTreeMap::new(),
    };
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            Some(event) = hearing.recv() => keeper.happened(event).await,
            Some(News { object, status }) = news.recv() => {
                keeper.owed.insert(object.metadata.uid.clone(), status);
            }
            _ = look.tick() => {
                keeper.expire(SystemTime::now());
                keeper.take_over().await;
            }
        }
        keeper.tell().await;
    }
    following.abort();
}

impl Keeper {
    async fn happened(&mut self, event: Event<Capture>) {
        match event {
            Event::Listed(all) => {
                let is_there = |uid: &String| all.iter().any(|one| one.metadata.uid == *uid);
                let known = self.own.keys().chain(self.others.keys());
                let gone: Vec<String> = known.filter(|uid| !is_there(uid)).cloned().collect();
                gone.iter().for_each(|uid| self.gone(uid));
                for object in all {
                    self.applied(object).await;
                }
            }
            Event::Applied(object) => self.applied(object).await,
            Event::Deleted(object) => self.gone(&object.metadata.uid),
            Event::Trouble(error) => tracing::debug!(%error, "captures are not watched"),
        }
    }

    /// Nobody is left to be told, and what was good for it is good no longer.
    fn gone(&mut self, uid: &str) {
        self.tickets.book().revoke(uid);
        self.others.remove(uid);
        self.own.remove(uid);
        self.owed.remove(uid);
    }

    async fn applied(&mut self, object: Capture) {
        let uid = object.metadata.uid.clone();
        if self.own.contains_key(&uid) {
            return;
        }
        if !self.tenure.borrow().is_own() {
            self.others.insert(uid, object);
            return;
        }
        let status = match object.status.phase {
            None => match self.issue(&object).await {
                Ok(()) => Status {
                    phase: Some(Phase::Ready),
                    pod: Some(self.pod.clone()),
                    ..Status::default()
                },
                Err(why) => Status::of(Phase::Refused, why),
            },
            // Another one has made it good, and is gone with it.
            Some(Phase::Ready | Phase::Running) => {
                Status::of(Phase::Expired, "its controller is gone: create another one")
            }
            Some(Phase::Over | Phase::Expired | Phase::Refused) => return,
        };
        self.owed.insert(uid.clone(), status);
        self.own.insert(uid, object);
    }

    /// Takes on what has become its own to keep.
    async fn take_over(&mut self) {
        if self.tenure.borrow().is_own() {
            for object in std::mem::take(&mut self.others).into_values() {
                self.applied(object).await;
            }
        }
    }

    /// Makes its ticket good.
    async fn issue(&self, object: &Capture) -> Result<(), String> {
        match self.captures {
            Captures::Allowed => {}
            Captures::Refused => return Err(format!("{PRIVATE}; {ALLOWING}")),
        }
        let request = asked(object)?;
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let named = request.target.iter().chain(&request.peers).cloned();
        let selectors = named.filter_map(|one| Selector::try_from(one).ok());
        let mut groups = selectors.filter_map(|selector| GroupName::of(&selector));
        if let Some(group) = groups.find(|group| (self.of_settings)(group)) {
            return Err(Withheld::Elsewhere(group.to_string()).to_string());
        }
        self.consents(&namespace).await?;
        let ticket = Ticket { object: object.clone(), request };
        let issued = self.tickets.book().issue(ticket, SystemTime::now());
        issued.map_err(|error| error.to_string())
    }

    /// What the policy did not see (its binding is gone) is refused here.
    async fn consents(&self, namespace: &str) -> Result<(), String> {
        let name: Name =
            namespace.parse().map_err(|error: cluster::NameError| error.to_string())?;
        let found = self.client.get::<NamespaceObject>(&Within::Cluster, &name).await;
        let mut consent = Consent::default();
        consent.listed(&[found.map_err(|error| error.to_string())?]);
        let consented = consent.check(&[namespace.to_owned()]);
        consented.map_err(|withheld: Withheld| format!("{withheld}: {}", withheld.hint()))
    }

    fn expire(&mut self, now: SystemTime) {
        for object in self.tickets.book().expired(now) {
            let status = Status::of(Phase::Expired, "nobody has used its ticket within a minute");
            self.owed.insert(object.metadata.uid, status);
        }
    }

    /// Writes what is owed; what cannot be written is tried again.
    async fn tell(&mut self) {
        for (uid, status) in std::mem::take(&mut self.owed) {
            let Some(object) = self.own.get(&uid) else { continue };
            match write(&self.client, object, &status).await {
                // Nothing more comes of it.
                Ok(()) if status.phase.is_some_and(Phase::is_final) => {
                    self.tickets.book().revoke(&uid);
                }
                Ok(()) => {}
                // It is gone, or others have changed what it can say: the watch tells.
                Err(error) if error.reason().is_some() && !error.is_passing() => {
                    tracing::warn!(place = %object.place(), %error, "its status is not told");
                    self.tickets.book().revoke(&uid);
                }
                Err(error) => {
                    tracing::debug!(place = %object.place(), %error, "trying again");
                    self.owed.entry(uid).or_insert(status);
                }
            }
        }
    }
}

/// Writes a status, into that object and no other one of its name.
async fn write(client: &Client, object: &Capture, status: &Status) -> Result<(), ApiError> {
    let malformed = |error: cluster::NameError| ApiError {
        attempted: format!("change {}", object.place()),
        cause: cluster::Cause::Malformed(error.to_string()),
    };
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let namespace: Namespace = namespace.parse().map_err(malformed)?;
    let name: Name = object.metadata.name.parse().map_err(malformed)?;
    let patch = json!({ "metadata": { "uid": object.metadata.uid }, "status": status });
    client.merge_status::<Capture>(&Within::Namespace(namespace), &name, &patch).await.map(drop)
}

#[cfg(test)]
mod tests {
    use proto::control as wire;
    use serde_json::Value;

    use super::super::book::{GOOD, Hash};
    use super::*;
    use crate::objects::consent::{ALLOWED, LABEL};
    use crate::provider::kubernetes::mock::Living;

    const STATUS: &str = "/apis/schism.dev/v1alpha1/namespaces/prod/captures/one/status";

    /// A keeper, and its API server with a namespace that lets captures in.
    async fn keeper() -> (Keeper, Living) {
        let server = Living::default();
        let metadata = json!({ "name": "prod", "labels": { LABEL: ALLOWED } });
        server.put("/api/v1/namespaces/prod", json!({ "metadata": metadata }));
        server.put(STATUS, json!({ "metadata": { "name": "one" } }));
        let keeper = Keeper {
            client: server.client().await,
            captures: Captures::Allowed,
            tickets: Shared::default(),
            pod: "schism/c".to_owned(),
            of_settings: Box::new(|group: &GroupName| group.to_string() == "zeebe:prod"),
            tenure: watch::Sender::new(Tenure::Whole).subscribe(),
            others: BTreeMap::new(),
            own: BTreeMap::new(),
            owed: BTreeMap::new(),
        };
        (keeper, server)
    }

    fn object(target: &str, phase: Value) -> Capture {
        let ticket = Hash::of(&[7; 16]).to_string();
        let metadata = json!({ "name": "one", "namespace": "prod", "uid": "u" });
        serde_json::from_value(json!({
            "metadata": metadata, "spec": { "target": target, "ticket": ticket },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    async fn told(keeper: &mut Keeper, server: &Living) -> Value {
        keeper.tell().await;
        server.get(STATUS).unwrap()["status"].clone()
    }

    #[tokio::test]
    async fn a_ticket_is_good_once_its_object_is_known_and_what_comes_of_it_is_told() {
        let (mut keeper, server) = keeper().await;
        let one = object("pod/a", Value::Null);
        keeper.happened(Event::Listed(vec![one.clone()])).await;
        let ready = told(&mut keeper, &server).await;
        assert_eq!(ready, json!({ "phase": "Ready", "pod": "schism/c" }));
        // Its own answer, and whatever else comes, makes no other one.
        keeper.happened(Event::Applied(object("pod/a", json!("Ready")))).await;
        assert!(keeper.owed.is_empty());
        let ticket = keeper.tickets.book().redeem(&[7; 16], SystemTime::now()).unwrap();
        assert_eq!((ticket.object, ticket.request.peers), (one, Vec::<wire::Selector>::new()));
        keeper.owed.insert("u".to_owned(), Status::of(Phase::Over, "done"));
        assert_eq!(told(&mut keeper, &server).await["phase"], "Over");
    }

    #[tokio::test]
    async fn a_ticket_that_nobody_uses_or_whose_object_goes_is_good_no_longer() {
        let (mut keeper, server) = keeper().await;
        keeper.happened(Event::Applied(object("pod/a", Value::Null))).await;
        keeper.expire(SystemTime::now());
        assert_eq!(told(&mut keeper, &server).await["phase"], "Ready");
        keeper.expire(SystemTime::now() + GOOD);
        assert_eq!(told(&mut keeper, &server).await["phase"], "Expired");
        keeper.happened(Event::Deleted(object("pod/a", Value::Null))).await;
        keeper.happened(Event::Applied(object("pod/a", Value::Null))).await;
        keeper.happened(Event::Deleted(object("pod/a", Value::Null))).await;
        assert_eq!(keeper.tickets.book().redeem(&[7; 16], SystemTime::now()), None);
        keeper.happened(Event::Applied(object("pod/a", Value::Null))).await;
        keeper.happened(Event::Listed(Vec::new())).await;
        assert_eq!(keeper.tickets.book().redeem(&[7; 16], SystemTime::now()), None);
    }

    #[tokio::test]
    async fn what_another_installation_keeps_is_left_alone_until_it_does_no_longer() {
        let (mut keeper, server) = keeper().await;
        let tenure = watch::Sender::new(Tenure::Other("elders".to_owned()));
        keeper.tenure = tenure.subscribe();
        keeper.happened(Event::Applied(object("pod/a", Value::Null))).await;
        keeper.take_over().await;
        assert_eq!(told(&mut keeper, &server).await, Value::Null);
        tenure.send_replace(Tenure::Whole);
        keeper.take_over().await;
        assert_eq!(told(&mut keeper, &server).await["phase"], "Ready");
    }

    #[tokio::test]
    async fn what_may_not_be_is_refused_and_what_another_one_has_begun_is_over() {
        for (target, phase, expected, why) in [
            ("host:n1", Value::Null, "Refused", "names no pods"),
            ("zeebe:gateway", Value::Null, "Refused", "of the controller's settings"),
            ("pod/a", json!("Ready"), "Expired", "its controller is gone"),
            ("pod/a", json!("Running"), "Expired", "its controller is gone"),
        ] {
            let (mut keeper, server) = keeper().await;
            keeper.happened(Event::Applied(object(target, phase))).await;
            let told = told(&mut keeper, &server).await;
            assert_eq!(told["phase"], expected, "{target}: {told}");
            assert!(told["message"].as_str().unwrap().contains(why), "{target}: {told}");
        }
        let (mut keeper, server) = keeper().await;
        server.put("/api/v1/namespaces/prod", json!({ "metadata": { "name": "prod" } }));
        keeper.happened(Event::Applied(object("pod/a", Value::Null))).await;
        let told = told(&mut keeper, &server).await;
        assert!(told["message"].as_str().unwrap().contains("does not let faults in"), "{told}");
        let over = object("pod/a", json!("Over"));
        keeper.happened(Event::Deleted(over.clone())).await;
        keeper.happened(Event::Applied(over)).await;
        assert!(keeper.owed.is_empty());
    }
    #[tokio::test]
    async fn where_captures_are_off_their_objects_say_so() {
        let (mut keeper, server) = keeper().await;
        keeper.captures = Captures::Refused;
        keeper.happened(Event::Applied(object("pod/a", Value::Null))).await;
        let told = told(&mut keeper, &server).await;
        let expected = format!("{PRIVATE}; {ALLOWING}");
        assert_eq!(told, json!({ "phase": "Refused", "message": expected }));
        assert_eq!(keeper.tickets.book().redeem(&[7; 16], SystemTime::now()), None);
    }
}

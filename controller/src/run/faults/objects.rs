//! Faults of a run that are objects of an API server: made as the user, deleted to heal them. A controller of the
//! cluster puts them in and renews them, each until its deadline: that is what ends those of a run that is killed.

mod arrival;
mod ended;
mod seen;
mod wish;

use std::fmt;
use std::time::Duration;

use cluster::{ApiError, Client, Reason};
use experiment::model::{FaultLabel, FaultVerb};
use experiment::run::{Effect, Healing, NamedFault};
use fault::IntentId;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::acting::Acting;
use super::telling::Teller;
use super::withdrawal::Withdrawn;
use super::{Standing, id};
use crate::experiments::job::Origin;
use crate::failure::{Cause, Failure};
use crate::objects::resource::{Kind, Object, Place};
use crate::objects::status::Phase;
use crate::objects::user::{Watched, count, create, delete, find, refused};
use crate::output::Output;
use arrival::{acts, is_no};
use seen::{Seen, follow};
pub(super) use wish::{parse, senseless, unsaid};

/// How long a heal may take until it is told as not confirmed (45 s): three leases, as they are where nobody says
/// another one.
const HEALING: Duration = Duration::from_secs(45);

/// How long a controller may take to tell counts that it was asked for (10 s).
const COUNTING: Duration = Duration::from_secs(10);

/// How long objects of faults that are over may take to be gone at the end of a run (5 s).
const LEAVING: Duration = Duration::from_secs(5);

/// From one attempt to the next.
const AGAIN: Duration = Duration::from_millis(500);

/// What a run calls the fault of an object.
const LABEL: &str = "schism.dev/fault";

/// Where objects are made, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    /// Of which API server.
    pub(crate) client: Client,
    /// Where those are that name pods of one namespace.
    pub(crate) namespace: String,
    /// The pod of the Job that has them made, if one has.
    pub(crate) origin: Option<Origin>,
}

impl fmt::Display for Space {
    /// As a journal has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.client.config().server;
        write!(f, "objects of namespace {} at {server}", self.namespace)
    }
}

/// An object of this run, as long as its fault may be there.
#[derive(Clone, Debug)]
pub(super) struct Held {
    intent: IntentId,
    place: Place,
    /// What is known of it; nothing where nobody knows whether it was made.
    seen: Option<watch::Receiver<Seen>>,
}

impl Held {
    pub(super) const fn intent(&self) -> IntentId {
        self.intent
    }

    /// What it does, by what was last told; nothing of one that does not act.
    pub(super) fn acting(&self, label: &FaultLabel) -> Option<Acting> {
        let seen = self.seen.as_ref()?.borrow();
        let status = seen.status();
        let acts = status.phase == Phase::Active && !seen.is_gone();
        acts.then(|| Acting {
            doing: format!("{label}: {}", status.effect),
            left: None,
            lease: None,
        })
    }
}

/// What an object is called, whoever looks for it: by what its journal has.
fn name(intent: IntentId) -> String {
    format!("run-{intent}")
}

/// The API server of a cluster.
pub(super) struct InCluster {
    space: Space,
    user: String,
    teller: Teller,
    output: Output,
}

impl InCluster {
    pub(super) async fn open(
        space: &Space,
        teller: Teller,
        output: Output,
    ) -> Result<Self, Failure> {
        let user = space.client.who_am_i().await;
        let user = user.map_err(|error| refused("cannot put faults in", &error))?.username;
        output.note(format!("faults are {space}, as {}", fault::Legible(&user)));
        Ok(Self { space: space.clone(), user, teller, output })
    }

    /// Makes an object, and waits until its fault acts.
    pub(super) async fn begin(
        &self,
        fault: &NamedFault,
        verb: FaultVerb,
        arguments: &Map<String, Value>,
        standing: &mut Option<Standing>,
        withdrawn: &mut Withdrawn,
    ) -> Result<Value, Failure> {
        let wish::Wish { attempted, kind, mut object } =
            wish::wish(verb, arguments, &self.space.namespace)?;
        let intent = id(fault.key);
        object.metadata.name = name(intent);
        object.metadata.annotations.insert(LABEL.to_owned(), fault.label.to_string());
        object.spec.requested_by = Some(self.user.clone());
        if let Some(origin) = &self.space.origin {
            origin.mark(&mut object.metadata);
        }
        let place = object.place(kind);
        // From here on something of it may be there.
        let mut held = Held { intent, place: place.clone(), seen: None };
        *standing = Some(Standing::Object(Box::new(held.clone())));
        let made = match create(&self.space.client, &place, &object).await {
            Ok(made) => made,
            Err(error) => {
                // Where it said nothing it may make it yet, also if there is nothing: that is looked at once more at the
                // end of the run.
                if is_no(&error) || self.was_there(&held).await {
                    *standing = None;
                }
                return Err(refused(&attempted, &error));
            }
        };
        let mut seen = self.follow(&place, fault.label.clone(), made);
        held.seen = Some(seen.clone());
        *standing = Some(Standing::Object(Box::new(held.clone())));
        let began = withdrawn.unless(&attempted, acts(&mut seen, &attempted)).await;
        if began.is_err() && self.is_out(&held).await {
            *standing = None;
        }
        began?;
        let object = seen.borrow().object.clone();
        let status = serde_json::to_value(&object.status).unwrap_or_default();
        let (namespace, name) = (object.metadata.namespace, object.metadata.name);
        let shown = json!({"kind": kind.word(), "namespace": namespace, "name": name});
        Ok(json!({"id": object.status.intent, "object": shown, "status": status}))
    }

    /// Tells the run of an object from now on.
    fn follow(&self, place: &Place, label: FaultLabel, object: Object) -> watch::Receiver<Seen> {
        let (sender, seen) = watch::channel(Seen::new(object));
        let watched = Watched::new(&self.space.client, place);
        let told = Some((label, self.teller.clone()));
        tokio::spawn(follow(watched, place.clone(), sender, told, self.output));
        seen
    }

    /// Whether nothing is there of what was not put in.
    async fn is_out(&self, held: &Held) -> bool {
        self.heal(held).await.is_ok_and(|healing| match healing {
            Healing::Out(_) | Healing::Broken(..) | Healing::Absent => true,
            Healing::Unconfirmed(_) => false,
        })
    }

    /// Whether something was there of it, and is gone.
    async fn was_there(&self, held: &Held) -> bool {
        self.heal(held).await.is_ok_and(|healing| match healing {
            Healing::Out(_) | Healing::Broken(..) => true,
            Healing::Absent | Healing::Unconfirmed(_) => false,
        })
    }

    /// Deletes an object, and waits until it is gone.
    pub(super) async fn heal(&self, held: &Held) -> Result<Healing, Failure> {
        match &held.seen {
            Some(seen) => self.out(&held.place, seen.clone()).await,
            None => self.heal_place(&held.place).await,
        }
    }

    /// Takes out what another command has put in.
    pub(super) async fn heal_left(&self, intent: IntentId) -> Result<Healing, Failure> {
        let namespace = self.space.namespace.clone();
        let in_namespace = Place { kind: Kind::Fault, namespace, name: name(intent) };
        let healing = self.heal_place(&in_namespace).await?;
        if healing != Healing::Absent {
            return Ok(healing);
        }
        let kind = Kind::ClusterFault;
        let of_cluster = Place { kind, namespace: String::new(), name: name(intent) };
        match self.heal_place(&of_cluster).await {
            // Nothing was made there by whoever may not even look.
            Err(failure) if failure.cause == Cause::Refused => Ok(Healing::Out(Effect::default())),
            Ok(Healing::Absent) => Ok(Healing::Out(Effect::default())),
            healed => healed,
        }
    }

    /// Takes out whatever has a name.
    async fn heal_place(&self, place: &Place) -> Result<Healing, Failure> {
        let attempted = format!("cannot heal {place}");
        let client = &self.space.client;
        let found = again(|| find(client, place)).await;
        let Some(object) = found.map_err(|error| refused(&attempted, &error))? else {
            return Ok(Healing::Absent);
        };
        let (sender, seen) = watch::channel(Seen::new(object));
        let watched = Watched::new(client, place);
        let following = tokio::spawn(follow(watched, place.clone(), sender, None, self.output));
        let healed = self.out(place, seen).await;
        following.abort();
        healed
    }

    async fn out(
        &self,
        place: &Place,
        mut seen: watch::Receiver<Seen>,
    ) -> Result<Healing, Failure> {
        let end = Instant::now() + HEALING;
        let uid = seen.borrow().object.metadata.uid.clone();
        let client = &self.space.client;
        if !seen.borrow().is_gone() {
            let deleted = timeout_at(end, again(|| delete(client, place, Some(&uid)))).await;
            match deleted {
                // It is gone, and another one has its name.
                Ok(Err(error)) if error.reason() == Some(&Reason::Conflict) => {}
                Ok(Err(error)) => {
                    return Err(refused(&format!("cannot heal {place}"), &error)
                        .hint("its deadline ends it: `kubectl schism status` shows it"));
                }
                Ok(Ok(())) | Err(_) => {}
            }
        }
        let gone = matches!(timeout_at(end, seen.wait_for(Seen::is_gone)).await, Ok(Ok(_)));
        let seen = seen.borrow();
        if gone || seen.is_settled() {
            return Ok(ended::healing(seen.status()));
        }
        let why = "nobody has confirmed that it is healed: its deadline ends it";
        Ok(Healing::Unconfirmed(format!("{place}: {why}")))
    }

    /// What a fault has done so far: of one that acts the controller tells it on request.
    pub(super) async fn effect(&self, held: &Held) -> Result<Effect, Failure> {
        let attempted = format!("cannot tell what {} does", held.place);
        let Some(mut seen) = held.seen.clone() else { return Ok(Effect::default()) };
        if !seen.borrow().is_settled() {
            let word = format!("{:012x}", crate::cut::random()?);
            let asked = again(|| count(&self.space.client, &held.place, &word)).await;
            // One that is gone by now was told to its end.
            if let Err(error) = asked
                && error.reason() != Some(&Reason::NotFound)
            {
                return Err(refused(&attempted, &error));
            }
            let is_told = |seen: &Seen| seen.is_settled() || seen.status().counted == word;
            let told = timeout(COUNTING, seen.wait_for(is_told)).await;
            if !matches!(told, Ok(Ok(_))) {
                let why = "the controller does not count it anew";
                return Err(Failure::caused(Cause::Unsupported, attempted, why)
                    .hint("one of an earlier version counts after 10 s, a minute, and so on"));
            }
        }
        Ok(ended::effect(seen.borrow().status()))
    }

    /// Deletes what is left of faults that are over: nothing stays of a run but its journal.
    pub(super) async fn leave(&self, left: Vec<Held>) {
        let gone = left.iter().filter_map(|held| {
            let mut seen = held.seen.clone()?;
            Some(async move {
                let uid = seen.borrow().object.metadata.uid.clone();
                if !seen.borrow().is_gone() {
                    delete(&self.space.client, &held.place, Some(&uid)).await?;
                }
                // What stays was told as not confirmed.
                let _ = seen.wait_for(Seen::is_gone).await;
                Ok::<(), ApiError>(())
            })
        });
        let all = timeout(LEAVING, futures_util::future::join_all(gone)).await;
        for error in all.unwrap_or_default().into_iter().filter_map(Result::err) {
            self.output.note(format!("an object of this run stays: {error}"));
        }
    }
}

/// The same call again and again, where it may succeed then, for as long as a heal may take.
async fn again<T, Asking>(call: impl Fn() -> Asking) -> Result<T, ApiError>
where
    Asking: Future<Output = Result<T, ApiError>>,
{
    let end = Instant::now() + HEALING;
    loop {
        match call().await {
            Err(error) if error.is_passing() && Instant::now() + AGAIN < end => sleep(AGAIN).await,
            done => return done,
        }
    }
}

//! The task that keeps objects and faults the same: it watches both, and does one step at a time for each object.
//!
//! Only who leads has it. What it knows is what the API server and the driver of intents have told; whatever it was
//! about to do when it ended, the next one comes to it by itself.

mod calls;
mod hearing;
mod mentioning;
pub(super) mod yielding;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{ApiError, Client, Definition, Event, Namespace, NamespaceObject, Reason, Resource};
use fault::{IntentId, Limits};
use futures_util::StreamExt as _;
use proto::control as wire;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::asked;
use super::consent::{Consent, Withheld};
use super::decision::{Attempt, Ending, Standing, Step, step};
use super::lacking::{Definitions, Unfit};
use super::resource::{Kind, Object, Place};
use super::status::{Phase, Status};
use super::tenure::{self, Tenure};
use super::waiting::{passed, told, told_to_stop};
use crate::archive::{Audit, Journal};
use crate::control::{AskError, Control, is_over};
use crate::failure::{Cause, Failure};
use crate::link::nanos;
use crate::pause;
use crate::sight::GroupName;
use calls::Done;
pub(crate) use calls::is_passing;
use hearing::Heard;

/// How long what is in the way of a fault may take to pass: agents dial a new leader within moments.
const PATIENCE: Duration = Duration::from_secs(15);

/// From one attempt to the next.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the API server may take to let go of objects when this controller ends.
const LEAVING: Duration = Duration::from_secs(2);

/// What it works with.
#[derive(Clone)]
pub struct Means {
    /// Whom it asks for objects.
    pub client: Client,
    /// The namespace of the own installation.
    pub namespace: Namespace,
    /// Whom it asks for faults.
    pub control: Control,
    /// Where it is written down who asked.
    pub audit: Journal<Audit>,
    /// How much may be hit at once.
    pub limits: Limits,
    /// To whom it tells whether it keeps objects.
    pub tenure: watch::Sender<Tenure>,
}

/// An object, and how far things are with it.
#[derive(Debug)]
struct Entry {
    object: Object,
    attempt: Attempt,
    ending: Ending,
    /// What was last said of it here; `None` before.
    said: Option<Status>,
    told: u64,
    /// Whether a call for it is under way.
    call: Call,
    /// How many calls in a row have failed.
    failures: u32,
    /// Nothing is tried before (Unix time, ns).
    pause: u64,
}

/// Whether a call is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    None,
    UnderWay,
}

impl Entry {
    fn new(object: Object) -> Self {
        Self {
            object,
            attempt: Attempt::default(),
            ending: Ending::default(),
            said: None,
            told: 0,
            call: Call::None,
            failures: 0,
            pause: 0,
        }
    }
}

/// The task's own.
struct Keeper {
    means: Means,
    entries: BTreeMap<Place, Entry>,
    /// Of which kinds all objects are known.
    listed: BTreeSet<Kind>,
    /// What became of intents that objects ask for.
    intents: BTreeMap<u64, wire::Intent>,
    consent: Consent,
    definitions: Definitions,
    /// When an object is to be looked at again, Unix time, ns.
    wakes: BTreeMap<Place, u64>,
    /// Intents without an object that are being ended.
    ending: BTreeSet<u64>,
    tasks: JoinSet<Done>,
    /// What was last told of an API server that does not answer, so that hours of it fill no disk.
    trouble: String,
}

/// Keeps objects and faults the same until it is told to stop.
pub(super) async fn run(means: Means, mut stopped: watch::Receiver<bool>) {
    let (_watching, mut hearing) = hearing::hear(&means.client);
    let Some(mut intents) = told(&means.control).await else { return };
    let mut keeper = Keeper {
        means,
        entries: BTreeMap::new(),
        listed: BTreeSet::new(),
        intents: BTreeMap::new(),
        consent: Consent::default(),
        definitions: Definitions::default(),
        wakes: BTreeMap::new(),
        ending: BTreeSet::new(),
        tasks: JoinSet::new(),
        trouble: String::new(),
    };
    loop {
        let (wake, now) = (keeper.wakes.values().min().copied(), keeper.now());
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            Some(heard) = hearing.recv() => match heard {
                Heard::Fault(event) => keeper.happened(Kind::Fault, event),
                Heard::OfCluster(event) => keeper.happened(Kind::ClusterFault, event),
                Heard::Namespace(event) => keeper.about_namespaces(event),
                Heard::Definition(kind, event) => keeper.about_definition(kind, event),
            },
            event = intents.next() => match event {
                Some(Ok(event)) => keeper.about_intents(event),
                // It fell behind by more than is remembered: everything is told anew.
                Some(Err(_)) | None => match told(&keeper.means.control).await {
                    Some(anew) => intents = anew,
                    None => break,
                },
            },
            Some(done) = keeper.tasks.join_next() => if let Ok(done) = done { keeper.done(done) },
            () = passed(wake, now) => {}
        }
        keeper.awake();
    }
    keeper.leave().await;
}

impl Keeper {
    fn now(&self) -> u64 {
        self.means.control.wall().now()
    }

    fn happened<R: Resource + Into<Object>>(&mut self, kind: Kind, event: Event<R>) {
        match event {
            Event::Listed(all) => {
                self.trouble.clear();
                let all: Vec<Object> = all.into_iter().map(Into::into).collect();
                let there: BTreeSet<Place> = all.iter().map(|one| one.place(kind)).collect();
                self.entries.retain(|place, _| place.kind != kind || there.contains(place));
                for object in all {
                    self.take(kind, object);
                }
                // Not before all are known: what acts for the last of them is no orphan of the first.
                self.listed.insert(kind);
                self.end_orphans();
            }
            Event::Applied(object) => {
                self.take(kind, object.into());
                self.end_orphans();
            }
            Event::Deleted(object) => {
                let object: Object = object.into();
                let place = object.place(kind);
                let is_it = |entry: &Entry| entry.object.metadata.uid == object.metadata.uid;
                if self.entries.get(&place).is_some_and(is_it) {
                    self.entries.remove(&place);
                    self.wakes.remove(&place);
                }
                self.end_orphans();
            }
            Event::Trouble(error) => self.away(&error),
        }
    }

    /// An API server that does not answer changes nothing: what acts ends at its deadline whoever is away.
    fn away(&mut self, error: &ApiError) {
        let reason = error.to_string();
        if self.trouble != reason {
            tracing::warn!(%reason, "faults as objects are not watched; trying again and again");
            self.trouble = reason;
        }
    }

    fn take(&mut self, kind: Kind, object: Object) {
        let place = object.place(kind);
        match self.entries.get_mut(&place) {
            Some(entry) if entry.object.metadata.uid == object.metadata.uid => {
                // The answer to an own call may have come before.
                if !object.is_before(&entry.object) {
                    entry.object = object;
                }
            }
            Some(_) | None => {
                self.entries.insert(place.clone(), Entry::new(object));
            }
        }
        self.consider(&place);
    }

    fn about_namespaces(&mut self, event: Event<NamespaceObject>) {
        match event {
            Event::Listed(all) => self.consent.listed(&all),
            Event::Applied(one) => self.consent.applied(&one),
            Event::Deleted(one) => self.consent.deleted(&one),
            Event::Trouble(error) => self.away(&error),
        }
    }

    fn about_definition(&mut self, kind: Kind, event: Event<Definition>) {
        match event {
            Event::Listed(all) => self.definitions.are(kind, all.first()),
            Event::Applied(one) => self.definitions.are(kind, Some(&one)),
            Event::Deleted(_) => self.definitions.are(kind, None),
            Event::Trouble(error) => {
                if self.definitions.check(kind) == Err(Unfit::Unknown) {
                    tenure::says(&self.means.tenure, Tenure::Untold(error.to_string()));
                }
                return self.away(&error);
            }
        }
        // Those that have waited for it.
        let places: Vec<Place> =
            self.entries.keys().filter(|place| place.kind == kind).cloned().collect();
        places.iter().for_each(|place| self.consider(place));
        if let Some(tenure) = self.definitions.tenure() {
            tenure::says(&self.means.tenure, tenure);
        }
    }

    fn about_intents(&mut self, event: wire::Event) {
        match event.kind {
            Some(wire::event::Kind::Intent(intent)) => self.learn(intent),
            Some(wire::event::Kind::Forgotten(forgotten)) => {
                self.intents.remove(&forgotten.id);
            }
            Some(_) | None => {}
        }
    }

    fn learn(&mut self, intent: wire::Intent) {
        let Some(place) = intent.object.as_ref().and_then(Place::of) else { return };
        let (id, over) = (intent.id, is_over(&intent));
        if over {
            self.ending.remove(&id);
        }
        let uid = intent.object.as_ref().map(|object| object.uid.clone()).unwrap_or_default();
        let is_its = |entry: &Entry| entry.object.metadata.uid == uid;
        let is_there = self.entries.get(&place).is_some_and(is_its);
        if over && !is_there && self.listed.contains(&place.kind) {
            // Nobody is left to be told.
            self.intents.remove(&id);
            return;
        }
        self.intents.insert(id, intent);
        if is_there {
            self.consider(&place);
        } else {
            self.end_orphans();
        }
    }

    /// Ends what acts for an object that is not there any more, however it went.
    fn end_orphans(&mut self) {
        let mut gone = Vec::new();
        for (id, intent) in &self.intents {
            let Some(object) = &intent.object else { continue };
            let Some(place) = Place::of(object) else { continue };
            let is_its = |entry: &Entry| entry.object.metadata.uid == object.uid;
            let is_there = self.entries.get(&place).is_some_and(is_its);
            if self.listed.contains(&place.kind) && !is_there {
                gone.push((*id, place, is_over(intent)));
            }
        }
        for (id, place, over) in gone {
            if over {
                self.intents.remove(&id);
            } else if self.ending.insert(id) {
                let reason = format!("{place} is gone");
                let id = IntentId::from_random(id);
                self.tasks.spawn(calls::heal(self.means.clone(), id, reason));
            }
        }
    }

    /// Looks at all objects whose time has come.
    fn awake(&mut self) {
        let now = self.now();
        let due: Vec<Place> = self
            .wakes
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(place, _)| place.clone())
            .collect();
        for place in due {
            self.wakes.remove(&place);
            self.consider(&place);
        }
    }

    /// Does the next step for an object, if it is its turn.
    fn consider(&mut self, place: &Place) {
        let now = self.now();
        let Some(entry) = self.entries.get_mut(place) else { return };
        self.wakes.remove(place);
        if entry.call == Call::UnderWay {
            return;
        }
        if now < entry.pause {
            self.wakes.insert(place.clone(), entry.pause);
            return;
        }
        let Some(id) = entry.object.intent() else {
            // No API server makes such a UID; nothing could be known by it.
            return tracing::error!(%place, "left alone: its UID is none");
        };
        let standing = Standing {
            object: &entry.object,
            intent: self.intents.get(&id.get()),
            attempt: &entry.attempt,
            ending: entry.ending,
            said: entry.said.as_ref().unwrap_or(&entry.object.status),
            told: entry.told,
        };
        match step(standing, now) {
            Step::Wait(until) => {
                let over = self.intents.get(&id.get()).is_some_and(is_over);
                if over {
                    // It was told, and a thousand parts take room.
                    self.intents.remove(&id.get());
                    entry.attempt = Attempt::Untried;
                }
                self.wakes.extend(until.map(|at| (place.clone(), at)));
            }
            Step::PutIn => self.put_in(place, id, now),
            Step::Heal(reason) => {
                entry.ending = Ending::Asked(now);
                let reason = format!("{reason}: {place}");
                self.tasks.spawn(calls::heal(self.means.clone(), id, reason));
                self.consider(place);
            }
            Step::Hold => {
                entry.call = Call::UnderWay;
                let object = entry.object.clone();
                self.tasks.spawn(calls::hold(self.means.client.clone(), place.clone(), object));
            }
            Step::Release => {
                entry.call = Call::UnderWay;
                let object = entry.object.clone();
                self.tasks.spawn(calls::release(self.means.client.clone(), place.clone(), object));
            }
            Step::Tell(status) => {
                entry.call = Call::UnderWay;
                let (client, object) = (self.means.client.clone(), entry.object.clone());
                let before = entry.said.as_ref().unwrap_or(&entry.object.status).phase;
                self.tasks.spawn(calls::tell(client, place.clone(), object, before, status));
            }
        }
    }

    fn put_in(&mut self, place: &Place, id: IntentId, now: u64) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        match self.definitions.check(place.kind) {
            Ok(()) => {}
            // They are listed within moments.
            Err(Unfit::Unknown) => {
                let at = now.saturating_add(nanos(AGAIN));
                self.wakes.insert(place.clone(), at);
                return;
            }
            Err(Unfit::Lacking(lack)) => {
                let attempted = format!("cannot do what {place} asks for");
                let refusal = Failure::caused(Cause::Refused, attempted, &lack).hint(lack.hint());
                entry.attempt = Attempt::Refused(Box::new(refusal));
                return self.consider(place);
            }
        }
        let spec = match asked::asked(place.kind, &entry.object) {
            Ok(spec) => spec,
            Err(refusal) => {
                entry.attempt = Attempt::Refused(Box::new(refusal));
                return self.consider(place);
            }
        };
        let is_of_settings = |group: &GroupName| self.means.control.has_cluster(group);
        let elsewhere = match place.kind {
            Kind::Fault => asked::groups(&spec).into_iter().find(is_of_settings),
            Kind::ClusterFault => None,
        };
        let consent = match elsewhere {
            Some(group) => Err(Withheld::Elsewhere(group.to_string())),
            None => self.consent.check(&asked::namespaces(&spec, is_of_settings)),
        };
        match consent {
            Ok(()) => {}
            // It is listed within moments.
            Err(Withheld::Unknown) => {
                let at = now.saturating_add(nanos(AGAIN));
                self.wakes.insert(place.clone(), at);
                return;
            }
            Err(withheld) => {
                let attempted = format!("cannot do what {place} asks for");
                let refusal = Failure::caused(Cause::Refused, attempted, &withheld);
                let refusal = refusal.hint(withheld.hint());
                entry.attempt = Attempt::Refused(Box::new(refusal));
                return self.consider(place);
            }
        }
        let since = match entry.attempt {
            Attempt::Again { since, .. } => since,
            Attempt::Untried | Attempt::UnderWay | Attempt::Refused(_) => now,
        };
        entry.attempt = Attempt::UnderWay;
        let object = entry.object.clone();
        self.tasks.spawn(calls::put_in(
            self.means.clone(),
            place.clone(),
            object,
            (id, spec),
            since,
        ));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Healed => {}
            Done::Mentioned => {}
            Done::Lasted { place, uid, status } => {
                if self.acts(&place, &uid) {
                    self.mention(&place, &status);
                }
            }
            Done::Changed { place, uid, result } => {
                self.changed(&place, &uid, result.map(|object| (object, None)));
            }
            Done::Told { place, uid, before, status, result } => {
                let result = match result {
                    // What the API server will not take is not offered again: nothing may hang by it.
                    Err(error) if is_senseless(&error) => {
                        tracing::error!(%place, %error, "its status is not told");
                        let entry = self.entries.get(&place);
                        entry.map(|entry| entry.object.clone()).ok_or(error)
                    }
                    result => result,
                };
                let (is_new, phase) = (before != status.phase, status.phase);
                if result.is_ok() && is_new && matches!(before, Phase::Pending | Phase::Active) {
                    self.mention_in_time(&place, &uid, &status);
                }
                if is_new {
                    tracing::info!(%place, phase = phase.word(), "told");
                }
                self.changed(&place, &uid, result.map(|object| (object, Some(*status))));
            }
            Done::PutIn { place, uid, since, result } => self.tried(&place, &uid, since, result),
        }
    }

    fn changed(
        &mut self,
        place: &Place,
        uid: &str,
        result: Result<(Object, Option<Status>), ApiError>,
    ) {
        let now = self.now();
        let Some(entry) = self.entries.get_mut(place) else { return };
        if entry.object.metadata.uid != uid {
            return;
        }
        entry.call = Call::None;
        match result {
            Ok((object, said)) => {
                (entry.failures, entry.pause) = (0, 0);
                if object.metadata.uid == uid && !object.is_before(&entry.object) {
                    entry.object = object;
                }
                if let Some(said) = said {
                    entry.said = Some(said);
                    entry.told = now;
                }
            }
            Err(error) => {
                if !matches!(error.reason(), Some(Reason::NotFound | Reason::Conflict)) {
                    tracing::warn!(%place, %error, "trying again");
                }
                // Of what has changed or gone meanwhile the watch tells, mostly before that time.
                let pause = pause::after(entry.failures, &error, pause::lot());
                entry.failures += 1;
                entry.pause = now.saturating_add(nanos(pause));
            }
        }
        self.consider(place);
    }

    fn tried(
        &mut self,
        place: &Place,
        uid: &str,
        since: u64,
        result: Result<Box<wire::Intent>, Box<(AskError, Failure)>>,
    ) {
        let now = self.now();
        let attempt = match result {
            Ok(intent) => {
                // Its object may have gone meanwhile.
                self.intents.entry(intent.id).or_insert(*intent);
                self.end_orphans();
                Attempt::Untried
            }
            Err(refusal) => {
                let (error, failure) = *refusal;
                let is_early = now.saturating_sub(since) < nanos(PATIENCE);
                if is_passing(&error) && is_early {
                    Attempt::Again { since, at: now.saturating_add(nanos(AGAIN)) }
                } else {
                    Attempt::Refused(Box::new(failure))
                }
            }
        };
        let entry = self.entries.get_mut(place).filter(|entry| entry.object.metadata.uid == uid);
        if let Some(entry) = entry {
            entry.attempt = attempt;
            self.consider(place);
        }
    }

    /// Lets go of objects: whoever leads next holds those that are still meant to be held, and where nobody does any
    /// more, nothing of them hangs.
    async fn leave(mut self) {
        self.tasks.shutdown().await;
        let held = self.entries.iter().filter(|(_, entry)| entry.object.is_held());
        let client = &self.means.client;
        let all = held.map(|(place, entry)| {
            calls::release(client.clone(), place.clone(), entry.object.clone())
        });
        // What is not let go of within that time the next leader takes care of.
        let _ = tokio::time::timeout(LEAVING, futures_util::future::join_all(all)).await;
    }
}

/// Whether an API server would never take it.
fn is_senseless(error: &ApiError) -> bool {
    matches!(error.reason(), Some(Reason::Invalid))
}

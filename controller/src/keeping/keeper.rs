//! The task, whatever objects ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{ApiError, Client, Definition, Event, NamespaceObject, Reason};
use fault::IntentId;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::decision::{Attempt, Ending, Said as _, Step};
use super::entry::Entry;
use super::lacking::{Definitions, Unfit};
use super::waiting::{self, Told, passed, told_to_stop};
use super::{
    Heard, Hearing, Known as _, ObjectOf, Pair as _, PhaseOf, Place, PlaceOf, Refusal, Side,
    StatusOf, Then, Unready, calls, cannot, nothing, then,
};
use crate::control::Control;
use crate::link::nanos;

/// From one attempt to the next.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// How long the API server may take to let go of objects when this controller ends.
const LEAVING: Duration = Duration::from_secs(2);

/// The task's own.
pub(crate) struct Keeper<S: Side> {
    pub(crate) side: S,
    pub(crate) client: Client,
    pub(crate) control: Control,
    pub(crate) entries: BTreeMap<PlaceOf<S>, Entry<S::Kind>>,
    /// What became of what objects ask for, by its id.
    pub(crate) known: BTreeMap<u64, S::Known>,
    pub(crate) tasks: JoinSet<Then<S>>,
    /// Of which kinds all objects are known.
    listed: BTreeSet<S::Kind>,
    definitions: Definitions<S::Kind>,
    /// When an object is to be looked at again, Unix time, ns.
    wakes: BTreeMap<PlaceOf<S>, u64>,
    /// What has no object and is being ended.
    ending: BTreeSet<u64>,
    /// What was last told of an API server that does not answer, so that hours of it fill no disk.
    trouble: String,
}

impl<S: Side> Keeper<S> {
    /// Knows nothing yet.
    pub(crate) fn new(side: S, client: Client, control: Control) -> Self {
        Self {
            side,
            client,
            control,
            entries: BTreeMap::new(),
            known: BTreeMap::new(),
            tasks: JoinSet::new(),
            listed: BTreeSet::new(),
            definitions: Definitions::new(),
            wakes: BTreeMap::new(),
            ending: BTreeSet::new(),
            trouble: String::new(),
        }
    }

    /// Keeps objects and what they ask for the same until it is told to stop, or the controller ends.
    pub(crate) async fn run(
        mut self,
        mut hearing: Hearing<S>,
        mut told: Told,
        mut stopped: watch::Receiver<bool>,
    ) {
        loop {
            let (wake, now) = (self.wakes.values().min().copied(), self.now());
            tokio::select! {
                () = told_to_stop(&mut stopped) => break,
                Some(heard) = hearing.next() => self.hears(heard),
                event = told.next() => match event {
                    Some(Ok(event)) => S::learns(&mut self, event),
                    // It fell behind by more than is remembered: everything is told anew.
                    Some(Err(_)) | None => match waiting::told(&self.control).await {
                        Some(anew) => told = anew,
                        None => break,
                    },
                },
                Some(done) = self.tasks.join_next() => if let Ok(then) = done { then(&mut self) },
                () = passed(wake, now) => {}
            }
            self.awake();
            S::looked(&self);
        }
        self.leave().await;
    }

    pub(crate) fn now(&self) -> u64 {
        self.control.wall().now()
    }

    fn hears(&mut self, heard: Heard<S>) {
        match heard {
            Heard::Namespaced(event) => self.happened(S::Kind::BOTH[0], event),
            Heard::OfCluster(event) => self.happened(S::Kind::BOTH[1], event),
            Heard::Namespace(event) => self.about_namespaces(event),
            Heard::Definition(kind, event) => self.about_definition(kind, event),
            Heard::Other(heard) => S::heard(self, heard),
        }
    }

    fn happened<R: Into<ObjectOf<S::Kind>>>(&mut self, kind: S::Kind, event: Event<R>) {
        match event {
            Event::Listed(all) => {
                self.trouble.clear();
                let all: Vec<ObjectOf<S::Kind>> = all.into_iter().map(Into::into).collect();
                let there: BTreeSet<PlaceOf<S>> = all.iter().map(|one| one.place(kind)).collect();
                self.entries.retain(|place, _| place.kind != kind || there.contains(place));
                for object in all {
                    self.take(kind, object);
                }
                // Not before all are known: what goes on for the last of them is no orphan of the first.
                self.listed.insert(kind);
            }
            Event::Applied(object) => self.take(kind, object.into()),
            Event::Deleted(object) => {
                let object: ObjectOf<S::Kind> = object.into();
                let place = object.place(kind);
                if self.is_there(&place, &object.metadata.uid) {
                    self.entries.remove(&place);
                    self.wakes.remove(&place);
                }
            }
            Event::Trouble(error) => return self.away(&error),
        }
        self.end_orphans();
    }

    /// An API server that does not answer changes nothing: what goes on comes to its end whoever is away.
    pub(crate) fn away(&mut self, error: &ApiError) {
        let reason = error.to_string();
        if self.trouble != reason {
            let what = S::Kind::BOTH[0].names().plural;
            tracing::warn!(%reason, "{what} as objects are not watched; trying again and again");
            self.trouble = reason;
        }
    }

    fn take(&mut self, kind: S::Kind, object: ObjectOf<S::Kind>) {
        let place = object.place(kind);
        match self.entries.get_mut(&place) {
            // The answer to an own call may have come before.
            Some(entry) if entry.is_of(&object.metadata.uid) => entry.is_now(object),
            Some(_) | None => drop(self.entries.insert(place.clone(), Entry::new(object))),
        }
        self.consider(&place);
    }

    /// Whether the object is there, and not another one of its name.
    fn is_there(&self, place: &PlaceOf<S>, uid: &str) -> bool {
        self.entries.get(place).is_some_and(|entry| entry.is_of(uid))
    }

    /// Whether all objects are known.
    pub(crate) fn knows_all(&self) -> bool {
        self.listed.len() == S::Kind::BOTH.len()
    }

    /// The object that is at a place, where it is the same still.
    pub(crate) fn entry(&mut self, place: &PlaceOf<S>, uid: &str) -> Option<&mut Entry<S::Kind>> {
        self.entries.get_mut(place).filter(|entry| entry.is_of(uid))
    }

    fn about_namespaces(&mut self, event: Event<NamespaceObject>) {
        match event {
            Event::Listed(all) => self.side.consent(|consent| consent.listed(&all)),
            Event::Applied(one) => self.side.consent(|consent| consent.applied(&one)),
            Event::Deleted(one) => self.side.consent(|consent| consent.deleted(&one)),
            Event::Trouble(error) => self.away(&error),
        }
    }

    fn about_definition(&mut self, kind: S::Kind, event: Event<Definition>) {
        match event {
            Event::Listed(all) => self.definitions.are(kind, all.first()),
            Event::Applied(one) => self.definitions.are(kind, Some(&one)),
            Event::Deleted(_) => self.definitions.are(kind, None),
            Event::Trouble(error) => {
                if self.definitions.check(kind) == Err(Unfit::Unknown) {
                    self.side.defined(&self.definitions, Some(&error));
                }
                return self.away(&error);
            }
        }
        // Those that have waited for it.
        self.consider_all(|place, _| place.kind == kind);
        self.side.defined(&self.definitions, None);
    }

    /// Something is as it is told now.
    pub(crate) fn learn(&mut self, id: u64, known: S::Known) {
        let Some(object) = known.object() else { return };
        let Some(place) = Place::of(object) else { return };
        let is_there = self.is_there(&place, &object.uid);
        if known.is_over() {
            self.ending.remove(&id);
        }
        self.known.insert(id, known);
        if is_there {
            self.consider(&place);
        } else {
            self.end_orphans();
        }
    }

    /// Ends what goes on for an object that is not there any more, however it went.
    pub(crate) fn end_orphans(&mut self) {
        let mut gone = Vec::new();
        for (id, known) in &self.known {
            let Some(object) = known.object() else { continue };
            let Some(place) = PlaceOf::<S>::of(object) else { continue };
            if self.listed.contains(&place.kind) && !self.is_there(&place, &object.uid) {
                gone.push((*id, place, known.is_over()));
            }
        }
        for (id, place, over) in gone {
            if over {
                // Nobody is left to be told.
                self.known.remove(&id);
            } else if self.ending.insert(id) {
                self.end_by_id(IntentId::from_random(id), format!("{place} is gone"));
            }
        }
    }

    /// Has something end.
    pub(crate) fn end_by_id(&mut self, id: IntentId, reason: String) {
        let ending = self.side.end_by_id(id, reason);
        self.tasks.spawn(async move {
            ending.await;
            nothing()
        });
    }

    /// Looks at all objects whose time has come.
    fn awake(&mut self) {
        let now = self.now();
        let due = self.wakes.iter().filter(|(_, at)| **at <= now);
        let due: Vec<PlaceOf<S>> = due.map(|(place, _)| place.clone()).collect();
        due.iter().for_each(|place| self.consider(place));
    }

    /// Looks at those of all objects.
    pub(crate) fn consider_all(&mut self, these: impl Fn(&PlaceOf<S>, &ObjectOf<S::Kind>) -> bool) {
        let these = self.entries.iter().filter(|(place, entry)| these(place, &entry.object));
        let these: Vec<PlaceOf<S>> = these.map(|(place, _)| place.clone()).collect();
        these.iter().for_each(|place| self.consider(place));
    }

    /// Does the next step for an object, if it is its turn.
    pub(crate) fn consider(&mut self, place: &PlaceOf<S>) {
        let now = self.now();
        self.wakes.remove(place);
        let Some(entry) = self.entries.get(place) else { return };
        match entry.turn(now) {
            Ok(()) => {}
            Err(until) => return self.wakes.extend(until.map(|at| (place.clone(), at))),
        }
        let Some(id) = entry.object.id() else {
            // No API server makes such a UID; nothing could be known by it.
            return tracing::error!(%place, "left alone: its UID is none");
        };
        let Some(next) = S::step(self, place, id, now) else { return };
        match next {
            Step::Wait(until) => self.wakes.extend(until.map(|at| (place.clone(), at))),
            Step::Begin => self.begin(place, id, now),
            Step::End(reason) => S::end(self, place, id, reason),
            Step::Hold => self.keep(place, ObjectOf::<S::Kind>::holding),
            Step::Release => self.keep(place, ObjectOf::<S::Kind>::released),
            Step::Tell(status) => self.tell(place, *status),
        }
    }

    /// Has a call under way for an object, and no other one.
    pub(crate) fn call(
        &mut self,
        place: &PlaceOf<S>,
        call: impl Future<Output = Then<S>> + Send + 'static,
    ) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.is_called();
            self.tasks.spawn(call);
        }
    }

    /// Has an object be held by these.
    fn keep(&mut self, place: &PlaceOf<S>, by: fn(&ObjectOf<S::Kind>) -> Vec<String>) {
        let Some(entry) = self.entries.get(place) else { return };
        let (client, at, object) = (self.client.clone(), place.clone(), entry.object.clone());
        self.call(place, async move {
            let result = calls::keep(&client, &at, &object, by(&object)).await;
            then(move |keeper: &mut Self| {
                keeper.changed(&at, &object.metadata.uid, result, None);
            })
        });
    }

    fn tell(&mut self, place: &PlaceOf<S>, status: StatusOf<S>) {
        let Some(entry) = self.entries.get(place) else { return };
        let before = entry.said().phase();
        let (client, at, object) = (self.client.clone(), place.clone(), entry.object.clone());
        self.call(place, async move {
            let result = calls::tell(&client, &at, &object, &status).await;
            then(move |keeper: &mut Self| {
                keeper.has_told(&at, &object.metadata.uid, (before, status), result);
            })
        });
    }

    fn has_told(
        &mut self,
        place: &PlaceOf<S>,
        uid: &str,
        (before, status): (PhaseOf<S>, StatusOf<S>),
        result: Result<ObjectOf<S::Kind>, ApiError>,
    ) {
        let result = match result {
            // What the API server will not take is not offered again: nothing may hang by it.
            Err(error) if matches!(error.reason(), Some(Reason::Invalid)) => {
                tracing::error!(%place, %error, "its status is not told");
                self.entries.get(place).map(|entry| entry.object.clone()).ok_or(error)
            }
            result => result,
        };
        if before != status.phase() {
            tracing::info!(%place, phase = status.word(), "told");
            if result.is_ok() && self.is_there(place, uid) {
                S::told(self, place, before, &status);
            }
        }
        self.changed(place, uid, result, Some(status));
    }

    /// An object was to be changed, or to say this.
    pub(crate) fn changed(
        &mut self,
        place: &PlaceOf<S>,
        uid: &str,
        result: Result<ObjectOf<S::Kind>, ApiError>,
        said: Option<StatusOf<S>>,
    ) {
        let now = self.now();
        let Some(entry) = self.entry(place, uid) else { return };
        match result {
            Ok(object) => entry.answered(object, said, now),
            Err(error) => {
                if !matches!(error.reason(), Some(Reason::NotFound | Reason::Conflict)) {
                    tracing::warn!(%place, %error, "trying again");
                }
                entry.failed(&error, now);
            }
        }
        self.consider(place);
    }

    /// The end of what it asks for was asked for.
    pub(crate) fn is_ending(&mut self, place: &PlaceOf<S>) {
        let now = self.now();
        if let Some(entry) = self.entries.get_mut(place) {
            entry.ending = Ending::Asked(now);
            self.consider(place);
        }
    }

    fn begin(&mut self, place: &PlaceOf<S>, id: IntentId, now: u64) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        let fit = self.definitions.check(place.kind);
        let fit = fit.map_err(|unfit| Unready::unfit(&unfit, cannot(place)));
        match fit.and_then(|()| self.side.begin(place, &entry.object, id)) {
            Ok(begun) => {
                let since = entry.is_tried(now);
                let (place, uid) = (place.clone(), entry.object.metadata.uid.clone());
                self.tasks.spawn(async move {
                    let result = begun.await;
                    then(move |keeper: &mut Self| keeper.tried(&place, &uid, since, result))
                });
            }
            Err(Unready::Untold) => {
                self.wakes.insert(place.clone(), now.saturating_add(nanos(AGAIN)));
            }
            Err(Unready::Refused(refusal)) => {
                entry.attempt = Attempt::Refused(refusal);
                self.consider(place);
            }
        }
    }

    fn tried(
        &mut self,
        place: &PlaceOf<S>,
        uid: &str,
        since: u64,
        result: Result<S::Begun, Box<Refusal>>,
    ) {
        let now = self.now();
        let attempt = match result {
            Ok(begun) => {
                S::begun(self, place, begun);
                // Its object may have gone meanwhile.
                self.end_orphans();
                Attempt::Untried
            }
            Err(refusal) => refusal.attempt(since, now),
        };
        if let Some(entry) = self.entry(place, uid) {
            entry.attempt = attempt;
            self.consider(place);
        }
    }

    /// Lets go of objects: whoever leads next holds those that are still meant to be held, and where nobody does any
    /// more, nothing of them hangs.
    async fn leave(mut self) {
        self.tasks.shutdown().await;
        let held = self.entries.iter().filter(|(_, entry)| entry.object.is_held());
        let all = held.map(|(place, entry)| {
            calls::keep(&self.client, place, &entry.object, entry.object.released())
        });
        // What is not let go of within that time the next leader takes care of.
        let _ = tokio::time::timeout(LEAVING, futures_util::future::join_all(all)).await;
    }
}

//! The task that keeps objects and runs the same: it watches both, and does one step at a time for each object.
//!
//! Only who leads has it. What it knows is what the API server and the driver of runs have told; whatever it was about
//! to do when it ended, the next one comes to it by itself.

mod calls;
mod jobs;
mod mentioning;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{
    ApiError, Client, Event, Job, JobPod, NamespaceObject, Reason, Resource, Selection, Within,
};
use experiment::run::{Progress, Section};
use fault::IntentId;
use futures_util::StreamExt as _;
use proto::control as wire;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::decision::{Standing, Step, step};
use super::job::{Jobs, Work};
use super::resource::{ClusterExperiment, Experiment, Kind, Object, Place};
use super::status::Status;
use super::strays::{self, Going};
use crate::control::Control;
use crate::failure::{Cause, Failure};
use crate::link::nanos;
use crate::objects::Tenure;
use crate::objects::consent::Withheld;
use crate::objects::decision::{Attempt, Ending};
use crate::objects::waiting::{passed, told, told_to_stop};
use crate::pause;
use crate::runs::{Runs, is_over};
use calls::{Begun, Done, Passing};
use jobs::{Part, Wish, wish};
pub use turn::keep;

/// How long what is in the way of a run may take to pass.
const PATIENCE: Duration = Duration::from_secs(15);

/// From one attempt to the next.
const AGAIN: Duration = Duration::from_secs(1);

/// What may have been heard and not been looked at yet.
const WAITING: usize = 64;

/// How long the API server may take to let go of objects when this controller ends.
const LEAVING: Duration = Duration::from_secs(2);

/// What it works with.
#[derive(Clone)]
pub struct Means {
    /// Whether objects are this installation's to keep.
    pub tenure: watch::Receiver<Tenure>,
    /// Whom it asks for objects.
    pub client: Client,
    /// Who tells of runs.
    pub control: Control,
    /// Whom it asks for runs.
    pub runs: Runs,
    /// Where it may make Jobs; nowhere otherwise.
    pub jobs: Option<Jobs>,
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

/// A run that an object asks for.
struct Known {
    run: wire::Run,
    /// Steps of its method that have ended, by what was heard.
    steps: u32,
}

/// What is told by the API server.
enum Heard {
    Experiment(Event<Experiment>),
    OfCluster(Event<ClusterExperiment>),
    Namespace(Event<NamespaceObject>),
    Job(String, Event<Job>),
    Pod(String, Event<JobPod>),
}

/// The task's own.
struct Keeper {
    means: Means,
    entries: BTreeMap<Place, Entry>,
    /// Of which kinds all objects are known.
    listed: BTreeSet<Kind>,
    /// What became of runs that objects ask for.
    runs: BTreeMap<u64, Known>,
    /// What became of Jobs that objects ask for, by where they are and of which run they say that they are.
    works: BTreeMap<(String, u64), Work>,
    /// What of which namespaces is known of them.
    listed_of: BTreeSet<(String, Part)>,
    /// When an object is to be looked at again, Unix time, ns.
    wakes: BTreeMap<Place, u64>,
    /// Runs without an object that are being ended.
    ending: BTreeSet<u64>,
    /// To whom it tells which runs go on as Jobs.
    going: watch::Sender<Option<Going>>,
    tasks: JoinSet<Done>,
    /// What was last told of an API server that does not answer, so that hours of it fill no disk.
    trouble: String,
}

/// Keeps objects and runs the same until it is told to stop.
async fn run(means: Means, mut stopped: watch::Receiver<bool>) {
    // Each by itself, so that what happens elsewhere never has it begin anew.
    let (heard, mut hearing) = mpsc::channel(WAITING);
    let mut watching = JoinSet::new();
    let (all, client) = (|| (Within::Cluster, Selection::default()), || means.client.clone());
    watching.spawn(follow(client(), all(), heard.clone(), Heard::Experiment));
    watching.spawn(follow(client(), all(), heard.clone(), Heard::OfCluster));
    watching.spawn(follow(client(), all(), heard.clone(), Heard::Namespace));
    jobs::watch(&means, &mut watching, &heard);
    drop(heard);
    let (going, known) = watch::channel(None);
    watching.spawn(strays::end(client(), known));
    let Some(mut told) = told(&means.control).await else { return };
    let mut keeper = Keeper {
        means,
        entries: BTreeMap::new(),
        listed: BTreeSet::new(),
        runs: BTreeMap::new(),
        works: BTreeMap::new(),
        listed_of: BTreeSet::new(),
        wakes: BTreeMap::new(),
        ending: BTreeSet::new(),
        going,
        tasks: JoinSet::new(),
        trouble: String::new(),
    };
    // What has begun before is known before anything is looked at: nothing is taken for lost.
    let Ok(standing) = keeper.means.control.runs().await else { return };
    standing.into_iter().for_each(|run| keeper.learn(run));
    loop {
        let (wake, now) = (keeper.wakes.values().min().copied(), keeper.now());
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            Some(heard) = hearing.recv() => match heard {
                Heard::Experiment(event) => keeper.happened(Kind::Experiment, event),
                Heard::OfCluster(event) => keeper.happened(Kind::ClusterExperiment, event),
                Heard::Namespace(event) => keeper.about_namespaces(event),
                Heard::Job(namespace, event) => keeper.about_jobs(&namespace, event),
                Heard::Pod(namespace, event) => keeper.about_pods(&namespace, event),
            },
            event = told.next() => match event {
                Some(Ok(event)) => keeper.about_runs(event),
                // It fell behind by more than is remembered: everything is told anew.
                Some(Err(_)) | None => match self::told(&keeper.means.control).await {
                    Some(anew) => told = anew,
                    None => break,
                },
            },
            Some(done) = keeper.tasks.join_next() => if let Ok(done) = done { keeper.done(done) },
            () = passed(wake, now) => {}
        }
        keeper.awake();
        keeper.tell_going();
    }
    keeper.leave().await;
}

async fn follow<R: Resource>(
    client: Client,
    (within, selection): (Within, Selection),
    heard: mpsc::Sender<Heard>,
    of: impl Fn(Event<R>) -> Heard,
) {
    let mut watch = client.watch::<R>(within, selection);
    while heard.send(of(watch.next().await)).await.is_ok() {}
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
                // Not before all are known: what goes on for the last of them is no orphan of the first.
                self.listed.insert(kind);
            }
            Event::Applied(object) => self.take(kind, object.into()),
            Event::Deleted(object) => {
                let object: Object = object.into();
                let place = object.place(kind);
                let is_it = |entry: &Entry| entry.object.metadata.uid == object.metadata.uid;
                if self.entries.get(&place).is_some_and(is_it) {
                    self.entries.remove(&place);
                    self.wakes.remove(&place);
                }
            }
            Event::Trouble(error) => self.away(&error),
        }
        self.end_orphans();
    }

    /// An API server that does not answer changes nothing: what goes on comes to its end.
    fn away(&mut self, error: &ApiError) {
        let reason = error.to_string();
        if self.trouble != reason {
            tracing::warn!(%reason, "experiments as objects are not watched; trying again and again");
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
        let consent = self.means.runs.consent();
        match event {
            Event::Listed(all) => consent.send_modify(|consent| consent.listed(&all)),
            Event::Applied(one) => consent.send_modify(|consent| consent.applied(&one)),
            Event::Deleted(one) => consent.send_modify(|consent| consent.deleted(&one)),
            Event::Trouble(error) => self.away(&error),
        }
    }

    fn about_runs(&mut self, event: wire::Event) {
        match event.kind {
            Some(wire::event::Kind::Run(run)) => self.learn(run),
            Some(wire::event::Kind::News(news)) => self.counts(&news),
            Some(wire::event::Kind::ForgottenRun(forgotten)) => {
                self.runs.remove(&forgotten.id);
            }
            Some(_) | None => {}
        }
    }

    /// Counts a step of a run that goes on. What it misses the record has in the end.
    fn counts(&mut self, news: &wire::RunNews) {
        let Some(known) = self.runs.get_mut(&news.id) else { return };
        let progress = serde_json::from_slice::<Progress>(&news.news);
        if let Ok(Progress::StepEnded { section: Section::Method, .. }) = progress {
            known.steps += 1;
            if let Some(place) = known.run.object.as_ref().and_then(Place::of) {
                self.consider(&place);
            }
        }
    }

    fn learn(&mut self, run: wire::Run) {
        let Some(place) = run.object.as_ref().and_then(Place::of) else { return };
        if is_over(&run) {
            self.ending.remove(&run.id);
        }
        let steps = run.steps;
        self.runs.insert(run.id, Known { run, steps });
        self.consider(&place);
        self.end_orphans();
    }

    /// Ends what goes on for an object that is not there any more, however it went.
    fn end_orphans(&mut self) {
        let mut gone = Vec::new();
        for (id, known) in &self.runs {
            let Some(object) = &known.run.object else { continue };
            let Some(place) = Place::of(object) else { continue };
            let is_its = |entry: &Entry| entry.object.metadata.uid == object.uid;
            let is_there = self.entries.get(&place).is_some_and(is_its);
            if self.listed.contains(&place.kind) && !is_there {
                gone.push((*id, place, is_over(&known.run)));
            }
        }
        for (id, place, over) in gone {
            if over {
                // Nobody is left to be told.
                self.runs.remove(&id);
            } else if self.ending.insert(id) {
                self.end(IntentId::from_random(id), format!("{place} is gone"));
            }
        }
    }

    fn end(&mut self, id: IntentId, reason: String) {
        self.tasks.spawn(calls::end(self.means.runs.clone(), id, reason));
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
        self.wakes.remove(place);
        let Some(entry) = self.entries.get(place).filter(|entry| entry.call == Call::None) else {
            return;
        };
        if now < entry.pause {
            self.wakes.insert(place.clone(), entry.pause);
            return;
        }
        let (client, object) = (self.means.client.clone(), entry.object.clone());
        let Some(id) = object.run() else {
            // No API server makes such a UID; nothing could be known by it.
            return tracing::error!(%place, "left alone: its UID is none");
        };
        // It is listed within moments.
        let Some(known) = self.known_of(&object, id, now) else { return };
        let said = entry.said.as_ref().unwrap_or(&object.status);
        let (attempt, ending, told, before) =
            (&entry.attempt, entry.ending, entry.told, said.phase);
        let known = known.as_ref();
        let next = step(Standing { object: &object, known, attempt, ending, said, told }, now);
        let place = place.clone();
        match next {
            Step::Wait(until) => self.wakes.extend(until.map(|at| (place, at))),
            Step::Begin => self.begin(&place, id, now),
            Step::End(_) if object.spec.job.is_some() => self.suspend(&place, &object, id),
            Step::End(reason) => {
                self.end(id, format!("{reason}: {place}"));
                self.is_ending(&place, now);
            }
            Step::Hold => self.call(&place.clone(), calls::hold(client, place, object)),
            Step::Release => self.call(&place.clone(), calls::release(client, place, object)),
            Step::Tell(status) => {
                let tells = calls::tell(client, place.clone(), object, before, status);
                self.call(&place, tells);
            }
        }
    }

    /// Has a call under way, and no other one for its object.
    fn call(&mut self, place: &Place, call: impl Future<Output = Done> + Send + 'static) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.call = Call::UnderWay;
            self.tasks.spawn(call);
        }
    }

    /// Its end was asked for.
    fn is_ending(&mut self, place: &Place, now: u64) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.ending = Ending::Asked(now);
            self.consider(place);
        }
    }

    fn begin(&mut self, place: &Place, id: IntentId, now: u64) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        let consent = match place.kind {
            Kind::Experiment => {
                let namespaces = [place.namespace.clone()];
                self.means.runs.consent().borrow().check(&namespaces)
            }
            // Each of its faults says which namespaces it is about.
            Kind::ClusterExperiment => Ok(()),
        };
        let asked = match consent {
            Ok(()) => wish(&self.means, place, &entry.object, id),
            // It is listed within moments.
            Err(Withheld::Unknown) => {
                self.wakes.insert(place.clone(), now.saturating_add(nanos(AGAIN)));
                return;
            }
            Err(withheld) => {
                let attempted = format!("cannot run what {place} asks for");
                Err(Failure::caused(Cause::Refused, attempted, &withheld).hint(withheld.hint()))
            }
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(refusal) => {
                entry.attempt = Attempt::Refused(Box::new(refusal));
                return self.consider(place);
            }
        };
        let since = match entry.attempt {
            Attempt::Again { since, .. } => since,
            Attempt::Untried | Attempt::UnderWay | Attempt::Refused(_) => now,
        };
        entry.attempt = Attempt::UnderWay;
        let (runs, place, object) = (self.means.runs.clone(), place.clone(), entry.object.clone());
        let client = self.means.client.clone();
        match asked {
            Wish::Run(asked) => {
                self.tasks.spawn(calls::begin(runs, place, object, (id, *asked), since))
            }
            Wish::Job(plan) => {
                self.tasks.spawn(calls::make((client, runs), place, object, (id, *plan), since))
            }
        };
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Ended | Done::Mentioned => {}
            Done::Suspended { place, uid, result } => self.suspended(&place, &uid, result),
            Done::Changed { place, uid, result } => {
                self.changed(&place, &uid, result.map(|object| (object, None)));
            }
            Done::Told { place, uid, before, status, result } => {
                let result = match result {
                    // What the API server will not take is not offered again: nothing may hang by it.
                    Err(error) if matches!(error.reason(), Some(Reason::Invalid)) => {
                        tracing::error!(%place, %error, "its status is not told");
                        let entry = self.entries.get(&place);
                        entry.map(|entry| entry.object.clone()).ok_or(error)
                    }
                    result => result,
                };
                if before != status.phase {
                    if result.is_ok() {
                        self.mention((&place, &uid), before, &status);
                    }
                    tracing::info!(%place, phase = status.phase.word(), "told");
                }
                self.changed(&place, &uid, result.map(|object| (object, Some(*status))));
            }
            Done::Begun { place, uid, since, result } => self.tried(&place, &uid, since, result),
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
        result: Result<Begun, Box<(Passing, Failure)>>,
    ) {
        let now = self.now();
        let attempt = match result {
            Ok(Begun::Run(run)) => {
                let steps = run.steps;
                self.runs.entry(run.id).or_insert(Known { run: *run, steps });
                // Its object may have gone meanwhile.
                self.end_orphans();
                Attempt::Untried
            }
            // It goes with its object.
            Ok(Begun::Job(job)) => {
                self.take_made(place, *job);
                Attempt::Untried
            }
            Err(refusal) => {
                let (passing, failure) = *refusal;
                let is_early = now.saturating_sub(since) < nanos(PATIENCE);
                match passing {
                    Passing::Always => again(since, now),
                    Passing::Soon if is_early => again(since, now),
                    Passing::Soon | Passing::Never => Attempt::Refused(Box::new(failure)),
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

/// It is tried again, as it was first then.
fn again(since: u64, now: u64) -> Attempt {
    Attempt::Again { since, at: now.saturating_add(nanos(AGAIN)) }
}

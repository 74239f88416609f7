//! What becomes of Jobs that objects ask for.

use std::collections::BTreeSet;

use cluster::{ApiError, Event, Job, JobPod, Metadata, Reason, Selection, Within};
use experiment::line::Asked;
use fault::IntentId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::calls;
use super::{Call, Entry, Heard, Keeper, Known, Means, follow};
use crate::experiments::asked;
use crate::experiments::job::{self, Plan, Presence};
use crate::experiments::resource::{Kind, Object, Place};
use crate::experiments::status::Status;
use crate::experiments::strays::Going;
use crate::failure::Failure;

/// What of a namespace is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Jobs,
    Pods,
}

/// What an object asks for.
pub(super) enum Wish {
    /// A run of the controller.
    Run(Box<Asked>),
    /// A Job.
    Job(Box<Plan>),
}

/// What an object asks for.
pub(super) fn wish(
    means: &Means,
    place: &Place,
    object: &Object,
    id: IntentId,
) -> Result<Wish, Failure> {
    match &object.spec.job {
        Some(job) => {
            let plan = job::plan(place.kind, object, (id, job), means.jobs.as_ref());
            plan.map(|plan| Wish::Job(Box::new(plan)))
        }
        None => asked::asked(place.kind, object).map(|asked| Wish::Run(Box::new(asked))),
    }
}

/// Hears of Jobs and their pods, wherever there may be some.
pub(super) fn watch(means: &Means, watching: &mut JoinSet<()>, heard: &mpsc::Sender<Heard>) {
    for namespace in means.jobs.iter().flat_map(|jobs| &jobs.namespaces) {
        let within = || Within::Namespace(namespace.clone());
        let ours = || Selection::labels(job::LABEL);
        let client = || means.client.clone();
        let (one, other) = (namespace.to_string(), namespace.to_string());
        let jobs = move |event| Heard::Job(one.clone(), event);
        let pods = move |event| Heard::Pod(other.clone(), event);
        watching.spawn(follow(client(), (within(), ours()), heard.clone(), jobs));
        watching.spawn(follow(client(), (within(), ours()), heard.clone(), pods));
    }
}

/// Of which run something is, if it is called so.
fn run_of(metadata: &Metadata, called: impl Fn(&str) -> bool) -> Option<u64> {
    let id = job::run_of(metadata)?;
    called(&job::name(IntentId::from_random(id))).then_some(id)
}

fn of_job(job: &Job) -> Option<u64> {
    run_of(&job.metadata, |name| job.metadata.name == name)
}

fn of_pod(pod: &JobPod) -> Option<u64> {
    let owner = pod.metadata.controller()?;
    run_of(&pod.metadata, |name| owner.name == name)
}

/// Whether an object asks for a run, in that namespace.
fn is_of(object: &Object, namespace: &str, id: u64) -> bool {
    let job = object.spec.job.as_ref();
    object.run().is_some_and(|run| run.get() == id)
        && job.is_some_and(|job| job::namespace(object, job) == Some(namespace))
}

impl Keeper {
    pub(super) fn about_jobs(&mut self, namespace: &str, event: Event<Job>) {
        match event {
            Event::Listed(all) => {
                let there: BTreeSet<u64> = all.iter().filter_map(of_job).collect();
                for ((space, id), work) in &mut self.works {
                    if space == namespace && !there.contains(id) {
                        work.job = None;
                    }
                }
                all.into_iter().for_each(|job| self.take_job(namespace, job));
                self.is_listed(namespace, Part::Jobs);
            }
            Event::Applied(job) => self.take_job(namespace, job),
            Event::Deleted(job) => {
                let Some(id) = of_job(&job) else { return };
                if let Some(work) = self.works.get_mut(&(namespace.to_owned(), id)) {
                    work.job = None;
                }
                self.consider_run(namespace, id);
            }
            Event::Trouble(error) => self.away(&error),
        }
    }

    pub(super) fn about_pods(&mut self, namespace: &str, event: Event<JobPod>) {
        match event {
            Event::Listed(all) => {
                let there: BTreeSet<u64> = all.iter().filter_map(of_pod).collect();
                for ((space, id), work) in &mut self.works {
                    if space == namespace && !there.contains(id) && work.pod.is_some() {
                        work.presence = Presence::Gone;
                    }
                }
                all.into_iter().for_each(|pod| self.take_pod(namespace, pod, Presence::There));
                self.is_listed(namespace, Part::Pods);
            }
            Event::Applied(pod) => self.take_pod(namespace, pod, Presence::There),
            Event::Deleted(pod) => self.take_pod(namespace, pod, Presence::Gone),
            Event::Trouble(error) => self.away(&error),
        }
    }

    /// One that was made just now.
    pub(super) fn take_made(&mut self, place: &Place, made: Job) {
        let Some(entry) = self.entries.get(place) else { return };
        let job = entry.object.spec.job.as_ref();
        let namespace = job.and_then(|job| job::namespace(&entry.object, job));
        if let Some(namespace) = namespace.map(ToOwned::to_owned) {
            self.take_job(&namespace, made);
        }
    }

    /// Whoever may make Jobs in one namespace has no say about those of another one.
    fn take_job(&mut self, namespace: &str, job: Job) {
        let Some(id) = of_job(&job) else { return };
        self.works.entry((namespace.to_owned(), id)).or_default().job = Some(job);
        self.consider_run(namespace, id);
    }

    fn take_pod(&mut self, namespace: &str, pod: JobPod, presence: Presence) {
        let Some(id) = of_pod(&pod) else { return };
        let work = self.works.entry((namespace.to_owned(), id)).or_default();
        (work.pod, work.presence) = (Some(pod), presence);
        self.consider_run(namespace, id);
    }

    fn is_listed(&mut self, namespace: &str, part: Part) {
        self.listed_of.insert((namespace.to_owned(), part));
        let works = self.entries.iter().filter(|(_, entry)| entry.object.spec.job.is_some());
        let places: Vec<Place> = works.map(|(place, _)| place.clone()).collect();
        places.iter().for_each(|place| self.consider(place));
        // What has nobody any more goes with its object.
        let is_of_somebody = |(namespace, id): &(String, u64)| {
            self.entries.values().any(|entry| is_of(&entry.object, namespace, *id))
        };
        self.works.retain(|key, work| work.job.is_some() || is_of_somebody(key));
    }

    fn consider_run(&mut self, namespace: &str, id: u64) {
        let found = self.entries.iter().find(|(_, entry)| is_of(&entry.object, namespace, id));
        let key = (namespace.to_owned(), id);
        match found.map(|(place, _)| place.clone()) {
            Some(place) => self.consider(&place),
            None if self.works.get(&key).is_some_and(|work| work.job.is_none()) => {
                self.works.remove(&key);
            }
            None => {}
        }
    }

    /// What is to be said of an object by what is known of its run; `None` as long as that is not known.
    pub(super) fn known_of(
        &self,
        object: &Object,
        id: IntentId,
        now: u64,
    ) -> Option<Option<Status>> {
        let Some(job) = &object.spec.job else {
            let told = |known: &Known| Status::told(object, &known.run, known.steps, now);
            return Some(self.runs.get(&id.get()).map(told));
        };
        let namespace = job::namespace(object, job).unwrap_or_default();
        let mut spaces = self.means.jobs.iter().flat_map(|jobs| &jobs.namespaces);
        let is_watched = spaces.any(|space| space.as_str() == namespace);
        let is_listed = |part| self.listed_of.contains(&(namespace.to_owned(), part));
        if is_watched && !(is_listed(Part::Jobs) && is_listed(Part::Pods)) {
            return None;
        }
        let work = self.works.get(&(namespace.to_owned(), id.get()));
        Some(work.and_then(|work| Status::of_work(object, work, now)))
    }

    /// Tells which runs go on as Jobs, as far as that was said of them, once all objects are known.
    pub(super) fn tell_going(&self) {
        if self.listed.len() < Kind::ALL.len() {
            return;
        }
        let goes_on = |entry: &&Entry| {
            let said = entry.said.as_ref().unwrap_or(&entry.object.status);
            entry.object.spec.job.is_some() && !said.phase.is_final()
        };
        let all = self.entries.values().filter(goes_on);
        let now: Going = all.filter_map(|entry| Some(entry.object.run()?.get())).collect();
        self.going.send_if_modified(|before| {
            let is_new = before.as_ref() != Some(&now);
            *before = Some(now);
            is_new
        });
    }

    /// Has the Job of an object end.
    pub(super) fn suspend(&mut self, place: &Place, object: &Object, id: IntentId) {
        match wish(&self.means, place, object, id) {
            Ok(Wish::Job(plan)) => {
                let (client, object) = (self.means.client.clone(), object.clone());
                self.call(place, calls::suspend(client, place.clone(), object, *plan));
            }
            // Nobody makes Jobs there any more: it goes with its object.
            Ok(Wish::Run(_)) | Err(_) => self.is_ending(place, self.now()),
        }
    }

    pub(super) fn suspended(&mut self, place: &Place, uid: &str, result: Result<(), ApiError>) {
        let is_it = |entry: &&mut Entry| entry.object.metadata.uid == uid;
        let Some(entry) = self.entries.get_mut(place).filter(is_it) else { return };
        entry.call = Call::None;
        match result {
            Ok(()) => self.is_ending(place, self.now()),
            // That it is gone its watch tells.
            Err(error) if error.reason() == Some(&Reason::NotFound) => {
                self.is_ending(place, self.now());
            }
            Err(error) => self.changed(place, uid, Err(error)),
        }
    }
}

//! What becomes of Jobs that objects ask for.

use std::collections::BTreeSet;

use cluster::{ApiError, Event, Job, JobPod, Metadata, Reason, Selection, Within};
use experiment::line::Asked;
use fault::IntentId;

use super::{Experiments, Heard, Keeper, Means, Run, calls};
use crate::experiments::asked;
use crate::experiments::job::{self, Plan, Presence};
use crate::experiments::resource::{Object, Place};
use crate::experiments::status::Status;
use crate::experiments::strays::Going;
use crate::failure::Failure;
use crate::keeping::{self, Hearing, then};

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
pub(super) fn follow(means: &Means, hearing: &mut Hearing<Experiments>) {
    for namespace in means.jobs.iter().flat_map(|jobs| &jobs.namespaces) {
        let ours = || (Within::Namespace(namespace.clone()), Selection::labels(job::LABEL));
        let (one, other) = (namespace.to_string(), namespace.to_string());
        hearing.follow(ours(), move |event| keeping::Heard::Other(Heard::Job(one.clone(), event)));
        hearing
            .follow(ours(), move |event| keeping::Heard::Other(Heard::Pod(other.clone(), event)));
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
    object.id().is_some_and(|run| run.get() == id)
        && job.is_some_and(|job| job::namespace(object, job) == Some(namespace))
}

pub(super) fn about_jobs(keeper: &mut Keeper, namespace: &str, event: Event<Job>) {
    match event {
        Event::Listed(all) => {
            let there: BTreeSet<u64> = all.iter().filter_map(of_job).collect();
            for ((space, id), work) in &mut keeper.side.works {
                if space == namespace && !there.contains(id) {
                    work.job = None;
                }
            }
            all.into_iter().for_each(|job| take_job(keeper, namespace, job));
            is_listed(keeper, namespace, Part::Jobs);
        }
        Event::Applied(job) => take_job(keeper, namespace, job),
        Event::Deleted(job) => {
            let Some(id) = of_job(&job) else { return };
            if let Some(work) = keeper.side.works.get_mut(&(namespace.to_owned(), id)) {
                work.job = None;
            }
            consider_run(keeper, namespace, id);
        }
        Event::Trouble(error) => keeper.away(&error),
    }
}

pub(super) fn about_pods(keeper: &mut Keeper, namespace: &str, event: Event<JobPod>) {
    match event {
        Event::Listed(all) => {
            let there: BTreeSet<u64> = all.iter().filter_map(of_pod).collect();
            for ((space, id), work) in &mut keeper.side.works {
                if space == namespace && !there.contains(id) && work.pod.is_some() {
                    work.presence = Presence::Gone;
                }
            }
            all.into_iter().for_each(|pod| take_pod(keeper, namespace, pod, Presence::There));
            is_listed(keeper, namespace, Part::Pods);
        }
        Event::Applied(pod) => take_pod(keeper, namespace, pod, Presence::There),
        Event::Deleted(pod) => take_pod(keeper, namespace, pod, Presence::Gone),
        Event::Trouble(error) => keeper.away(&error),
    }
}

/// One that was made just now.
pub(super) fn take_made(keeper: &mut Keeper, place: &Place, made: Job) {
    let Some(entry) = keeper.entries.get(place) else { return };
    let job = entry.object.spec.job.as_ref();
    let namespace = job.and_then(|job| job::namespace(&entry.object, job));
    if let Some(namespace) = namespace.map(ToOwned::to_owned) {
        take_job(keeper, &namespace, made);
    }
}

/// Whoever may make Jobs in one namespace has no say about those of another one.
fn take_job(keeper: &mut Keeper, namespace: &str, job: Job) {
    let Some(id) = of_job(&job) else { return };
    keeper.side.works.entry((namespace.to_owned(), id)).or_default().job = Some(job);
    consider_run(keeper, namespace, id);
}

fn take_pod(keeper: &mut Keeper, namespace: &str, pod: JobPod, presence: Presence) {
    let Some(id) = of_pod(&pod) else { return };
    let work = keeper.side.works.entry((namespace.to_owned(), id)).or_default();
    (work.pod, work.presence) = (Some(pod), presence);
    consider_run(keeper, namespace, id);
}

fn is_listed(keeper: &mut Keeper, namespace: &str, part: Part) {
    keeper.side.listed_of.insert((namespace.to_owned(), part));
    keeper.consider_all(|_, object| object.spec.job.is_some());
    // What has nobody any more goes with its object.
    let is_of_somebody = |(namespace, id): &(String, u64)| {
        keeper.entries.values().any(|entry| is_of(&entry.object, namespace, *id))
    };
    keeper.side.works.retain(|key, work| work.job.is_some() || is_of_somebody(key));
}

fn consider_run(keeper: &mut Keeper, namespace: &str, id: u64) {
    let found = keeper.entries.iter().find(|(_, entry)| is_of(&entry.object, namespace, id));
    let key = (namespace.to_owned(), id);
    match found.map(|(place, _)| place.clone()) {
        Some(place) => keeper.consider(&place),
        None if keeper.side.works.get(&key).is_some_and(|work| work.job.is_none()) => {
            keeper.side.works.remove(&key);
        }
        None => {}
    }
}

/// What is to be said of an object by what is known of its run; `None` as long as that is not known.
pub(super) fn known_of(
    keeper: &Keeper,
    object: &Object,
    id: IntentId,
    now: u64,
) -> Option<Option<Status>> {
    let Some(job) = &object.spec.job else {
        let told = |known: &Run| Status::told(object, &known.run, known.steps, now);
        return Some(keeper.known.get(&id.get()).map(told));
    };
    let namespace = job::namespace(object, job).unwrap_or_default();
    let mut spaces = keeper.side.means.jobs.iter().flat_map(|jobs| &jobs.namespaces);
    let is_watched = spaces.any(|space| space.as_str() == namespace);
    let is_listed = |part| keeper.side.listed_of.contains(&(namespace.to_owned(), part));
    if is_watched && !(is_listed(Part::Jobs) && is_listed(Part::Pods)) {
        return None;
    }
    let work = keeper.side.works.get(&(namespace.to_owned(), id.get()));
    Some(work.and_then(|work| Status::of_work(object, work, now)))
}

/// Tells which runs go on as Jobs, as far as that was said of them, once all objects are known.
pub(super) fn tell_going(keeper: &Keeper) {
    if !keeper.knows_all() {
        return;
    }
    let jobs = keeper.entries.values().filter(|entry| entry.object.spec.job.is_some());
    let all = jobs.filter(|entry| !entry.said().phase.is_final());
    let now: Going = all.filter_map(|entry| Some(entry.object.id()?.get())).collect();
    keeper.side.going.send_if_modified(|before| {
        let is_new = before.as_ref() != Some(&now);
        *before = Some(now);
        is_new
    });
}

/// Has the Job of an object end.
pub(super) fn suspend(keeper: &mut Keeper, place: &Place, object: Object, id: IntentId) {
    // Where nobody makes Jobs any more it goes with its object.
    let Ok(Wish::Job(plan)) = wish(&keeper.side.means, place, &object, id) else {
        return keeper.is_ending(place);
    };
    let (client, at) = (keeper.client.clone(), place.clone());
    keeper.call(place, async move {
        let result = calls::suspend(&client, &plan).await;
        then(move |keeper: &mut Keeper| suspended(keeper, &at, &object.metadata.uid, result))
    });
}

/// It was to end: what became of it its pod tells.
fn suspended(keeper: &mut Keeper, place: &Place, uid: &str, result: Result<(), ApiError>) {
    let Some(entry) = keeper.entry(place, uid) else { return };
    entry.is_free();
    match result {
        Ok(()) => keeper.is_ending(place),
        // That it is gone its watch tells.
        Err(error) if error.reason() == Some(&Reason::NotFound) => keeper.is_ending(place),
        Err(error) => keeper.changed(place, uid, Err(error), None),
    }
}

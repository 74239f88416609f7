//! What experiments are to the keeper of objects: runs of the controller or Jobs, which begin once and end in rollback.

mod calls;
mod jobs;
mod mentioning;

use std::collections::{BTreeMap, BTreeSet};

use cluster::{ApiError, Client, Event, Job, JobPod};
use experiment::run::{Progress, Section};
use fault::IntentId;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use proto::control as wire;
use tokio::sync::watch;

use super::decision::step;
use super::job::{Jobs, Work};
use super::resource::{Kind, Object, Place};
use super::status::{Phase, Status};
use super::strays::{self, Going};
use crate::control::Control;
use crate::keeping::decision::Step;
use crate::keeping::waiting::told;
use crate::keeping::{self, Beginning, Definitions, Hearing, Known, Side, Unready, cannot};
use crate::objects::consent::Consent;
use crate::objects::{Tenure, while_own};
use crate::runs::{Runs, is_over};
use calls::Begun;
use jobs::{Part, Wish, wish};

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

/// The side of experiments.
struct Experiments {
    means: Means,
    /// What became of Jobs that objects ask for, by where they are and of which run they say that they are.
    works: BTreeMap<(String, u64), Work>,
    /// What of which namespaces is known of them.
    listed_of: BTreeSet<(String, Part)>,
    /// To whom it tells which runs go on as Jobs.
    going: watch::Sender<Option<Going>>,
}

type Keeper = keeping::Keeper<Experiments>;

/// A run that an object asks for.
struct Run {
    run: wire::Run,
    /// Steps of its method that have ended, by what was heard.
    steps: u32,
}

impl From<wire::Run> for Run {
    fn from(run: wire::Run) -> Self {
        Self { steps: run.steps, run }
    }
}

impl Known for Run {
    fn object(&self) -> Option<&wire::Object> {
        self.run.object.as_ref()
    }

    fn is_over(&self) -> bool {
        is_over(&self.run)
    }
}

/// What else is told by the API server, of a namespace.
enum Heard {
    Job(String, Event<Job>),
    Pod(String, Event<JobPod>),
}

/// Keeps objects and runs the same as long as that is this installation's to do, until it is told to stop. What runs for
/// objects ends once they are another one's to keep.
pub async fn keep(means: Means, stopped: watch::Receiver<bool>) {
    let means = &means;
    let yields = |namespace: String| async move { end_all(means, &namespace).await };
    let keeping = |ending| run(means.clone(), ending);
    while_own(means.tenure.clone(), stopped, keeping, yields).await;
}

/// Ends all that runs for objects which the installation in a namespace keeps: nobody here would hear that one of them is
/// deleted, nor that a namespace lets no faults in any more.
async fn end_all(means: &Means, namespace: &str) {
    means.runs.consent().send_replace(Consent::default());
    // A controller that ends leaves it to its next life.
    let Ok(runs) = means.control.runs().await else { return };
    let living = runs.iter().filter(|run| run.object.is_some() && !is_over(run));
    let why = format!("its object is kept by the installation in namespace {namespace}");
    join_all(living.map(|run| means.runs.end_of(IntentId::from_random(run.id), &why))).await;
}

async fn run(means: Means, stopped: watch::Receiver<bool>) {
    let (client, control) = (means.client.clone(), means.control.clone());
    let mut hearing = Hearing::of(&client);
    jobs::follow(&means, &mut hearing);
    let (going, known) = watch::channel(None);
    hearing.beside(strays::end(client.clone(), known));
    let Some(told) = told(&control).await else { return };
    // What has begun before is known before anything is looked at: nothing is taken for lost.
    let Ok(standing) = control.runs().await else { return };
    let (works, listed_of) = (BTreeMap::new(), BTreeSet::new());
    let side = Experiments { means, works, listed_of, going };
    let mut keeper = Keeper::new(side, client, control);
    standing.into_iter().for_each(|run| keeper.learn(run.id, run.into()));
    keeper.run(hearing, told, stopped).await;
}

impl Side for Experiments {
    type Kind = Kind;
    type Known = Run;
    type Heard = Heard;
    type Begun = Begun;

    fn consent(&mut self, change: impl FnOnce(&mut Consent)) {
        self.means.runs.consent().send_modify(change);
    }

    fn defined(&self, known: &Definitions<Kind>, _: Option<&ApiError>) {
        for lack in known.lacks().into_iter().flatten() {
            tracing::warn!("new experiments as objects are refused: {lack}");
        }
    }

    fn heard(keeper: &mut Keeper, heard: Heard) {
        match heard {
            Heard::Job(namespace, event) => jobs::about_jobs(keeper, &namespace, event),
            Heard::Pod(namespace, event) => jobs::about_pods(keeper, &namespace, event),
        }
    }

    fn learns(keeper: &mut Keeper, event: wire::Event) {
        match event.kind {
            Some(wire::event::Kind::Run(run)) => keeper.learn(run.id, run.into()),
            Some(wire::event::Kind::News(news)) => counts(keeper, &news),
            Some(wire::event::Kind::ForgottenRun(forgotten)) => {
                keeper.known.remove(&forgotten.id);
            }
            Some(_) | None => {}
        }
    }

    fn step(keeper: &mut Keeper, place: &Place, id: IntentId, now: u64) -> Option<Step<Status>> {
        let entry = keeper.entries.get(place)?;
        let known = jobs::known_of(keeper, &entry.object, id, now)?;
        Some(step(&entry.standing(), known.as_ref(), now))
    }

    fn begin(
        &self,
        place: &Place,
        object: &Object,
        id: IntentId,
    ) -> Result<Beginning<Self>, Unready> {
        let consent = match place.kind {
            Kind::Experiment => {
                let namespaces = [place.namespace.clone()];
                self.means.runs.consent().borrow().check(&namespaces)
            }
            // Each of its faults says which namespaces it is about.
            Kind::ClusterExperiment => Ok(()),
        };
        consent.map_err(|withheld| Unready::withheld(&withheld, cannot(place)))?;
        let wish = wish(&self.means, place, object, id)?;
        let (runs, place, object) = (self.means.runs.clone(), place.clone(), object.clone());
        let client = self.means.client.clone();
        Ok(match wish {
            Wish::Run(asked) => calls::begin(runs, place, object, (id, *asked)).boxed(),
            Wish::Job(plan) => calls::make((client, runs), place, object, (id, *plan)).boxed(),
        })
    }

    fn begun(keeper: &mut Keeper, place: &Place, begun: Begun) {
        match begun {
            Begun::Run(run) => {
                keeper.known.entry(run.id).or_insert_with(|| (*run).into());
            }
            // It goes with its object.
            Begun::Job(job) => jobs::take_made(keeper, place, *job),
        }
    }

    fn end(keeper: &mut Keeper, place: &Place, id: IntentId, reason: &str) {
        let Some(entry) = keeper.entries.get(place) else { return };
        if entry.object.spec.job.is_some() {
            let object = entry.object.clone();
            return jobs::suspend(keeper, place, object, id);
        }
        keeper.end_by_id(id, format!("{reason}: {place}"));
        keeper.is_ending(place);
    }

    fn end_by_id(&self, id: IntentId, reason: String) -> BoxFuture<'static, ()> {
        let runs = self.means.runs.clone();
        async move { runs.end_of(id, &reason).await }.boxed()
    }

    fn looked(keeper: &Keeper) {
        jobs::tell_going(keeper);
    }

    fn told(keeper: &mut Keeper, place: &Place, before: Phase, status: &Status) {
        mentioning::mention(keeper, place, before, status);
    }
}

/// Counts a step of a run that goes on. What it misses the record has in the end.
fn counts(keeper: &mut Keeper, news: &wire::RunNews) {
    let Some(known) = keeper.known.get_mut(&news.id) else { return };
    let progress = serde_json::from_slice::<Progress>(&news.news);
    if let Ok(Progress::StepEnded { section: Section::Method, .. }) = progress {
        known.steps += 1;
        if let Some(place) = known.object().and_then(Place::of) {
            keeper.consider(&place);
        }
    }
}

//! What faults are to the keeper of objects: intents, which are put in and healed.

mod calls;
mod mentioning;

use std::convert::Infallible;

use cluster::{ApiError, Client, Namespace};
use fault::{IntentId, Limits};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use proto::control as wire;
use tokio::sync::watch;

use super::asked;
use super::consent::{Consent, Withheld};
use super::decision::step;
use super::resource::{Kind, Object, Place};
use super::status::{Phase, Status};
use super::tenure::{self, Tenure};
use crate::archive::{Audit, Journal};
use crate::control::{Control, is_over};
use crate::keeping::decision::{Attempt, Step};
use crate::keeping::waiting::told;
use crate::keeping::{self, Beginning, Definitions, Hearing, Known, Side, Unready, cannot};
use crate::sight::GroupName;
pub(crate) use calls::is_passing;

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

/// The side of faults.
pub(super) struct Faults {
    means: Means,
    consent: Consent,
}

type Keeper = keeping::Keeper<Faults>;

/// Keeps objects and faults the same until it is told to stop.
pub(super) async fn run(means: Means, stopped: watch::Receiver<bool>) {
    let hearing = Hearing::of(&means.client);
    let Some(told) = told(&means.control).await else { return };
    let (client, control) = (means.client.clone(), means.control.clone());
    let keeper = Keeper::new(Faults { means, consent: Consent::default() }, client, control);
    keeper.run(hearing, told, stopped).await;
}

/// Ends all that acts for objects which the installation in a namespace keeps: nobody here would hear that one of them is
/// deleted.
pub(super) async fn end_all(means: &Means, namespace: &str) {
    // A controller that ends leaves it to its next life.
    let Ok((intents, _)) = means.control.list().await else { return };
    let living = intents.iter().filter(|intent| intent.object.is_some() && !is_over(intent));
    let reason = format!("its object is kept by the installation in namespace {namespace}");
    let all = living
        .map(|intent| calls::heal(means.clone(), IntentId::from_random(intent.id), reason.clone()));
    join_all(all).await;
}

impl Known for wire::Intent {
    fn object(&self) -> Option<&wire::Object> {
        self.object.as_ref()
    }

    fn is_over(&self) -> bool {
        is_over(self)
    }
}

impl Side for Faults {
    type Kind = Kind;
    type Known = wire::Intent;
    type Heard = Infallible;
    type Begun = Box<wire::Intent>;

    fn consent(&mut self, change: impl FnOnce(&mut Consent)) {
        change(&mut self.consent);
    }

    fn defined(&self, known: &Definitions<Kind>, trouble: Option<&ApiError>) {
        let now = match trouble {
            Some(error) => Some(Tenure::Untold(error.to_string())),
            None => known.lacks().map(Tenure::of),
        };
        if let Some(now) = now {
            tenure::says(&self.means.tenure, now);
        }
    }

    fn heard(_: &mut Keeper, heard: Infallible) {
        match heard {}
    }

    fn learns(keeper: &mut Keeper, event: wire::Event) {
        match event.kind {
            Some(wire::event::Kind::Intent(intent)) => keeper.learn(intent.id, intent),
            Some(wire::event::Kind::Forgotten(forgotten)) => {
                keeper.known.remove(&forgotten.id);
            }
            Some(_) | None => {}
        }
    }

    fn step(keeper: &mut Keeper, place: &Place, id: IntentId, now: u64) -> Option<Step<Status>> {
        let entry = keeper.entries.get_mut(place)?;
        let intent = keeper.known.get(&id.get());
        let next = step(&entry.standing(), intent, now);
        if matches!(next, Step::Wait(_)) && intent.is_some_and(is_over) {
            // It was told, and a thousand parts take room.
            keeper.known.remove(&id.get());
            entry.attempt = Attempt::Untried;
        }
        Some(next)
    }

    fn begin(
        &self,
        place: &Place,
        object: &Object,
        id: IntentId,
    ) -> Result<Beginning<Self>, Unready> {
        let spec = asked::asked(place.kind, object)?;
        let is_of_settings = |group: &GroupName| self.means.control.has_cluster(group);
        let elsewhere = match place.kind {
            Kind::Fault => asked::groups(&spec).into_iter().find(is_of_settings),
            Kind::ClusterFault => None,
        };
        let consent = match elsewhere {
            Some(group) => Err(Withheld::Elsewhere(group.to_string())),
            None => self.consent.check(&asked::namespaces(&spec, is_of_settings)),
        };
        consent.map_err(|withheld| Unready::withheld(&withheld, cannot(place)))?;
        let (means, place, object) = (self.means.clone(), place.clone(), object.clone());
        Ok(calls::put_in(means, place, object, (id, spec)).boxed())
    }

    fn begun(keeper: &mut Keeper, _: &Place, intent: Box<wire::Intent>) {
        keeper.known.entry(intent.id).or_insert(*intent);
    }

    fn end(keeper: &mut Keeper, place: &Place, id: IntentId, reason: &str) {
        keeper.end_by_id(id, format!("{reason}: {place}"));
        keeper.is_ending(place);
    }

    fn end_by_id(&self, id: IntentId, reason: String) -> BoxFuture<'static, ()> {
        calls::heal(self.means.clone(), id, reason).boxed()
    }

    fn told(keeper: &mut Keeper, place: &Place, before: Phase, status: &Status) {
        if matches!(before, Phase::Pending | Phase::Active) {
            mentioning::mention_in_time(keeper, place, status);
        }
    }
}

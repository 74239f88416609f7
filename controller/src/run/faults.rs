//! Faults that steps put in: kept as long as the run wants them, whoever holds them for it.

pub(crate) mod controller;
pub(crate) mod effect;
mod here;
pub(crate) mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use experiment::model::{FaultLabel, FaultVerb};
use experiment::run::{Effect, Ending, Event, Healing};
use serde_json::{Map, Value};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, mpsc};

use crate::connect::Choice;
use crate::failure::Failure;
use crate::output::Output;
use crate::settings::{Controller, Names};
use controller::AtController;
use here::Here;

/// Where faults are put in.
enum Place {
    /// By this machine's agent.
    Here(Box<Here>),
    /// By a controller.
    Controller(Box<AtController>),
}

/// One fault of the run. Whoever has its turn puts it in or takes it out.
type Slot = Arc<Turn<Option<Standing>>>;

/// A fault that was put in, or may have been.
enum Standing {
    Here(here::Held),
    Controller(u64),
}

/// The turn of whoever puts a fault in.
pub(super) struct Reserved(Option<OwnedMutexGuard<Option<Standing>>>);

/// All faults of a run.
pub(crate) struct Faults {
    names: Names,
    choice: Choice,
    output: Output,
    controller: Option<Controller>,
    events: mpsc::UnboundedSender<Event>,
    place: Turn<Option<Arc<Place>>>,
    slots: Mutex<HashMap<FaultLabel, Slot>>,
}

impl Faults {
    /// None yet; nobody is asked for any before there is one.
    pub(crate) fn new(
        names: Names,
        choice: Choice,
        controller: Option<Controller>,
        events: mpsc::UnboundedSender<Event>,
        output: Output,
    ) -> Self {
        let (place, slots) = (Turn::default(), Mutex::default());
        Self { names, choice, output, controller, events, place, slots }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<FaultLabel, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who holds faults; found when it is first needed.
    async fn place(&self) -> Result<Arc<Place>, Failure> {
        let mut place = self.place.lock().await;
        if let Some(place) = &*place {
            return Ok(Arc::clone(place));
        }
        let found = match &self.controller {
            Some(at) => {
                let there = AtController::open(at, self.events.clone(), self.output).await?;
                Place::Controller(Box::new(there))
            }
            None => {
                let here = Here::open(&self.choice, self.events.clone(), self.output).await?;
                Place::Here(Box::new(here))
            }
        };
        Ok(Arc::clone(place.insert(Arc::new(found))))
    }

    /// Keeps a place for a fault: whoever asks for its end from now on waits until it was put in.
    pub(super) fn reserve(&self, label: &FaultLabel) -> Reserved {
        let slot = Slot::default();
        self.slots().insert(label.clone(), Arc::clone(&slot));
        // Nobody else has it yet.
        Reserved(slot.try_lock_owned().ok())
    }

    /// Puts a fault in, and returns when it is verified. Not to be given up half-way.
    pub(super) async fn begin(
        &self,
        label: FaultLabel,
        verb: FaultVerb,
        arguments: &Map<String, Value>,
        reserved: Reserved,
    ) -> Ending {
        let Some(mut standing) = reserved.0 else {
            return Ending::Failed(format!("another fault is called `{label}`"));
        };
        let begun = async {
            let typed = words::typed(verb, arguments, &self.names, self.output)?;
            match &*self.place().await? {
                Place::Here(here) => here.begin(label, typed, &self.names, &mut standing).await,
                Place::Controller(there) => {
                    there.begin(label, typed, &self.names, &mut standing).await
                }
            }
        };
        match begun.await {
            Ok(value) => Ending::Returned(value),
            Err(failure) if standing.is_some() => Ending::Crashed(failure.text()),
            Err(failure) => Ending::Failed(failure.text()),
        }
    }

    /// Takes a fault out, wherever it stands. One that is on its way in is waited for.
    pub(super) async fn heal(&self, label: &FaultLabel) -> Healing {
        let slot = self.slots().get(label).cloned();
        let Some(slot) = slot else {
            let why = "it was put in by another command; its lease ends it";
            return Healing::Unconfirmed(why.to_owned());
        };
        let mut standing = slot.lock().await;
        let place = match (&*standing, self.place().await) {
            (None, _) => return Healing::Out(Effect::default()),
            (Some(_), Err(failure)) => return Healing::Unconfirmed(failure.text()),
            (Some(_), Ok(place)) => place,
        };
        let healed = match (&*place, &*standing) {
            (Place::Here(here), Some(Standing::Here(held))) => here.heal(held).await,
            (Place::Controller(there), Some(Standing::Controller(id))) => there.heal(*id).await,
            _ => return Healing::Out(Effect::default()),
        };
        match healed {
            Ok(effect) => {
                *standing = None;
                Healing::Out(effect)
            }
            Err(failure) => Healing::Unconfirmed(failure.text()),
        }
    }

    /// What a fault has done so far.
    pub(super) async fn effect(&self, label: &FaultLabel) -> Ending {
        let slot = self.slots().get(label).cloned();
        let unknown = || Ending::Failed(format!("no fault of this run is called `{label}`"));
        let Some(slot) = slot else { return unknown() };
        let standing = slot.lock().await;
        let place = match self.place().await {
            Ok(place) => place,
            Err(failure) => return Ending::Failed(failure.text()),
        };
        let found = match (&*place, &*standing) {
            (Place::Here(here), Some(Standing::Here(held))) => here.effect(held).await,
            (Place::Controller(there), Some(Standing::Controller(id))) => there.effect(*id).await,
            _ => return unknown(),
        };
        match found {
            Ok(effect) => Ending::Returned(effect::value(&effect)),
            Err(failure) => Ending::Failed(failure.text()),
        }
    }

    /// The targets that a selector names, one selector each.
    pub(super) async fn targets(&self, selector: &str) -> Ending {
        let found = async {
            let selector = words::selector(selector)?;
            match &*self.place().await? {
                Place::Here(here) => here.targets(&selector).await,
                Place::Controller(there) => there.targets(&selector).await,
            }
        };
        match found.await {
            Ok(names) => Ending::Returned(names.into_iter().map(Value::String).collect()),
            Err(failure) => Ending::Failed(failure.text()),
        }
    }

    /// Lets go of whoever held faults. An agent that this command was ends, and with it what it still had.
    pub(super) async fn leave(&self) {
        let Some(place) = self.place.lock().await.take() else { return };
        match &*place {
            Place::Here(here) => here.leave(self.output).await,
            Place::Controller(_) => {}
        }
    }
}

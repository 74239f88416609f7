//! Faults that steps put in: kept as long as the run wants them, whoever holds them for it.

pub(crate) mod acting;
mod checking;
pub(crate) mod controller;
pub(crate) mod effect;
pub(crate) mod ended;
mod here;
pub(crate) mod objects;
pub(crate) mod telling;
pub(super) mod withdrawal;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use experiment::model::{FaultLabel, FaultVerb};
use experiment::run::invocation::Concern;
use experiment::run::{Effect, Ending, Event, FaultKey, Healing, NamedFault};
use fault::IntentId;
use proto::control as wire;
use serde_json::{Map, Value};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, mpsc};

use super::logs::Telling;
use crate::cli::Named;
use crate::connect::Choice;
use crate::failure::Failure;
use crate::fleet::client::LOG;
use crate::log::Wanted;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::plugin::pods;
use crate::processes::Asked;
use crate::settings::{Controller, Names};
use acting::Acting;
pub(crate) use checking::Form;
pub(super) use checking::{Wrong, check, is_template};
use controller::AtController;
use here::Here;
use objects::{InCluster, Space};
use telling::Teller;
use withdrawal::Withdrawn;
use words::Typed;
pub(super) use words::told;

/// Who is to hold the faults of a run.
#[derive(Clone)]
pub(crate) enum Holder {
    /// This machine's agent.
    Agent(Choice),
    /// A controller.
    Controller(Controller),
    /// The objects of an API server.
    Objects(Space),
}

impl Holder {
    /// Who puts faults in, as a journal has it.
    pub(super) fn whereabouts(&self) -> String {
        match self {
            Self::Agent(choice) => format!("the agent at {}", choice.place().display()),
            Self::Controller(place) => {
                format!("the controller at {}", crate::fleet::client::name(place))
            }
            Self::Objects(space) => space.to_string(),
        }
    }
}

/// Where faults are put in.
enum Place {
    /// By this machine's agent.
    Here(Box<Here>),
    /// By a controller.
    Controller(Box<AtController>),
    /// As objects of an API server.
    Objects(Box<InCluster>),
}

/// One fault of the run. Whoever has its turn puts it in or takes it out.
type Slot = Arc<Turn<Option<Standing>>>;

/// A fault that was put in, or may have been.
enum Standing {
    Here(here::Held),
    Controller(u64),
    Object(Box<objects::Held>),
    /// It is out, and how that was told: who asks again may not have heard of it.
    Out(Healing),
}

impl Standing {
    /// What it was asked for by, as long as it may be there.
    fn intent(&self) -> Option<IntentId> {
        match self {
            Self::Here(held) => Some(held.intent()),
            Self::Controller(id) => Some(IntentId::from_random(*id)),
            Self::Object(held) => Some(held.intent()),
            Self::Out(_) => None,
        }
    }
}

/// What became of a fault that was to be taken out, and what is known of it from then on.
fn settled(standing: &mut Option<Standing>, healed: Result<Healing, Failure>) -> Healing {
    let healing = healed.unwrap_or_else(|failure| Healing::Unconfirmed(failure.text()));
    match &healing {
        Healing::Unconfirmed(_) => {}
        Healing::Absent => *standing = None,
        Healing::Out(_) | Healing::Broken(..) => *standing = Some(Standing::Out(healing.clone())),
    }
    healing
}

/// The turn of whoever puts a fault in.
pub(super) struct Reserved(Option<OwnedMutexGuard<Option<Standing>>>);

/// What a fault is asked for by, in the words of whoever holds it.
const fn id(key: FaultKey) -> IntentId {
    IntentId::from_random(key.get())
}

/// Why something is not done with what only agents know.
fn elsewhere(attempted: impl Into<String>) -> Failure {
    Failure::new(Outcome::WrongUsage, attempted, "no object says it like that")
}

/// What was put in, with what it has taken the place of.
pub(crate) fn with_replaced(mut value: Value, ended: &BTreeSet<IntentId>) -> Value {
    if !ended.is_empty() {
        value["replaced"] = ended.iter().map(ToString::to_string).collect();
    }
    value
}

/// All faults of a run.
pub(crate) struct Faults {
    names: Names,
    holder: Holder,
    output: Output,
    teller: Teller,
    place: Turn<Option<Arc<Place>>>,
    slots: Mutex<HashMap<FaultLabel, Slot>>,
    /// Who was to put in what another run left, if this one finishes it.
    left_at: Option<String>,
    /// From what picks of whose logs are read are drawn.
    seed: u64,
}

impl Faults {
    /// None yet; nobody is asked for any before there is one.
    pub(crate) fn new(
        names: Names,
        holder: Holder,
        left_at: Option<String>,
        seed: u64,
        (events, output): (mpsc::UnboundedSender<Event>, Output),
    ) -> Self {
        let (place, slots) = (Turn::default(), Mutex::default());
        let teller = Teller::new(events);
        Self { names, holder, output, teller, place, slots, left_at, seed }
    }

    /// Of a test that asks nobody.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        let (events, _) = mpsc::unbounded_channel();
        let (socket, absence) = (Some("/nowhere".into()), crate::connect::Absence::Accept);
        let choice = Choice { socket, absence, typed: Vec::new() };
        Self::new(Names::default(), Holder::Agent(choice), None, 0, (events, Output::new(None)))
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
        let teller = self.teller.clone();
        let found = match &self.holder {
            Holder::Agent(choice) => {
                Place::Here(Box::new(Here::open(choice, teller, self.output).await?))
            }
            Holder::Controller(at) => {
                Place::Controller(Box::new(AtController::open(at, teller, self.output).await?))
            }
            Holder::Objects(space) => {
                Place::Objects(Box::new(InCluster::open(space, teller, self.output).await?))
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

    /// Puts a fault in, and returns when it is verified. Not to be dropped half-way: one that is not wanted any more
    /// stops by itself, where that may take long.
    pub(super) async fn begin(
        &self,
        fault: NamedFault,
        verb: FaultVerb,
        arguments: &Map<String, Value>,
        reserved: Reserved,
        mut withdrawn: Withdrawn,
    ) -> Ending {
        let Some(mut standing) = reserved.0 else {
            return Ending::Failed(format!("another fault is called `{}`", fault.label));
        };
        let begun = async {
            // An object says it in its own words.
            if let Holder::Objects(_) = &self.holder {
                // Somebody may have to log in for that.
                let place = withdrawn.unless("cannot put faults in", self.place()).await?;
                if let Place::Objects(at) = &*place {
                    let standing = &mut standing;
                    return at.begin(&fault, verb, arguments, standing, &mut withdrawn).await;
                }
            }
            let typed = words::typed(verb, arguments, &self.names, self.output)?;
            let place = self.place().await?;
            match typed {
                Typed::Replacing(asked) => {
                    self.replacing(&fault, asked, &place, &mut standing).await
                }
                typed @ (Typed::Cut(_) | Typed::Within(_)) => {
                    self.put_in(&fault, typed, &place, &mut standing).await
                }
            }
        };
        match begun.await {
            Ok(value) => Ending::Returned(value),
            Err(failure) if standing.is_some() => Ending::Crashed(failure.text()),
            Err(failure) => Ending::Failed(failure.text()),
        }
    }

    async fn put_in(
        &self,
        fault: &NamedFault,
        typed: Typed,
        place: &Place,
        standing: &mut Option<Standing>,
    ) -> Result<Value, Failure> {
        match place {
            Place::Here(here) => here.begin(fault, typed, &self.names, standing).await,
            Place::Controller(there) => there.begin(fault, typed, &self.names, standing).await,
            Place::Objects(_) => Err(elsewhere(format!("cannot put in `{}`", fault.label))),
        }
    }

    /// Puts a fault in, and ends each one first that is all that is in its way.
    async fn replacing(
        &self,
        fault: &NamedFault,
        asked: Asked,
        place: &Place,
        standing: &mut Option<Standing>,
    ) -> Result<Value, Failure> {
        let mut ended = BTreeSet::new();
        loop {
            let typed = Typed::Within(asked.clone());
            let failure = match self.put_in(fault, typed, place, standing).await {
                Ok(value) => return Ok(with_replaced(value, &ended)),
                Err(failure) => failure,
            };
            // One that was ended and is still there is nothing to end again.
            let there = failure.replaceable.filter(|_| standing.is_none());
            let Some(there) = there.filter(|there| ended.insert(*there)) else {
                return Err(failure);
            };
            self.make_room(there, place).await?;
        }
    }

    /// Ends what is in the way of a fault. One of this run has not broken off by that.
    async fn make_room(&self, there: IntentId, place: &Place) -> Result<(), Failure> {
        self.output.note(format!("{there} has moved these clocks already, and is healed first"));
        // Until it is out the run has it, and is told if it breaks off.
        let own = self.held(there).map(|(label, slot)| (self.teller.hold(&label), label, slot));
        let healing = match place {
            Place::Here(here) => here.heal_left(there).await?,
            Place::Controller(at) => at.heal(there.get()).await?,
            Place::Objects(at) => at.heal_left(there).await?,
        };
        if let Healing::Unconfirmed(why) = healing {
            let attempted = format!("cannot confirm the heal of {there}");
            return Err(Failure::new(Outcome::Unconfirmed, attempted, why));
        }
        if let Some((hold, label, mut slot)) = own {
            hold.settle(ended::replaced(&label, healing.clone()));
            settled(&mut slot, Ok(healing));
        }
        Ok(())
    }

    /// A fault of this run by what it was asked for, with its turn. One that is just put in or taken out is left to
    /// whoever does so.
    fn held(&self, intent: IntentId) -> Option<(FaultLabel, OwnedMutexGuard<Option<Standing>>)> {
        self.slots().iter().find_map(|(label, slot)| {
            let turn = Arc::clone(slot).try_lock_owned().ok()?;
            let is_it = turn.as_ref().and_then(Standing::intent) == Some(intent);
            is_it.then(|| (label.clone(), turn))
        })
    }

    /// Takes a fault out, wherever it stands. One that is on its way in is waited for.
    pub(super) async fn heal(&self, fault: &NamedFault) -> Healing {
        let slot = self.slots().get(&fault.label).cloned();
        let Some(slot) = slot else { return self.heal_left(fault.key).await };
        let mut standing = slot.lock().await;
        match &*standing {
            None => return Healing::Absent,
            Some(Standing::Out(healing)) => return healing.clone(),
            Some(Standing::Here(_) | Standing::Controller(_) | Standing::Object(_)) => {}
        }
        let place = match self.place().await {
            Ok(place) => place,
            Err(failure) => return Healing::Unconfirmed(failure.text()),
        };
        let healed = match (&*place, &*standing) {
            (Place::Here(here), Some(Standing::Here(held))) => here.heal(held).await,
            (Place::Controller(there), Some(Standing::Controller(id))) => there.heal(*id).await,
            (Place::Objects(at), Some(Standing::Object(held))) => at.heal(held).await,
            _ => return Healing::Out(Effect::default()),
        };
        settled(&mut standing, healed)
    }

    /// Takes out what another run has left.
    async fn heal_left(&self, key: FaultKey) -> Healing {
        let own = self.holder.whereabouts();
        if let Some(other) = self.left_at.as_ref().filter(|other| **other != own) {
            let why = format!(
                "it was put in by {other}, and this command speaks to {own}: its lease ends it"
            );
            return Healing::Unconfirmed(why);
        }
        let healed = async {
            match &*self.place().await? {
                Place::Here(here) => here.heal_left(id(key)).await,
                Place::Controller(there) => there.heal(key.get()).await,
                Place::Objects(at) => at.heal_left(id(key)).await,
            }
        };
        healed.await.unwrap_or_else(|failure| Healing::Unconfirmed(failure.text()))
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
            (Place::Objects(at), Some(Standing::Object(held))) => at.effect(held).await,
            _ => return unknown(),
        };
        match found {
            Ok(effect) => Ending::Returned(effect.value()),
            Err(failure) => Ending::Failed(failure.text()),
        }
    }

    /// The faults that act; none while nobody can say.
    async fn acting(&self) -> Vec<Acting> {
        let place = self.place.try_lock().ok().and_then(|place| place.clone());
        let Some(place) = place else { return Vec::new() };
        if let Place::Objects(_) = &*place {
            return self.acting_objects();
        }
        let intent = |slot: &Slot| slot.try_lock().ok()?.as_ref()?.intent();
        let own: BTreeMap<FaultLabel, IntentId> = {
            let slots = self.slots();
            let own = slots.iter().filter_map(|(label, slot)| Some((label.clone(), intent(slot)?)));
            own.collect()
        };
        if own.is_empty() {
            return Vec::new();
        }
        let statuses = match &*place {
            Place::Here(here) => here.statuses().await,
            Place::Controller(there) => there.statuses().await,
            Place::Objects(_) => Ok(Vec::new()),
        };
        acting::told(&own, &statuses.unwrap_or_default())
    }

    /// The same of objects, by what was last told of them.
    fn acting_objects(&self) -> Vec<Acting> {
        let slots = self.slots();
        let mut own: Vec<(&FaultLabel, Acting)> = slots
            .iter()
            .filter_map(|(label, slot)| match slot.try_lock().ok()?.as_ref()? {
                Standing::Object(held) => Some((label, held.acting(label)?)),
                Standing::Here(_) | Standing::Controller(_) | Standing::Out(_) => None,
            })
            .collect();
        own.sort_unstable_by_key(|(label, _)| *label);
        own.into_iter().map(|(_, acting)| acting).collect()
    }

    /// Where faults are objects, if they are.
    pub(super) const fn space(&self) -> Option<&Space> {
        match &self.holder {
            Holder::Objects(space) => Some(space),
            Holder::Agent(_) | Holder::Controller(_) => None,
        }
    }

    /// From what picks of whose logs are read are drawn.
    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    /// The targets that a selector or a name stands for, one selector each.
    pub(super) async fn targets(&self, named: &str, seed: u64, concern: Concern) -> Ending {
        let found = async {
            // An object says it in its own words.
            if let Some(Space { client, namespace, .. }) = self.space() {
                return pods::names((client, namespace.as_str()), named, seed).await;
            }
            let selectors = words::meant(named, &self.names, concern)?;
            match &*self.place().await? {
                Place::Here(here) => here.targets(&selectors, seed).await,
                Place::Controller(there) => there.targets(&selectors, seed).await,
                Place::Objects(_) => Err(elsewhere("cannot find targets")),
            }
        };
        match found.await {
            Ok(names) => Ending::Returned(names.into_iter().map(Value::String).collect()),
            Err(failure) => Ending::Failed(failure.text()),
        }
    }

    /// What targets write, since what was known of them, or where that ends.
    pub(super) async fn logs(
        &self,
        target: &Named,
        since: Vec<wire::TargetLog>,
        wanted: Wanted,
    ) -> Result<Telling, Failure> {
        let selectors = target
            .stands_for(&self.names)
            .map_err(|error| Failure::new(Outcome::WrongUsage, LOG, &error).hint(error.hint()))?;
        match &*self.place().await? {
            Place::Here(here) => here.logs(&selectors, &since, (wanted, self.seed)).await,
            Place::Controller(there) => there.logs(&selectors, since, (wanted, self.seed)).await,
            Place::Objects(_) => Err(elsewhere(LOG)),
        }
    }

    /// Lets go of whoever held faults. An agent that this command was ends, and with it what it still had.
    pub(super) async fn leave(&self) {
        let Some(place) = self.place.lock().await.take() else { return };
        match &*place {
            Place::Here(here) => here.leave(self.output).await,
            Place::Controller(_) => {}
            Place::Objects(at) => at.leave(self.objects()).await,
        }
    }

    /// The objects that may be there still.
    fn objects(&self) -> Vec<objects::Held> {
        let slots = self.slots();
        let held = slots.values().filter_map(|slot| match slot.try_lock().ok()?.as_ref()? {
            Standing::Object(held) => Some((**held).clone()),
            Standing::Here(_) | Standing::Controller(_) | Standing::Out(_) => None,
        });
        held.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_again_for_the_end_of_a_fault_hears_what_it_has_done() {
        let faults = Faults::nowhere();
        let fault =
            NamedFault { label: "the-cut".parse().unwrap(), key: "000000000007".parse().unwrap() };
        let mut reserved = faults.reserve(&fault.label);
        let standing = reserved.0.as_mut().unwrap();
        **standing = Some(Standing::Controller(7));
        let lost = Failure::new(Outcome::Unconfirmed, "cannot heal", "nobody answers");
        let unconfirmed = settled(standing, Err(lost));
        assert!(matches!(unconfirmed, Healing::Unconfirmed(_)), "{unconfirmed:?}");
        assert_eq!(
            (**standing).as_ref().and_then(Standing::intent),
            Some(IntentId::from_random(7))
        );
        let figures = Map::from_iter([("packets".to_owned(), Value::from(9))]);
        let out = Healing::Out(Effect { figures, ..Effect::default() });
        assert_eq!(settled(standing, Ok(out.clone())), out);
        drop(reserved);
        // Whoever asked first may have given it up by then.
        assert_eq!(faults.heal(&fault).await, out);
        assert_eq!(faults.heal(&fault).await, out);
        assert!(faults.held(IntentId::from_random(7)).is_none(), "nothing to make room for");
    }

    #[tokio::test]
    async fn what_was_never_put_in_is_absent() {
        let faults = Faults::nowhere();
        let fault =
            NamedFault { label: "the-cut".parse().unwrap(), key: "000000000007".parse().unwrap() };
        drop(faults.reserve(&fault.label));
        assert_eq!(faults.heal(&fault).await, Healing::Absent);
    }
}

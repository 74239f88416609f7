//! Faults of a run, put in by the controller that decides it: intents of their own, with all guards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use experiment::hint;
use experiment::model::{FaultLabel, FaultVerb};
use experiment::run::invocation::Concern;
use experiment::run::{Effect, Ending, Event, Healing};
use fault::{IntentId, Limits, NodeName, Selector};
use proto::control as wire;
use serde_json::{Map, Value};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, mpsc};
use tokio::task::AbortHandle;
use tokio_stream::StreamExt as _;

use super::bounds::Bounds;
use crate::archive::{ArchiveError, Audit, Deed, Journal, Node, Verdict};
use crate::control::{AskError, Control, ControlError, is_over};
use crate::fleet::{self, client};
use crate::log;
use crate::objects::asked;
use crate::output::Output;
use crate::run::faults::controller::spec;
use crate::run::faults::telling::Teller;
use crate::run::faults::words::Typed;
use crate::run::faults::{effect, ended, with_replaced, words};
use crate::run::logs;
use crate::serve::{refusal, watching};
use crate::settings::Names;
use crate::sight::GroupName;

/// The id of a fault that may be there. Whoever has its turn puts it in or takes it out.
type Slot = Arc<Turn<Option<IntentId>>>;

/// Why a fault was not put in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the audit log cannot be written, so nothing is done: {0}")]
    Audit(#[from] ArchiveError),
}

impl Refusal {
    /// What it would take the place of, if that is all that is in its way.
    fn replaceable(&self) -> Option<IntentId> {
        match self {
            Self::Ask(AskError::Admit(error) | AskError::Control(ControlError::Admit(error))) => {
                error.replaceable()
            }
            Self::Ask(_) | Self::Audit(_) => None,
        }
    }

    /// What people read: the same that a command is told which asks for the fault alone.
    pub(super) fn text(&self) -> String {
        let hint = match self {
            Self::Ask(error) => client::failure("", &refusal::refuse(error)).hint,
            Self::Audit(_) => None,
        };
        match hint {
            Some(hint) => format!("{self}{}{hint}", hint::MARK),
            None => self.to_string(),
        }
    }
}

/// The turn of whoever puts a fault in.
pub(super) struct Reserved(Option<OwnedMutexGuard<Option<IntentId>>>);

/// All faults of a run.
pub(super) struct Faults {
    pub(super) control: Control,
    pub(super) limits: Limits,
    pub(super) audit: Journal<Audit>,
    /// Who asked for the run, and for which.
    pub(super) asker: String,
    pub(super) names: Names,
    /// From what picks of whose logs are read are drawn.
    seed: u64,
    /// Whom they may be about, where that is not anybody.
    bounds: Option<Bounds>,
    teller: Teller,
    slots: Mutex<BTreeMap<FaultLabel, Slot>>,
    labels: Arc<Mutex<BTreeMap<u64, FaultLabel>>>,
    watching: Mutex<Option<AbortHandle>>,
}

impl Drop for Faults {
    fn drop(&mut self) {
        if let Some(task) = locked(&self.watching).take() {
            task.abort();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    pub(super) fn new(
        (control, limits): (Control, Limits),
        audit: Journal<Audit>,
        asker: String,
        (names, seed, bounds): (Names, u64, Option<Bounds>),
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let (slots, labels, watching) = (Mutex::default(), Arc::default(), Mutex::default());
        let teller = Teller::new(events);
        Self { control, limits, audit, asker, names, seed, bounds, teller, slots, labels, watching }
    }

    /// Takes one over that an earlier life of the run has put in.
    pub(super) fn adopt(&self, label: FaultLabel, id: IntentId) {
        locked(&self.slots).insert(label, Arc::new(Turn::new(Some(id))));
    }

    /// Keeps a place for a fault: whoever asks for its end from now on waits until it was put in.
    pub(super) fn reserve(&self, label: &FaultLabel) -> Reserved {
        let slot = Slot::default();
        locked(&self.slots).insert(label.clone(), Arc::clone(&slot));
        // Nobody else has it yet.
        Reserved(slot.try_lock_owned().ok())
    }

    /// Hears of the ends of faults, from the first one on.
    async fn watch(&self) -> Result<(), ControlError> {
        if locked(&self.watching).is_some() {
            return Ok(());
        }
        let told = watching::told(self.control.clone(), 0).await?;
        let (labels, teller) = (Arc::clone(&self.labels), self.teller.clone());
        let task = tokio::spawn(async move {
            tokio::pin!(told);
            while let Some(Ok(event)) = told.next().await {
                let Some(wire::event::Kind::Intent(intent)) = event.kind else { continue };
                if !is_over(&intent) {
                    continue;
                }
                let Some(label) = locked(&labels).remove(&intent.id) else { continue };
                for event in ended::over_of(&label, &intent) {
                    teller.tell(&label, event);
                }
            }
        });
        if let Some(other) = locked(&self.watching).replace(task.abort_handle()) {
            other.abort();
        }
        Ok(())
    }

    /// Looks at what targets write.
    pub(super) async fn logs(&self, arguments: &Map<String, Value>) -> Ending {
        logs::ending(self.found(arguments).await)
    }

    async fn found(&self, arguments: &Map<String, Value>) -> Result<Value, String> {
        let sought = logs::Sought::read(&self.bounded(arguments)?)?;
        let (named, since, wanted) = sought.target()?.ok_or("`target` is missing")?;
        let selectors = named.stands_for(&self.names).map_err(|error| error.to_string())?;
        self.admit(&selectors).await?;
        let meant = self.control.logs(&selectors, &since, self.seed).await;
        let verdict = match &meant {
            Ok(_) => Verdict::Admitted,
            Err(error) => Verdict::Refused(error.to_string()),
        };
        let nodes = meant.iter().flatten().map(|(_, one)| one.node.clone());
        let nodes: BTreeSet<NodeName> = nodes.collect();
        let entry = Audit {
            at: SystemTime::now(),
            who: self.asker.clone(),
            deed: Deed::ReadLog,
            what: named.to_string(),
            intent: None,
            nodes: nodes.into_iter().map(Node).collect(),
            until: None,
            verdict,
        };
        self.audit.append(&entry).await.map_err(|error| Refusal::Audit(error).to_string())?;
        let meant = meant.map_err(|error| error.to_string())?;
        sought.look(logs::telling(log::told(meant, wanted)), wanted).await
    }

    /// Puts a fault in, and returns when it is verified. Not to be given up half-way.
    pub(super) async fn begin(
        &self,
        (label, id): (FaultLabel, IntentId),
        verb: FaultVerb,
        arguments: &Map<String, Value>,
        reserved: Reserved,
    ) -> Ending {
        let Some(mut standing) = reserved.0 else {
            return Ending::Failed(format!("another fault is called `{label}`"));
        };
        let arguments = match self.bounded(arguments) {
            Ok(arguments) => arguments,
            Err(why) => return Ending::Failed(why),
        };
        let typed = words::typed(verb, &arguments, &self.names, Output::new(None));
        let replaces = matches!(typed, Ok(Typed::Replacing(_)));
        let spec = match typed.and_then(|typed| spec(typed, &self.names)) {
            Ok(spec) => wire::Spec::from(&spec),
            Err(failure) => return Ending::Failed(failure.text()),
        };
        let named: Vec<Selector> = asked::selectors(&spec).collect();
        if let Err(why) = self.admit(&named).await {
            return Ending::Failed(why);
        }
        if let Err(error) = self.watch().await {
            return Ending::Failed(error.to_string());
        }
        locked(&self.labels).insert(id.get(), label.clone());
        // From here on something of it may be there.
        *standing = Some(id);
        let mut ended = BTreeSet::new();
        let intent = loop {
            let error = match self.request(id, spec.clone()).await {
                Ok(intent) => break intent,
                Err(Refusal::Ask(AskError::Control(error @ ControlError::Ending))) => {
                    return Ending::Crashed(error.to_string());
                }
                Err(error) => error,
            };
            let there = error.replaceable().filter(|_| replaces);
            let why = match there.filter(|there| ended.insert(*there)) {
                Some(there) => match self.make_room(there).await {
                    Ok(()) => continue,
                    Err(why) => why,
                },
                None => error.text(),
            };
            locked(&self.labels).remove(&id.get());
            *standing = None;
            return Ending::Failed(why);
        };
        match intent.stage() {
            // What could not be taken out again is asked for once more, and told.
            wire::Stage::Failed if fleet::unconfirmed(&intent).is_some() => {
                Ending::Crashed(fleet::why(&intent))
            }
            wire::Stage::Failed => {
                locked(&self.labels).remove(&id.get());
                *standing = None;
                Ending::Failed(fleet::why(&intent))
            }
            wire::Stage::Active | wire::Stage::Healed | wire::Stage::Expired => {
                Ending::Returned(with_replaced(fleet::record(&intent), &ended))
            }
            wire::Stage::Unspecified
            | wire::Stage::Pending
            | wire::Stage::Preparing
            | wire::Stage::Healing
            | wire::Stage::Unconfirmed => Ending::Crashed(fleet::why(&intent)),
        }
    }

    /// As for whoever asks for a fault alone: guarded, and written down before.
    async fn request(&self, id: IntentId, spec: wire::Spec) -> Result<wire::Intent, Refusal> {
        let mut audit = Audit {
            at: SystemTime::now(),
            who: self.asker.clone(),
            deed: Deed::Apply,
            what: crate::spec::typed(&spec),
            intent: Some(id.to_string()),
            nodes: Vec::new(),
            until: Some(SystemTime::now() + Duration::from_nanos(spec.total_ns)),
            verdict: Verdict::Admitted,
        };
        let draft = match self.control.draft(id, spec, &self.asker, &self.limits).await {
            Ok(draft) => draft,
            Err(error) => {
                audit.verdict = Verdict::Refused(error.to_string());
                self.audit.append(&audit).await?;
                return Err(error.into());
            }
        };
        let nodes: BTreeSet<_> = draft.intent.faults().into_keys().collect();
        audit.nodes = nodes.into_iter().map(Node).collect();
        self.audit.append(&audit).await?;
        Ok(self.control.apply(draft).await.map_err(AskError::from)?)
    }

    /// Ends what is in the way of a fault, as somebody who asks for that. One of this run has not broken off by that.
    async fn make_room(&self, there: IntentId) -> Result<(), String> {
        let own = locked(&self.slots).iter().find_map(|(label, slot)| {
            let turn = Arc::clone(slot).try_lock_owned().ok()?;
            (*turn == Some(there)).then(|| (label.clone(), turn))
        });
        // Until it is out the run has it, and is told if it breaks off.
        let own = own.map(|(label, turn)| (self.teller.hold(&label), label, turn));
        let audit = Audit {
            at: SystemTime::now(),
            who: self.asker.clone(),
            deed: Deed::Heal,
            what: there.to_string(),
            intent: None,
            nodes: Vec::new(),
            until: None,
            verdict: Verdict::Admitted,
        };
        self.audit.append(&audit).await.map_err(|error| Refusal::Audit(error).to_string())?;
        let healed = self.control.heal(there, &format!("replaced by {}", self.asker)).await;
        let healing = match healed {
            Ok(intent) => ended::healing_of(&intent),
            Err(error) => return Err(error.to_string()),
        };
        if let Healing::Unconfirmed(why) = healing {
            return Err(why);
        }
        if let Some((hold, label, mut turn)) = own {
            hold.settle(ended::replaced(&label, healing));
            locked(&self.labels).remove(&there.get());
            *turn = None;
        }
        Ok(())
    }

    /// Takes a fault out, wherever it stands. One that is on its way in is waited for.
    pub(super) async fn heal(&self, label: &FaultLabel) -> Healing {
        let Some(slot) = locked(&self.slots).get(label).cloned() else {
            return Healing::Absent;
        };
        let standing = slot.lock().await;
        let Some(id) = *standing else { return Healing::Absent };
        match self.control.heal(id, &format!("healed by {}", self.asker)).await {
            Ok(intent) => ended::healing_of(&intent),
            // It was never put in, or ended so long ago that it is forgotten.
            Err(ControlError::Unknown(_)) => Healing::Out(Effect::default()),
            Err(error) => Healing::Unconfirmed(error.to_string()),
        }
    }

    /// Takes out whatever may still stand.
    pub(super) async fn heal_all(&self) {
        let labels: Vec<FaultLabel> = locked(&self.slots).keys().cloned().collect();
        let heals = labels.iter().map(|label| self.heal(label));
        futures_util::future::join_all(heals).await;
    }

    /// What a fault has done so far.
    pub(super) async fn effect(&self, label: &str) -> Ending {
        let known = label
            .parse::<FaultLabel>()
            .ok()
            .and_then(|label| locked(&self.slots).get(&label).cloned());
        let standing = match known {
            Some(slot) => *slot.lock().await,
            None => None,
        };
        let Some(id) = standing else {
            return Ending::Failed(format!("no fault of this run is called `{label}`"));
        };
        match self.control.list().await {
            Ok((intents, _)) => {
                let own = intents.into_iter().find(|intent| intent.id == id.get());
                let effect = own.map_or_else(Effect::default, |one| effect::of_intent(&one));
                Ending::Returned(effect.value())
            }
            Err(error) => Ending::Failed(error.to_string()),
        }
    }

    /// The targets that a selector or a name stands for, one selector each.
    pub(super) async fn targets(&self, named: &str, seed: u64, concern: Concern) -> Ending {
        match self.single(named, seed, concern).await {
            Ok(names) => Ending::Returned(names.into_iter().map(Value::String).collect()),
            Err(why) => Ending::Failed(why),
        }
    }

    async fn single(
        &self,
        named: &str,
        seed: u64,
        concern: Concern,
    ) -> Result<Vec<String>, String> {
        let meant = self.bounds.as_ref().map(|bounds| bounds.text(named)).transpose();
        let meant = meant.map_err(|stray| stray.text())?;
        let named = meant.as_deref().unwrap_or(named);
        let selectors = words::meant(named, &self.names, concern).map_err(|error| error.text())?;
        let plain: Vec<Selector> = selectors.iter().map(|(selector, _)| selector.clone()).collect();
        self.admit(&plain).await?;
        let ends = self.control.meant(&selectors, seed).await.map_err(|error| error.to_string())?;
        let names = fleet::names(ends.iter().map(Into::into).collect());
        if let Some(bounds) = &self.bounds {
            bounds.finds(&names);
        }
        Ok(names)
    }

    /// Whether an object asks for the run, which bounds whom it reaches.
    pub(super) const fn is_for_an_object(&self) -> bool {
        self.bounds.is_some()
    }

    /// Arguments of a step within the bounds of the run.
    fn bounded(&self, arguments: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        match &self.bounds {
            Some(bounds) => bounds.arguments(arguments).map_err(|stray| stray.text()),
            None => Ok(arguments.clone()),
        }
    }

    /// Makes sure that all of these are within the bounds of the run.
    async fn admit(&self, selectors: &[Selector]) -> Result<(), String> {
        let Some(bounds) = &self.bounds else { return Ok(()) };
        let is_of_settings = |group: &GroupName| self.control.has_cluster(group);
        bounds.admit(selectors, is_of_settings).await.map_err(|stray| stray.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ResolveError;

    #[test]
    fn a_refusal_says_what_to_do_as_to_a_command() {
        let refused = ResolveError::Refused {
            node: NodeName::new("a").unwrap(),
            reason: "process 1 is the node's own".to_owned(),
            hint: "name another one".to_owned(),
        };
        let told = Refusal::from(AskError::from(refused)).text();
        assert_eq!(told, "a: process 1 is the node's own\n  hint: name another one");
        let halted = AskError::from(ControlError::Halted("lunch".to_owned()));
        let told = Refusal::from(halted).text();
        assert!(told.ends_with("\n  hint: `schism resume` takes the brake off"), "{told}");
        let around = Refusal::from(AskError::Around { found: 2 });
        assert!(!around.text().contains(hint::MARK), "there is nothing more to say");
    }
}

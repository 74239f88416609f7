//! The faults of a run: which may stand, and what came of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::action::NamedFault;
use super::event::{CallId, Effect, HadEffect, Healing};
use super::key::FaultKey;
use crate::model::{Call, EffectPolicy, Experiment, FaultLabel, Provider, Verb};

/// What became of a fault.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultState {
    /// It was asked for.
    Beginning,
    /// It acts.
    Standing,
    /// Nobody knows: its step was aborted, or ended without a word.
    Unknown,
    /// It is being taken out.
    Healing,
    /// It is out.
    Ended(Effect),
    /// It was to be taken out, and nobody said that it is.
    Unconfirmed(String),
}

/// A fault of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFault {
    /// What became of it.
    pub state: FaultState,
    /// What it is asked for by.
    pub key: FaultKey,
    policy: EffectPolicy,
    /// Who waits for its end. The first one was asked for.
    heals: Vec<CallId>,
    /// Whether it ended by itself.
    own_end: bool,
    /// Whether it was said to act.
    acted: bool,
    /// Whether it ended before its deadline.
    broke: Broke,
}

/// Whether a fault ended before its deadline.
#[derive(Clone, Debug, PartialEq)]
enum Broke {
    Not,
    /// It did, and why; whether it was ever put in nobody has said yet.
    Untold(String),
    Told,
}

impl RunFault {
    const fn new(state: FaultState, key: FaultKey, policy: EffectPolicy) -> Self {
        Self {
            state,
            key,
            policy,
            heals: Vec::new(),
            own_end: false,
            acted: false,
            broke: Broke::Not,
        }
    }
}

/// All faults of a run.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    identity: u64,
    all: BTreeMap<FaultLabel, RunFault>,
    /// How many were asked for.
    count: u64,
    unnamed: u32,
    /// Whether they are what another run has left.
    left: bool,
}

/// What asking for a fault's end comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    /// It has to be taken out.
    Heal,
    /// It is out.
    Out(Effect),
    /// There is no such fault.
    Unknown,
}

impl Faults {
    pub(super) const fn new(identity: u64) -> Self {
        Self { identity, all: BTreeMap::new(), count: 0, unnamed: 0, left: false }
    }

    /// A fault is about to be asked for. A name that is taken gets a number.
    pub(super) fn begin(
        &mut self,
        label: Option<&FaultLabel>,
        policy: EffectPolicy,
    ) -> Option<NamedFault> {
        let wanted = label.map_or_else(
            || {
                self.unnamed += 1;
                format!("{UNNAMED}-{}", self.unnamed)
            },
            ToString::to_string,
        );
        let label = std::iter::once(wanted.clone())
            .chain((2..).map(|number: u64| format!("{wanted}-{number}")))
            .filter_map(|name| name.parse::<FaultLabel>().ok())
            .find(|label| !self.all.contains_key(label))?;
        let key = FaultKey::nth(self.identity, self.count);
        self.count += 1;
        self.all.insert(label.clone(), RunFault::new(FaultState::Beginning, key, policy));
        Some(NamedFault { label, key })
    }

    /// They are what another run has left, as far as it may stand.
    pub(super) const fn are_left(&mut self) {
        self.left = true;
    }

    /// Whether they are what another run has left.
    pub(super) const fn finish_another(&self) -> bool {
        self.left
    }

    /// A fault of a run that was killed.
    pub(super) fn adopt(&mut self, label: FaultLabel, key: FaultKey, policy: EffectPolicy) {
        self.all.insert(label, RunFault::new(FaultState::Unknown, key, policy));
    }

    pub(super) fn set(&mut self, label: &FaultLabel, state: FaultState) {
        if let Some(fault) = self.all.get_mut(label) {
            fault.acted |= state == FaultState::Standing;
            // What ended by itself while its step still waited for an answer has ended. What was healed
            // while it was on its way in may have come in afterwards.
            if !fault.own_end {
                fault.state = state;
            }
        }
    }

    /// It was not put in. Who waits for its end is answered all the same.
    pub(super) fn forget(&mut self, label: &FaultLabel) {
        if self.all.get(label).is_some_and(|fault| fault.heals.is_empty()) {
            self.all.remove(label);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&FaultLabel, &RunFault)> {
        self.all.iter()
    }

    pub(super) fn asked(&self, label: &FaultLabel) -> Asked {
        match self.all.get(label).map(|fault| &fault.state) {
            None => Asked::Unknown,
            Some(FaultState::Ended(effect)) => Asked::Out(effect.clone()),
            Some(_) => Asked::Heal,
        }
    }

    /// Somebody waits for its end. What has to be asked for, if nobody did before.
    pub(super) fn heal(&mut self, label: &FaultLabel, call: CallId) -> Option<NamedFault> {
        let fault = self.all.get_mut(label)?;
        fault.heals.push(call);
        fault.state = FaultState::Healing;
        let is_first = fault.heals.len() == 1;
        is_first.then(|| NamedFault { label: label.clone(), key: fault.key })
    }

    /// Nobody is heard of who held it. Whether that is news.
    pub(super) fn lost(&mut self, label: &FaultLabel) -> bool {
        let Some(fault) = self.all.get_mut(label) else { return false };
        let stood = matches!(fault.state, FaultState::Beginning | FaultState::Standing);
        if stood {
            fault.state = FaultState::Unknown;
        }
        stood
    }

    /// It ended before its deadline, and nobody had asked for that.
    pub(super) fn broke(&mut self, label: &FaultLabel, why: String) {
        let Some(fault) = self.all.get_mut(label) else { return };
        let stood = matches!(fault.state, FaultState::Beginning | FaultState::Standing);
        if stood && fault.broke == Broke::Not {
            fault.broke = Broke::Untold(why);
        }
    }

    /// It had ended before its deadline when it was to be taken out.
    fn was_broken(&mut self, label: &FaultLabel, why: &str) {
        if let Some(fault) = self.all.get_mut(label).filter(|fault| fault.broke == Broke::Not) {
            fault.broke = Broke::Untold(why.to_owned());
        }
    }

    /// The faults that acted and ended before their deadlines, and why: each once.
    pub(super) fn take_broken(&mut self) -> Vec<(FaultLabel, String)> {
        let mut broken = Vec::new();
        for (label, fault) in self.all.iter_mut().filter(|(_, fault)| fault.acted) {
            if let Broke::Untold(why) = &mut fault.broke {
                broken.push((label.clone(), std::mem::take(why)));
                fault.broke = Broke::Told;
            }
        }
        broken
    }

    /// Something of it stays, although it is over. Whether that is news: who has asked for its end is told so by
    /// the answer.
    pub(super) fn stays(&mut self, label: &FaultLabel, why: &str) -> bool {
        let Some(fault) = self.all.get_mut(label) else { return false };
        let is_news = match fault.state {
            FaultState::Beginning | FaultState::Standing | FaultState::Unknown => true,
            FaultState::Healing | FaultState::Ended(_) | FaultState::Unconfirmed(_) => false,
        };
        if is_news {
            fault.state = FaultState::Unconfirmed(why.to_owned());
            fault.own_end = true;
        }
        is_news
    }

    /// The faults that may stand and that nobody waits for the end of.
    pub(super) fn owed(&self) -> Vec<FaultLabel> {
        let may_stand = |fault: &RunFault| match fault.state {
            FaultState::Beginning
            | FaultState::Standing
            | FaultState::Unknown
            | FaultState::Healing
            | FaultState::Unconfirmed(_) => fault.heals.is_empty(),
            FaultState::Ended(_) => false,
        };
        let owed = self.all.iter().filter(|(_, fault)| may_stand(fault));
        owed.map(|(label, _)| label.clone()).collect()
    }

    /// Whether the end of one is being waited for.
    pub(super) fn heals(&self) -> bool {
        self.all.values().any(|fault| !fault.heals.is_empty())
    }

    /// Nobody waits any longer for the ends of these.
    pub(super) fn give_up(&mut self, why: &str) -> Vec<FaultLabel> {
        let mut given_up = Vec::new();
        for (label, fault) in &mut self.all {
            if !fault.heals.is_empty() {
                fault.heals.clear();
                fault.state = FaultState::Unconfirmed(why.to_owned());
                given_up.push(label.clone());
            }
        }
        given_up
    }

    /// An answer to a heal: which fault it was, and who waits for it.
    pub(super) fn healed(
        &mut self,
        call: CallId,
        healing: &Healing,
    ) -> Option<(FaultLabel, Vec<CallId>)> {
        let (label, fault) = self.all.iter_mut().find(|(_, fault)| fault.heals.contains(&call))?;
        let (label, waiting) = (label.clone(), std::mem::take(&mut fault.heals));
        fault.state = match healing {
            Healing::Out(effect) | Healing::Broken(effect, _) => FaultState::Ended(effect.clone()),
            Healing::Unconfirmed(why) => FaultState::Unconfirmed(why.clone()),
            Healing::Absent => {
                self.all.remove(&label);
                return Some((label, waiting));
            }
        };
        if let Healing::Broken(_, why) = healing {
            self.was_broken(&label, why);
        }
        Some((label, waiting))
    }

    /// A fault ended by itself: who waits for that.
    pub(super) fn ended(&mut self, label: &FaultLabel, effect: Effect) -> Option<Vec<CallId>> {
        let is_news =
            |fault: &&mut RunFault| !fault.own_end && !matches!(fault.state, FaultState::Ended(_));
        let fault = self.all.get_mut(label).filter(is_news)?;
        fault.state = FaultState::Ended(effect);
        fault.own_end = true;
        Some(std::mem::take(&mut fault.heals))
    }

    /// Whether a fault ended without an effect that it had to have.
    pub(super) fn missed(&self, label: &FaultLabel) -> bool {
        self.all.get(label).is_some_and(|fault| {
            let without =
                matches!(&fault.state, FaultState::Ended(effect) if effect.had == HadEffect::No);
            without && fault.policy == EffectPolicy::Required
        })
    }
}

/// What a fault is called that its step does not name, before its number.
const UNNAMED: &str = "fault";

/// Whether a fault of an experiment must have had an effect, by what its step calls it. Of steps that share a
/// name one that must is enough.
pub(super) fn policy(experiment: &Experiment, label: &FaultLabel) -> EffectPolicy {
    let is_it = |call: &Call| {
        let own = call.label.as_ref().map_or(UNNAMED, FaultLabel::as_str);
        let number =
            |rest: &str| rest.strip_prefix('-').is_some_and(|rest| rest.parse::<u64>().is_ok());
        label.as_str().strip_prefix(own).is_some_and(|rest| rest.is_empty() || number(rest))
    };
    let steps = experiment.method.iter().chain(&experiment.rollbacks);
    let mut policies = steps.filter_map(|step| match &step.provider {
        Provider::Schism(call) if matches!(call.verb, Verb::Fault(_)) && is_it(call) => {
            Some(call.effect)
        }
        Provider::Schism(_) | Provider::Process(_) | Provider::Http(_) | Provider::Python(_) => {
            None
        }
    });
    if policies.any(|policy| policy == EffectPolicy::Required) {
        EffectPolicy::Required
    } else {
        EffectPolicy::Optional
    }
}

impl Effect {
    /// As the output of a step, with whether it had any.
    #[must_use]
    pub fn value(&self) -> Value {
        let mut value = Value::Object(self.figures.clone());
        value["effect"] = match self.had {
            HadEffect::Yes => Value::Bool(true),
            HadEffect::No => Value::Bool(false),
            HadEffect::Unknown => Value::Null,
        };
        value
    }
}

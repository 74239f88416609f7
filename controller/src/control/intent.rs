//! An intent with what became of it, as it is stored and told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use experiment::hint;
use fault::{Fault, IntentId, Kind, LeaseTerms, MemberName, NodeName, Status};
use prost::Message as _;
use proto::agent::Fault as WireFault;
use proto::control as wire;
use proto::{Invalid, required};

use super::seats::{bystanders, seating};
use crate::link::nanos;
use crate::planning::{End, Place, Planned};
use crate::provider::kubernetes::PodName;
use crate::sequence::{Moment, Part, PartState, Sequence, Stage};
use crate::spec::{OnRestart, Spec};

/// An intent on its way.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Its name.
    pub id: IntentId,
    /// What was asked, word by word: the same request again is known by it.
    pub spec: wire::Spec,
    /// How it goes.
    pub sequence: Sequence,
    /// Between whom.
    pub ends: Vec<wire::End>,
    /// Which directions, by which parts.
    pub cuts: Vec<wire::Cut>,
    /// When it was asked, Unix time, ns.
    pub asked: u64,
    /// When it is over in any case, Unix time, ns; 0 while that is not known.
    pub deadline: u64,
    /// Who asked.
    pub asker: String,
    /// From the first start to the last.
    pub spread: Option<wire::Spread>,
    /// What the caller should know.
    pub notes: Vec<String>,
    /// When the first part began to act, Unix time, ns; 0 if none did.
    pub began: u64,
    /// When it was over, Unix time, ns; 0 while it is not.
    pub ended: u64,
    /// Whether its line in the archive is known to be written.
    pub archived: bool,
    /// Why it failed or was ended, as an earlier life has said it; behind that what to do about it.
    pub told: String,
    /// The object of a cluster by which it was asked for, if it was.
    pub object: Option<wire::Object>,
    /// Pods that could have been picked and were not: they take nobody's place. `None` while that is not known.
    pub bystanders: Option<BTreeSet<String>>,
    /// Of the store, when it was last written; 0 before.
    pub revision: u64,
}

/// One moment, by the controller's clock and by the time of day.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// By the controller's clock.
    pub here: Moment,
    /// Unix time, ns.
    pub wall: u64,
}

impl At {
    /// The time of day at an earlier moment, Unix time, ns.
    fn unix(self, earlier: Moment) -> u64 {
        self.wall.saturating_sub(nanos(self.here.saturating_sub(earlier)))
    }
}

/// A stored intent that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is no such message.
    #[error("a stored intent cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field of it makes no sense.
    #[error("a stored intent makes no sense: {0}")]
    Invalid(#[from] Invalid),
}

/// Whether nothing more comes of an intent by itself.
#[must_use]
pub fn is_over(intent: &wire::Intent) -> bool {
    Stage::try_from(intent.stage()).is_ok_and(Stage::is_final)
}

impl Intent {
    /// A new one, that has touched nothing.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a field of it")]
    pub fn new(
        id: IntentId,
        spec: wire::Spec,
        terms: LeaseTerms,
        asker: String,
        ends: &[End],
        planned: &[Planned],
        faults: Vec<(NodeName, Fault)>,
        asked: u64,
    ) -> Self {
        let parts = faults.into_iter().map(|(node, fault)| Part::new(node, fault)).collect();
        let bystanders = bystanders(ends);
        let ends: Vec<wire::End> = ends.iter().map(Into::into).collect();
        let cuts: Vec<wire::Cut> = planned.iter().map(Into::into).collect();
        let seating = seating(&ends, &cuts, on_restart(&spec));
        Self {
            id,
            sequence: Sequence::new(parts, terms).seated(seating),
            spec,
            ends,
            cuts,
            asked,
            deadline: 0,
            asker,
            spread: None,
            notes: Vec::new(),
            began: 0,
            ended: 0,
            archived: false,
            told: String::new(),
            object: None,
            bystanders,
            revision: 0,
        }
    }

    /// As it is told at this moment: what was last heard of each part is carried on to it.
    #[must_use]
    pub fn told(&self, at: At) -> wire::Intent {
        let heard = |part: &Part| part.read.map_or(0, |read| at.unix(read));
        let told = |part: &Part| wire::Part {
            may_act: self.sequence.part_may_act(part, at.here),
            ..self.part(part, part.by(at.here), heard(part))
        };
        self.with(self.sequence.parts().iter().map(told).collect())
    }

    /// As it is written down.
    #[must_use]
    pub fn wire(&self) -> wire::Intent {
        let written = |part: &Part| self.part(part, part.status.clone(), 0);
        self.with(self.sequence.parts().iter().map(written).collect())
    }

    fn part(&self, part: &Part, status: Option<Status>, heard: u64) -> wire::Part {
        // What nobody has confirmed may be asked for anew just now, and what leaves one that acts is asked for the first
        // time: it is owed until that is answered, also by a next life, which would take it for ended.
        let asked = match self.sequence.stage() {
            Stage::Unconfirmed | Stage::Active => part.state == PartState::Healing,
            // A next life asks for all of it.
            Stage::Pending
            | Stage::Preparing
            | Stage::Healing
            | Stage::Healed
            | Stage::Expired
            | Stage::Failed => false,
        };
        wire::Part {
            part: part.fault.id.part.into(),
            node: part.node.to_string(),
            status: status.map(Into::into),
            heard,
            trouble: hint::apart(&part.trouble).0.to_owned(),
            fault: Some(WireFault::from(&part.fault)),
            owed: part.state.may_be_in() || asked,
            unheard: false,
            let_go: part.let_go,
            may_act: false,
        }
    }

    fn with(&self, parts: Vec<wire::Part>) -> wire::Intent {
        let (reason, hint) = hint::apart(match self.sequence.reason() {
            "" => &self.told,
            reason => reason,
        });
        wire::Intent {
            id: self.id.get(),
            spec: Some(self.spec.clone()),
            stage: wire::Stage::from(self.sequence.stage()).into(),
            ends: self.ends.clone(),
            cuts: self.cuts.clone(),
            parts,
            asked: self.asked,
            deadline: self.deadline,
            asker: self.asker.clone(),
            spread: self.spread,
            reason: reason.to_owned(),
            hint: hint.unwrap_or_default().to_owned(),
            notes: self.notes.clone(),
            revision: self.revision,
            began: self.began,
            ended: self.ended,
            archived: self.archived,
            object: self.object.clone(),
            bystanders: self.bystanders.iter().flatten().cloned().collect(),
            bystanders_known: self.bystanders.is_some(),
            fate: self
                .sequence
                .fate()
                .map_or(wire::Stage::Unspecified, |(fate, _)| (*fate).into())
                .into(),
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        // The store knows it.
        wire::Intent { revision: 0, ..self.wire() }.encode_to_vec()
    }

    /// As an earlier life of this controller has stored it; `wall` is the time of day, Unix time, ns.
    ///
    /// # Errors
    /// The record makes no sense.
    pub fn restore(bytes: &[u8], now: Moment, wall: u64) -> Result<Self, RecordError> {
        let stored = wire::Intent::decode(bytes)?;
        let stage = wire::Stage::try_from(stored.stage)
            .ok()
            .and_then(|stage| Stage::try_from(stage).ok())
            .ok_or_else(|| Invalid::new("stage", "is missing or unknown"))?;
        let mut parts = Vec::with_capacity(stored.parts.len());
        for part in stored.parts {
            parts.push(part_from_wire(part, stage)?);
        }
        let fate = wire::Stage::try_from(stored.fate).unwrap_or_default();
        let told = match stored.hint.as_str() {
            "" => stored.reason,
            hint => format!("{}{}{hint}", stored.reason, hint::MARK),
        };
        let fate = Stage::try_from(fate).ok().map(|fate| (fate, told.clone()));
        let terms = parts.first().map(|part| part.fault.terms);
        let terms = required(terms, "parts")?;
        let left = Duration::from_nanos(stored.deadline.saturating_sub(wall));
        let deadline = (stored.deadline != 0).then(|| now + left);
        let spec = required(stored.spec, "spec")?;
        let seating = seating(&stored.ends, &stored.cuts, on_restart(&spec));
        let sequence = Sequence::resume(stage, fate, parts, terms, deadline, now);
        // An earlier version has not said of none that it knows of none.
        let is_known = stored.bystanders_known || !stored.bystanders.is_empty();
        Ok(Self {
            id: IntentId::from_random(stored.id),
            sequence: sequence.seated(seating),
            spec,
            ends: stored.ends,
            cuts: stored.cuts,
            asked: stored.asked,
            deadline: stored.deadline,
            asker: stored.asker,
            spread: stored.spread,
            notes: stored.notes,
            began: stored.began,
            ended: stored.ended,
            archived: stored.archived,
            told,
            object: stored.object,
            bystanders: is_known.then(|| stored.bystanders.into_iter().collect()),
            revision: 0,
        })
    }

    /// The faults of this intent, by node.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<NodeName, Vec<Fault>> {
        let mut faults: BTreeMap<NodeName, Vec<Fault>> = BTreeMap::new();
        for part in self.sequence.parts() {
            faults.entry(part.node.clone()).or_default().push(part.fault.clone());
        }
        faults
    }

    /// The pods whose processes it may be ending.
    pub(super) fn ending(&self, now: Moment) -> impl Iterator<Item = PodName> {
        let ends = |part: &&Part| matches!(part.fault.kind, Kind::Kill(kill) if kill.signal.ends());
        self.sequence.may_act(now).filter(ends).filter_map(|part| {
            // Of what is done in processes there is a part for each end.
            let end = self.ends.get(usize::from(part.fault.id.part))?;
            let (namespace, name) = end.pod.split_once('/')?;
            Some(PodName { namespace: namespace.to_owned(), name: name.to_owned() })
        })
    }
}

fn part_from_wire(part: wire::Part, stage: Stage) -> Result<Part, Invalid> {
    let node = NodeName::new(&part.node).ok_or_else(|| Invalid::new("node", "is no name"))?;
    let fault = required(part.fault, "fault")?.try_into()?;
    // What was on its way in when an earlier life ended, beside others that act, is not known to act.
    let let_go = part.let_go || part.owed && stage == Stage::Active && part.status.is_none();
    let state = match (stage, part.owed) {
        (Stage::Active, true) if let_go => PartState::Lost,
        (Stage::Active, true) => PartState::Active,
        (Stage::Pending | Stage::Preparing | Stage::Healing | Stage::Unconfirmed, true) => {
            PartState::Lost
        }
        (Stage::Healed | Stage::Expired | Stage::Failed, _) | (_, false) => PartState::Ended,
    };
    Ok(Part {
        state,
        status: part.status.map(Status::try_from).transpose()?,
        trouble: part.trouble,
        let_go,
        ..Part::new(node, fault)
    })
}

impl From<Stage> for wire::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Pending => Self::Pending,
            Stage::Preparing => Self::Preparing,
            Stage::Active => Self::Active,
            Stage::Healing => Self::Healing,
            Stage::Healed => Self::Healed,
            Stage::Expired => Self::Expired,
            Stage::Failed => Self::Failed,
            Stage::Unconfirmed => Self::Unconfirmed,
        }
    }
}

impl TryFrom<wire::Stage> for Stage {
    type Error = Invalid;

    fn try_from(stage: wire::Stage) -> Result<Self, Invalid> {
        Ok(match stage {
            wire::Stage::Unspecified => return Err(Invalid::new("stage", "is missing")),
            wire::Stage::Pending => Self::Pending,
            wire::Stage::Preparing => Self::Preparing,
            wire::Stage::Active => Self::Active,
            wire::Stage::Healing => Self::Healing,
            wire::Stage::Healed => Self::Healed,
            wire::Stage::Expired => Self::Expired,
            wire::Stage::Failed => Self::Failed,
            wire::Stage::Unconfirmed => Self::Unconfirmed,
        })
    }
}

impl From<&End> for wire::End {
    fn from(end: &End) -> Self {
        let (target, addresses, several) = match &end.place {
            Place::Target(_, target) => (Some((**target).clone().into()), None, Vec::new()),
            Place::Addresses(prefixes) => match prefixes.as_slice() {
                [one] => (None, Some(one.into()), Vec::new()),
                several => (None, None, several.iter().map(Into::into).collect()),
            },
        };
        Self {
            selector: Some((&end.selector).into()),
            node: end.node().map(ToString::to_string).unwrap_or_default(),
            target,
            addresses,
            evidence: end.evidence.clone(),
            member: end.member.as_ref().map(ToString::to_string).unwrap_or_default(),
            troubles: end.troubles.clone(),
            pod: end.pod.as_ref().map(|pod| pod.pod.to_string()).unwrap_or_default(),
            several,
            vacant: false,
        }
    }
}

/// What becomes of what was asked when pods go that it is about; `None` where it is about none.
pub(super) fn on_restart(spec: &wire::Spec) -> Option<OnRestart> {
    Spec::try_from(spec.clone()).ok().and_then(|spec| spec.on_restart())
}

impl TryFrom<&wire::End> for End {
    type Error = Invalid;

    /// As it was found, but for what else is known of its pod.
    fn try_from(end: &wire::End) -> Result<Self, Invalid> {
        let addresses = end.addresses.iter().chain(&end.several);
        let place = match end.target.clone() {
            Some(target) => {
                let node = NodeName::new(&end.node);
                let node = node.ok_or_else(|| Invalid::new("node", "is no name"))?;
                Place::Target(node, Box::new(target.try_into()?))
            }
            None => {
                let prefixes = addresses.map(|prefix| prefix.clone().try_into());
                Place::Addresses(prefixes.collect::<Result<_, Invalid>>()?)
            }
        };
        let selector = required(end.selector.clone(), "selector")?.try_into()?;
        Ok(Self {
            member: MemberName::new(&end.member),
            troubles: end.troubles.clone(),
            ..Self::found(selector, place, end.evidence.clone())
        })
    }
}

impl From<&Planned> for wire::Cut {
    fn from(planned: &Planned) -> Self {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            from: number(planned.direction.from),
            to: number(planned.direction.to),
            parts: planned.parts.iter().map(|part| u32::from(*part)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use fault::State;

    use super::*;
    use crate::cut::specimen;
    use crate::sequence::{Action, Change, Event, Refusal};

    const AT: At = At { here: Moment::from_secs(1), wall: 1_000_000_000_000 };

    fn node() -> NodeName {
        NodeName::new("b").unwrap()
    }

    /// An intent with one part, which acts.
    fn active() -> Intent {
        let status = specimen::status(0, State::Active, 1, 1);
        let (id, terms) = (status.fault.id.intent, status.fault.terms);
        let faults = vec![(node(), status.fault.clone())];
        let spec = wire::Spec::default();
        let mut intent = Intent::new(id, spec, terms, "eve".to_owned(), &[], &[], faults, 0);
        let _ = intent.sequence.begin();
        for event in [Event::Prepared(node(), Ok(())), Event::Committed(node(), Ok(vec![status]))] {
            let _ = intent.sequence.on(event, AT.here);
        }
        assert_eq!(intent.sequence.stage(), Stage::Active);
        intent
    }

    /// One with one part, of which its node has not confirmed that it is out.
    fn unconfirmed() -> Intent {
        let mut intent = active();
        let away = Refusal::Unreachable("its agent is not connected".to_owned());
        for event in [Event::Heal("enough".to_owned()), Event::Healed(node(), Err(away))] {
            let _ = intent.sequence.on(event, AT.here);
        }
        assert_eq!(intent.sequence.stage(), Stage::Unconfirmed);
        intent
    }

    #[test]
    fn what_to_do_about_a_refusal_is_told_apart_and_outlives_a_restart() {
        let mut intent = unconfirmed();
        intent.sequence =
            Sequence::new(intent.sequence.parts().to_vec(), intent.sequence.parts()[0].fault.terms);
        let _ = intent.sequence.begin();
        let refusal = Refusal::Refused(format!("no room{}make some", hint::MARK));
        let _ = intent.sequence.on(Event::Prepared(node(), Err(refusal)), AT.here);
        let next = Intent::restore(&intent.record(), AT.here, AT.wall).unwrap();
        for told in [intent.told(AT), next.told(AT)] {
            assert_eq!((told.reason.as_str(), told.hint.as_str()), ("b: no room", "make some"));
            assert_eq!(told.parts[0].trouble, "b: no room");
        }
    }

    #[test]
    fn what_is_not_confirmed_to_be_out_may_act_until_its_lease_has_ended_it() {
        let intent = unconfirmed();
        let later = |seconds| At { here: AT.here + Duration::from_secs(seconds), ..AT };
        assert!(intent.told(later(15)).parts[0].may_act);
        assert!(!intent.told(later(18)).parts[0].may_act, "a lease of 15 s, and what it may take");
        assert!(!intent.wire().parts[0].may_act, "it is not stored");
    }

    #[test]
    fn what_is_asked_for_anew_is_owed_until_that_is_answered() {
        let mut intent = unconfirmed();
        assert!(intent.told(AT).parts[0].owed);
        let _ = intent.sequence.on(Event::Found(node()), AT.here);
        assert_eq!(intent.sequence.parts()[0].state, PartState::Healing);
        assert!(intent.told(AT).parts[0].owed);
        // A controller that is killed now asks for it again in its next life.
        let next = Intent::restore(&intent.record(), AT.here, AT.wall).unwrap();
        assert!(next.sequence.owes(&node()));
        let healed = vec![specimen::status(0, State::Healed, 1, 1)];
        let _ = intent.sequence.on(Event::Healed(node(), Ok(healed)), AT.here);
        assert_eq!(intent.sequence.stage(), Stage::Healed);
        assert!(!intent.told(AT).parts[0].owed);
    }

    #[test]
    fn what_leaves_one_that_acts_is_owed_until_that_is_answered() {
        let mut intent = active();
        let leave: BTreeSet<_> = [intent.sequence.parts()[0].fault.id].into();
        let change = Change { leave: leave.clone(), ..Change::default() };
        let _ = intent.sequence.on(Event::Changed(Box::new(change)), AT.here);
        // A controller that is killed now has it leave in its next life: nobody may have heard of it yet.
        let mut next = Intent::restore(&intent.record(), AT.here, AT.wall).unwrap();
        assert_eq!(next.sequence.renewed().count(), 0);
        let found = next.sequence.on(Event::Found(node()), AT.here);
        assert_eq!(found, [Action::Leave(node(), leave.clone()), Action::List(node())]);
        let healed = vec![specimen::status(0, State::Healed, 1, 1)];
        let _ = intent.sequence.on(Event::Left(node(), leave, Ok(healed)), AT.here);
        assert!(!intent.told(AT).parts[0].owed);
    }
}

//! Intents that are changed while they act: whose pods have gone, and who has come.

use std::collections::BTreeSet;
use std::time::Duration;

use fault::{Fault, FaultId, IntentId, Kind, NodeName};
use proto::control as wire;
use tokio::sync::oneshot;

use super::Driver;
use crate::admit::{Acting, AdmitError, Guards};
use crate::control::intent::{Intent, on_restart};
use crate::control::remainder::{left, terms};
use crate::control::seats::seating;
use crate::planning::{Direction, End, Planned};
use crate::sequence::{Change, Event, Part, Stage};

/// How many faults of an intent may have left before it is given up: each stays in its record.
const MOST: usize = 1024;
/// How many things are told of its pods.
const NOTES: usize = 64;

/// What changes of an intent that acts.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Amendment {
    /// Ends whose pod is gone.
    pub(in crate::control) vacated: BTreeSet<usize>,
    /// Who is at an end now.
    pub(in crate::control) seated: Vec<(usize, End)>,
    /// Ends that are new, and the directions that come with them.
    pub(in crate::control) more: Vec<End>,
    /// Faults that come in, numbered from 0, and the directions to which they belong; none of what is done to
    /// processes.
    pub(in crate::control) faults: Vec<(NodeName, Fault)>,
    pub(in crate::control) planned: Vec<Planned>,
    /// Who is asked before they come in.
    pub(in crate::control) guards: Option<Guards>,
    /// Why it is over by that, if it is.
    pub(in crate::control) lost: Option<String>,
    /// Parts that leave.
    pub(in crate::control) leave: BTreeSet<FaultId>,
    /// Pods that take nobody's place, once that is known; `None` where that stays as it is.
    pub(in crate::control) bystanders: Option<BTreeSet<String>>,
    /// What is told.
    pub(in crate::control) notes: Vec<String>,
}

impl Amendment {
    /// Has nothing come in yet. Whoever sits where is so all the same, and what is to be lost between them is missing
    /// until it is asked for again.
    pub(in crate::control) fn wait(&mut self) {
        self.faults.clear();
        self.planned.iter_mut().for_each(|one| one.parts.clear());
    }

    /// Has nothing come in any more: whatever is vacant stays so.
    fn give_up(&mut self) {
        self.faults.clear();
        self.planned.clear();
        self.seated.clear();
        self.more.clear();
    }
}

/// Why what would come in cannot be made to end in time.
#[derive(Debug, thiserror::Error)]
enum Unbounded {
    #[error("not put in again: too little of it is left")]
    Late,
    #[error("not put in again yet: the clock of {0} is not known")]
    NoClock(NodeName),
}

/// Who waits for parts to come in.
#[derive(Default)]
pub(super) struct Joining {
    waiting: Vec<(IntentId, BTreeSet<FaultId>, oneshot::Sender<()>)>,
}

impl Joining {
    fn wait(&mut self, id: IntentId, ids: BTreeSet<FaultId>, reply: oneshot::Sender<()>) {
        self.waiting.push((id, ids, reply));
        self.answered(id, &BTreeSet::new());
    }

    /// Nodes have answered about these parts.
    pub(super) fn answered(&mut self, id: IntentId, ids: &BTreeSet<FaultId>) {
        for (of, wanted, _) in &mut self.waiting {
            if *of == id {
                wanted.retain(|one| !ids.contains(one));
            }
        }
        for (_, _, reply) in self.waiting.extract_if(.., |(_, wanted, _)| wanted.is_empty()) {
            // Nobody may wait any more.
            let _ = reply.send(());
        }
    }
}

impl Driver {
    /// An intent that acts, and how much is left of it.
    pub(super) fn look(&self, id: IntentId) -> Option<(Box<Intent>, Duration)> {
        let intent = self.intents.get(&id)?;
        let acts = intent.sequence.stage() == Stage::Active;
        let end = intent.sequence.ends_by().filter(|_| acts)?;
        Some((Box::new(intent.clone()), end.saturating_sub(self.agents.now())))
    }

    pub(super) async fn amend(
        &mut self,
        id: IntentId,
        mut amendment: Amendment,
        reply: oneshot::Sender<()>,
    ) {
        let held = self.held(id, &mut amendment);
        let Some(intent) = self.intents.get_mut(&id) else { return };
        if intent.sequence.stage() != Stage::Active {
            return;
        }
        if let Some(why) = amendment.lost {
            intent.notes.extend(amendment.notes);
            return self.step(id, Event::Lost(why)).await;
        }
        amendment.notes.extend(held.filter(|note| !intent.notes.contains(note)));
        let comes_in = amendment.faults.len();
        let parts = intent.sequence.parts();
        let left = parts.iter().filter(|part| part.let_go).count();
        if left > MOST || parts.len() + comes_in > usize::from(u16::MAX) {
            let why =
                format!("pods have gone and come until more than {MOST} of its faults had left");
            return self.step(id, Event::Lost(why)).await;
        }
        let Amended { change, is_news } = intent.amend(amendment);
        // What is held back is asked for again and again, and mostly nothing of it has changed.
        let is_news = is_news || change != Change::default();
        let ids: BTreeSet<FaultId> = change.join.iter().map(|(_, fault, _)| fault.id).collect();
        let stored = !change.join.is_empty();
        self.joining.wait(id, ids, reply);
        if !is_news {
            return;
        }
        self.step(id, Event::Changed(Box::new(change))).await;
        if !stored {
            self.record(id).await;
        }
    }
}

impl Driver {
    /// Holds back what cannot come in, or not yet; why, for people.
    fn held(&self, id: IntentId, amendment: &mut Amendment) -> Option<String> {
        match self.bound(id, &mut amendment.faults) {
            Ok(()) => {
                let refused = self.refused(id, amendment)?;
                amendment.wait();
                Some(format!("not put in again yet: {refused}"))
            }
            Err(late @ Unbounded::Late) => {
                amendment.give_up();
                Some(late.to_string())
            }
            Err(unknown @ Unbounded::NoClock(_)) => {
                amendment.wait();
                Some(unknown.to_string())
            }
        }
    }

    /// Has what comes in end when the intent does. Since it was planned pods, agents and guards were asked and waited
    /// for: how much is left is known now.
    fn bound(&self, id: IntentId, faults: &mut [(NodeName, Fault)]) -> Result<(), Unbounded> {
        let Some(intent) = self.intents.get(&id) else { return Ok(()) };
        let (now, end) = (self.agents.now(), intent.sequence.ends_by());
        for (node, fault) in faults {
            let offset = self.agents.offset(node);
            let offset = offset.ok_or_else(|| Unbounded::NoClock(node.clone()))?;
            let left = end.map_or(Duration::ZERO, |end| left(end, now, offset));
            fault.terms = terms(fault.terms.lease, left).ok_or(Unbounded::Late)?;
        }
        Ok(())
    }

    /// Why a guard does not let in what would come, if one does not: of what acts by now, and what has come together
    /// with it.
    fn refused(&self, id: IntentId, amendment: &Amendment) -> Option<AdmitError> {
        let guards = amendment.guards.as_ref().filter(|_| !amendment.faults.is_empty())?;
        let (now, first) = (self.agents.now(), self.intents.get(&id)?.sequence.parts().len());
        // Of a pod that is gone nothing counts any more.
        let stays = |part: &&Part| part.fault.id.intent != id || !part.let_go;
        let parts = self.intents.values().flat_map(|intent| intent.sequence.may_act(now));
        let faults = parts.filter(stays).map(|part| (part.node.clone(), part.fault.clone()));
        let acting = Acting { faults: faults.collect(), ending: self.ending() };
        let asked = amendment.faults.iter().enumerate();
        let asked: Vec<(NodeName, Fault)> = asked
            .map(|(at, (node, fault))| (node.clone(), numbered(fault.clone(), number(first + at))))
            .collect();
        guards.admit(&asked, &acting).err()
    }
}

impl Intent {
    /// Takes an amendment in; what of it the sequence is to do comes back.
    fn amend(&mut self, amendment: Amendment) -> Amended {
        let Amendment {
            vacated,
            seated,
            more,
            faults,
            planned,
            leave,
            bystanders,
            notes,
            lost: _,
            guards: _,
        } = amendment;
        let mut is_news = !more.is_empty() || bystanders.is_some() || !notes.is_empty();
        for at in vacated {
            if let Some(end) = self.ends.get_mut(at) {
                is_news |= !end.vacant;
                end.vacant = true;
            }
        }
        for (at, end) in seated {
            if let Some(known) = self.ends.get_mut(at) {
                let end = wire::End::from(&end);
                is_news |= *known != end;
                *known = end;
            }
        }
        self.ends.extend(more.iter().map(wire::End::from));
        let first = self.sequence.parts().len();
        for Planned { direction, parts } in planned {
            let parts = parts.into_iter().map(|part| u32::from(number(first + usize::from(part))));
            let known = self.cuts.iter_mut().find(|cut| is(cut, direction));
            match known {
                Some(cut) => cut.parts.extend(parts),
                None => {
                    is_news = true;
                    self.cuts.push(wire::Cut {
                        parts: parts.collect(),
                        ..wire::Cut::from(&Planned { direction, parts: Vec::new() })
                    });
                }
            }
        }
        self.bystanders = bystanders.or_else(|| self.bystanders.take());
        self.notes.extend(notes);
        let surplus = self.notes.len().saturating_sub(NOTES);
        self.notes.drain(..surplus);
        let of = seating(&self.ends, &self.cuts, on_restart(&self.spec));
        let join = faults.into_iter().enumerate().map(|(at, (node, fault))| {
            let fault = numbered(fault, number(first + at));
            let seated = of(&Part::new(node.clone(), fault.clone()));
            (node, fault, seated)
        });
        Amended { change: Change { leave, join: join.collect() }, is_news }
    }
}

/// What came of an amendment.
struct Amended {
    change: Change,
    /// Whether anything of the intent is otherwise than before, whatever its parts do.
    is_news: bool,
}

fn is(cut: &wire::Cut, direction: Direction) -> bool {
    let same = |number: u32, at: usize| u32::try_from(at) == Ok(number);
    same(cut.from, direction.from) && same(cut.to, direction.to)
}

/// A place among the parts as its number; there are never more.
fn number(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// The same under another number: each part draws its own losses.
fn numbered(fault: Fault, part: u16) -> Fault {
    let kind = match fault.kind {
        Kind::Cut(cut) => {
            let seed = cut.seed.wrapping_sub(fault.id.part.into()).wrapping_add(part.into());
            Kind::Cut(fault::Cut { seed, ..cut })
        }
        other @ (Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_)) => other,
    };
    Fault { id: FaultId { part, ..fault.id }, kind, ..fault }
}

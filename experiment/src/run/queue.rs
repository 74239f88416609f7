//! The steps of one part of a run: one after the other, and some beside.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::Moment;
use super::action::{Action, Perform};
use super::event::{CallId, Ending};
use super::invocation::{Concern, Invocation};
use super::lot::Lot;
use super::progress::Section;
use super::shared::Shared;
use super::step::{Ended, How, Step};
use crate::hint;
use crate::journal::Item;
use crate::model::{Activity, Instances, Lane, OutputName};
use crate::redaction::Confidential;
use crate::restoration;

/// Why a rollback is left to people.
const UNKEPT: &str =
    "a secret stood in its words, which is not kept: it is owed no more, and left to you";

/// A step whose turn has not come.
#[derive(Clone, Debug)]
struct Pending {
    activity: Arc<Activity>,
    index: usize,
    instance: Option<(OutputName, Value)>,
}

/// What the queue waits for before it goes on.
#[derive(Clone, Debug)]
enum Front {
    Step(Box<Step>),
    /// The targets that a step is repeated for.
    Targets(CallId, Pending),
}

/// What a step made of something that it heard.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Heed {
    None,
    Changed,
    Took,
}

/// The steps of one part of a run.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    section: Section,
    pending: VecDeque<Pending>,
    front: Option<(Front, Option<usize>)>,
    beside: Vec<(Step, Option<usize>)>,
    items: Vec<Item>,
    /// Places of items that changed since this was asked last.
    changed: BTreeSet<usize>,
    ended: Vec<Ended>,
    /// Places in the experiment of steps that are still to be attempted by somebody else.
    left: BTreeSet<usize>,
}

impl Queue {
    pub(super) fn new(
        section: Section,
        steps: impl IntoIterator<Item = (usize, Arc<Activity>)>,
    ) -> Self {
        let pending = |(index, activity)| Pending { activity, index, instance: None };
        let pending = steps.into_iter().map(pending).collect();
        Self {
            section,
            pending,
            front: None,
            beside: Vec::new(),
            items: Vec::new(),
            changed: BTreeSet::new(),
            ended: Vec::new(),
            left: BTreeSet::new(),
        }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// What changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> Vec<(usize, Item)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|at| Some((at, self.items.get(at)?.clone()))).collect()
    }

    pub(super) fn is_over(&self) -> bool {
        self.pending.is_empty() && self.front.is_none() && self.beside.is_empty()
    }

    /// Whether nothing but what runs beside is left.
    pub(super) fn has_front(&self) -> bool {
        !self.pending.is_empty() || self.front.is_some()
    }

    /// Which steps have not come to their end, and those that never do, as somebody stopped them before it: by
    /// their place in the experiment.
    pub(super) fn unfinished(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.pending.iter().map(|pending| pending.index).collect();
        places.extend(&self.left);
        match &self.front {
            Some((Front::Step(step), _)) if step.is_owed() => places.push(step.index),
            Some((Front::Targets(_, pending), _)) => places.push(pending.index),
            Some((Front::Step(_), _)) | None => (),
        }
        let beside = self.beside.iter().filter(|(step, _)| step.is_owed());
        places.extend(beside.map(|(step, _)| step.index));
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Nothing more is begun, as nothing more is to be.
    pub(super) fn stop(&mut self) {
        self.pending.clear();
    }

    /// Nothing more is begun here: what is pending is left to somebody else.
    pub(super) fn leave(&mut self) {
        self.left.extend(self.pending.drain(..).map(|pending| pending.index));
    }

    /// Begins the next step if nothing stands before it. Whether it did.
    pub(super) fn advance(&mut self, shared: &mut Shared, now: Moment) -> bool {
        if self.front.is_some() {
            return false;
        }
        let Some(next) = self.pending.pop_front() else { return false };
        if self.is_for_people(&next.activity, shared) {
            let why = format!("{UNKEPT}{}play it by hand", hint::MARK);
            self.refuse(&next, How::Failed(why), shared, now);
            return true;
        }
        if next.instance.is_none() && next.activity.for_each.is_some() {
            self.expand(next, shared, now);
            return true;
        }
        let Pending { activity, index, instance } = next;
        let is_beside = activity.lane == Lane::Background && !self.section.is_hypothesis();
        let mut step = Step::new(activity, index, self.section, instance);
        step.begin(shared, now);
        let slot = self.write(&step, None);
        if is_beside {
            self.beside.push((step, slot));
        } else {
            self.front = Some((Front::Step(Box::new(step)), slot));
        }
        self.settle();
        true
    }

    /// Whether a rollback that another run owed had a secret in its own words: nobody can ever play it from what is
    /// kept of them.
    fn is_for_people(&self, activity: &Activity, shared: &Shared) -> bool {
        self.section == Section::Rollbacks
            && shared.faults.finish_another()
            && restoration::is_unplayable(activity)
    }

    /// A step for each of several things takes its own place.
    fn expand(&mut self, pending: Pending, shared: &mut Shared, now: Moment) {
        let Some(each) = &pending.activity.for_each else { return };
        let values = match &each.instances {
            Instances::Values(values) => Ok(shared.scope.value(&Value::Array(values.clone()))),
            Instances::Value(template) => Ok(shared.scope.template(template)),
            Instances::Targets(selector) => Err(shared.scope.worded(selector)),
        };
        match values {
            Ok(values) => self.repeat(pending, &values, shared, now),
            Err(selector) => {
                let call = shared.call();
                let lot = Lot { section: self.section, index: pending.index, instance: None };
                let seed = lot.seed(shared.terms.seed);
                let concern = Concern::of(&pending.activity.provider);
                let perform = Perform {
                    call,
                    name: shared.redaction.text(&pending.activity.name),
                    invocation: Confidential::new(Invocation::Targets { selector, seed, concern }),
                    fault: None,
                };
                self.front = Some((Front::Targets(call, pending), None));
                shared.ask(Action::Perform(Box::new(perform)));
            }
        }
    }

    fn repeat(&mut self, pending: Pending, values: &Value, shared: &mut Shared, now: Moment) {
        let (Value::Array(values), Some(each)) = (values, &pending.activity.for_each) else {
            let why = "`for-each` needs a list".to_owned();
            return self.refuse(&pending, How::Failed(why), shared, now);
        };
        for value in values.iter().rev() {
            let instance = Some((each.name.clone(), value.clone()));
            let activity = pending.activity.clone();
            self.pending.push_front(Pending { activity, index: pending.index, instance });
        }
    }

    /// A step that is repeated for something that cannot be found.
    fn refuse(&mut self, pending: &Pending, how: How, shared: &mut Shared, now: Moment) {
        let mut step = Step::new(
            pending.activity.clone(),
            pending.index,
            self.section,
            pending.instance.clone(),
        );
        step.refuse(how, shared, now);
        let slot = self.write(&step, None);
        self.front = Some((Front::Step(Box::new(step)), slot));
        self.settle();
    }

    /// Puts down what a step came to so far, in the order in which steps began.
    fn write(&mut self, step: &Step, slot: Option<usize>) -> Option<usize> {
        let item = step.item.clone()?;
        let slot = match slot.and_then(|slot| self.items.get_mut(slot).map(|there| (slot, there))) {
            Some((slot, there)) => {
                *there = item;
                slot
            }
            None => {
                self.items.push(item);
                self.items.len() - 1
            }
        };
        self.changed.insert(slot);
        Some(slot)
    }

    /// Takes out what is over.
    fn settle(&mut self) {
        if let Some((Front::Step(step), _)) = &self.front
            && step.is_over()
            && let Some((Front::Step(step), _)) = self.front.take()
        {
            self.take(*step);
        }
        let (over, on): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.beside).into_iter().partition(|(step, _)| step.is_over());
        self.beside = on;
        over.into_iter().for_each(|(step, _)| self.take(step));
    }

    fn take(&mut self, step: Step) {
        if step.is_owed() {
            self.left.insert(step.index);
        }
        self.ended.push(step.ended());
    }

    /// What has ended since this was asked last.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// Whether the answer was for a step of this queue.
    pub(super) fn finished(
        &mut self,
        call: CallId,
        ending: &Ending,
        shared: &mut Shared,
        now: Moment,
    ) -> bool {
        if let Some((Front::Targets(own, pending), _)) = &self.front
            && *own == call
        {
            let pending = pending.clone();
            self.front = None;
            match ending {
                Ending::Returned(targets) => self.repeat(pending, targets, shared, now),
                Ending::Failed(why) | Ending::Interrupted(why) => {
                    self.refuse(&pending, How::Failed(why.clone()), shared, now);
                }
                Ending::Crashed(why) => {
                    self.refuse(&pending, How::Crashed(why.clone()), shared, now);
                }
                Ending::Untried => self.refuse(&pending, How::Stopped, shared, now),
            }
            return true;
        }
        self.hear(
            |step| {
                if step.finished(call, ending, shared, now) { Heed::Took } else { Heed::None }
            },
        )
    }

    pub(super) fn tick(&mut self, shared: &mut Shared, now: Moment) {
        self.hear(|step| {
            if step.wake().is_none_or(|wake| wake > now) {
                return Heed::None;
            }
            step.tick(shared, now);
            Heed::Changed
        });
    }

    /// Stops the step that others wait for.
    pub(super) fn abort_front(&mut self, shared: &mut Shared, now: Moment) {
        match &mut self.front {
            Some((Front::Step(step), slot)) => {
                step.abort(shared, now);
                let (step, slot) = (step.clone(), *slot);
                let slot = self.write(&step, slot);
                self.front = Some((Front::Step(step), slot));
            }
            Some((Front::Targets(..), _)) => self.give_up_targets(shared, now),
            None => (),
        }
        self.settle();
    }

    /// Stops all steps.
    pub(super) fn abort(&mut self, shared: &mut Shared, now: Moment) {
        self.hear(|step| {
            step.abort(shared, now);
            Heed::Changed
        });
        self.give_up_targets(shared, now);
    }

    /// Waits for no step any longer, but leaves none out.
    pub(super) fn hurry(&mut self, shared: &mut Shared, now: Moment) {
        self.hear(|step| {
            step.hurry(shared, now);
            Heed::Changed
        });
        self.give_up_targets(shared, now);
    }

    /// What a step is repeated for is not waited for any longer.
    fn give_up_targets(&mut self, shared: &mut Shared, now: Moment) {
        if let Some((Front::Targets(call, pending), _)) = &self.front {
            let pending = pending.clone();
            shared.ask(Action::Abort(*call));
            self.front = None;
            self.refuse(&pending, How::Stopped, shared, now);
        }
    }

    /// Lets steps hear something until one takes it, and puts down what changed. Whether one took it.
    fn hear(&mut self, mut hear: impl FnMut(&mut Step) -> Heed) -> bool {
        let mut front = self.front.take();
        let mut beside = std::mem::take(&mut self.beside);
        let first = match &mut front {
            Some((Front::Step(step), slot)) => Some((step.as_mut(), slot)),
            Some((Front::Targets(..), _)) | None => None,
        };
        let mut taken = false;
        for (step, slot) in
            first.into_iter().chain(beside.iter_mut().map(|(step, slot)| (step, slot)))
        {
            let heed = hear(step);
            if heed != Heed::None {
                *slot = self.write(step, *slot);
            }
            if heed == Heed::Took {
                taken = true;
                break;
            }
        }
        self.front = front;
        self.beside = beside;
        self.settle();
        taken
    }

    pub(super) fn wake(&self) -> Option<Moment> {
        let front = match &self.front {
            Some((Front::Step(step), _)) => step.wake(),
            Some((Front::Targets(..), _)) | None => None,
        };
        self.beside.iter().filter_map(|(step, _)| step.wake()).chain(front).min()
    }
}

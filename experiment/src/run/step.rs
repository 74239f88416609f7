//! One step on its way: hooks, pause, tries, comparisons, pause, hooks.

mod judging;
mod performing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Moment;
use super::action::{Action, Level, NamedFault};
use super::event::{CallId, Ending};
use super::hooks::{Heard, Hooks};
use super::invocation::seconds;
use super::progress::{Progress, Section};
use super::shared::Shared;
use super::terms::Verdicts;
use crate::journal::{Item, Status, StepStatus};
use crate::model::{
    Activity, ActivityKind, Call, Dry, OutputName, Provider, Side, Tolerance, Verb, Wait,
};
use crate::substitution::Scope;

/// How a step came to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum How {
    /// With an output.
    Succeeded,
    /// It failed.
    Failed(String),
    /// In a way without a name.
    Crashed(String),
    /// Somebody stopped it before its end.
    Stopped,
    /// It was not tried, and why: it is left to somebody who knows what it needs.
    Left(String),
    /// It wants the whole run to end.
    Asked,
}

/// What a step came to.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) activity: Arc<Activity>,
    pub(super) how: How,
    /// Whether it is still to be attempted.
    pub(super) is_owed: bool,
    /// Whether its output was within its tolerance; `None` where nobody looked.
    pub(super) met: Option<bool>,
    /// Why its output could not be compared.
    pub(super) incomparable: Option<String>,
    /// Why the run is to end.
    pub(super) interrupts: Option<String>,
    /// What it found.
    pub(super) output: Value,
}

#[derive(Clone, Debug)]
enum Stage {
    New,
    Before(Hooks),
    PauseBefore(Moment),
    Running {
        call: CallId,
        deadline: Option<Moment>,
    },
    /// A probe says whether the output is within a tolerance.
    Asking {
        call: CallId,
        deadline: Option<Moment>,
    },
    Waiting(Moment),
    PauseAfter(Moment),
    After(Hooks),
    Over,
}

/// What a tolerance decides.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    /// Whether there is another try.
    Until,
    /// Whether all is as it should be.
    Tolerance,
}

/// A step on its way.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) activity: Arc<Activity>,
    pub(super) index: usize,
    pub(super) section: Section,
    /// What it is repeated for, and this time.
    instance: Option<(OutputName, Value)>,
    stage: Stage,
    pub(super) item: Option<Item>,
    began: Moment,
    tries: u32,
    /// Until when this try may take, with whatever its output is compared by.
    deadline: Option<Moment>,
    fault: Option<NamedFault>,
    value: Value,
    criteria: VecDeque<(Role, Tolerance)>,
    /// The provider of a tolerance that is asked.
    asked: Option<(Role, Provider)>,
    how: How,
    met: Option<bool>,
    incomparable: Option<String>,
    interrupts: Option<String>,
}

impl Step {
    pub(super) fn new(
        activity: Arc<Activity>,
        index: usize,
        section: Section,
        instance: Option<(OutputName, Value)>,
    ) -> Self {
        Self {
            activity,
            index,
            section,
            instance,
            stage: Stage::New,
            item: None,
            began: Moment::ZERO,
            tries: 0,
            deadline: None,
            fault: None,
            value: Value::Null,
            criteria: VecDeque::new(),
            asked: None,
            how: How::Stopped,
            met: None,
            incomparable: None,
            interrupts: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether it is still to be attempted: it has not come to its end, or somebody stopped it before that. What
    /// a heal does is done by the end of the run, or its fault is owed.
    pub(super) fn is_owed(&self) -> bool {
        let heals =
            matches!(&self.activity.provider, Provider::Schism(Call { verb: Verb::Heal, .. }));
        match self.stage {
            Stage::New
            | Stage::Before(_)
            | Stage::PauseBefore(_)
            | Stage::Running { .. }
            | Stage::Asking { .. }
            | Stage::Waiting(_) => true,
            Stage::PauseAfter(_) | Stage::After(_) | Stage::Over => {
                matches!(self.how, How::Stopped | How::Left(_)) && !heals
            }
        }
    }

    pub(super) fn ended(self) -> Ended {
        Ended {
            is_owed: self.is_owed(),
            activity: self.activity,
            how: self.how,
            met: self.met,
            incomparable: self.incomparable,
            interrupts: self.interrupts,
            output: self.value,
        }
    }

    /// When it wants to be told that time has passed.
    pub(super) fn wake(&self) -> Option<Moment> {
        match self.stage {
            Stage::PauseBefore(until) | Stage::PauseAfter(until) | Stage::Waiting(until) => {
                Some(until)
            }
            Stage::Running { deadline, .. } | Stage::Asking { deadline, .. } => deadline,
            Stage::New | Stage::Before(_) | Stage::After(_) | Stage::Over => None,
        }
    }

    fn scope<'s>(&self, shared: &'s Shared) -> std::borrow::Cow<'s, Scope> {
        match &self.instance {
            Some((name, value)) => {
                std::borrow::Cow::Owned(shared.scope.with_instance(name, value.clone()))
            }
            None => std::borrow::Cow::Borrowed(&shared.scope),
        }
    }

    fn written(&self) -> Map<String, Value> {
        self.activity.written.clone().unwrap_or_else(|| self.activity.rendered())
    }

    fn hooks(&self, shared: &Shared, side: Side) -> Hooks {
        let context = || Value::Object(self.written());
        let state = || match (&self.item, side) {
            (Some(item), Side::After) => serde_json::to_value(item).unwrap_or_default(),
            (Some(_) | None, _) => Value::Null,
        };
        Hooks::new(shared, Level::Activity, side, &self.activity.controls, context, state)
    }

    pub(super) fn begin(&mut self, shared: &mut Shared, now: Moment) {
        let mut hooks = self.hooks(shared, Side::Before);
        if hooks.advance(shared) {
            self.pause_before(shared, now);
        } else {
            self.stage = Stage::Before(hooks);
        }
    }

    /// What is only rehearsed of it. In the original, a step that says anything about this itself is not
    /// rehearsed at all.
    fn dry(&self, shared: &Shared) -> Option<Dry> {
        match (self.activity.dry, shared.terms.verdicts) {
            (None, _) => shared.terms.dry,
            (Some(_), Verdicts::Compat) => None,
            (Some(own), Verdicts::Strict) => Some(own),
        }
    }

    fn is_rehearsed(&self, shared: &Shared) -> bool {
        self.dry(shared).is_some_and(|dry| dry.skips(self.activity.kind))
    }

    /// How long a pause is. Nothing, empty text and 0 are none.
    fn pause(&self, shared: &Shared, wait: Option<&Wait>) -> Result<Duration, String> {
        match wait {
            None => Ok(Duration::ZERO),
            Some(Wait::For(time)) => Ok(*time),
            Some(Wait::Value(template)) => match self.scope(shared).template(template) {
                value if !crate::tolerance::truthy(&value) => Ok(Duration::ZERO),
                value => seconds(template.as_str(), &value).map_err(|error| error.to_string()),
            },
        }
    }

    fn skips_pauses(&self, shared: &Shared) -> bool {
        self.dry(shared) == Some(Dry::Pause) || self.is_rehearsed(shared)
    }

    fn pause_before(&mut self, shared: &mut Shared, now: Moment) {
        match self.pause(shared, self.activity.pauses.before.as_ref()) {
            Ok(time) if time.is_zero() || self.skips_pauses(shared) => self.start(shared, now),
            Ok(time) => {
                shared.tell(Progress::Pause { name: self.shown_name(shared), time });
                self.stage = Stage::PauseBefore(now + time);
            }
            Err(why) => {
                self.enter(shared, now);
                self.end(How::Crashed(why), shared, now);
            }
        }
    }

    fn shown_name(&self, shared: &Shared) -> String {
        shared.redaction.text(&self.activity.name)
    }

    /// It begins for whoever watches.
    fn enter(&mut self, shared: &mut Shared, now: Moment) {
        self.began = now;
        let mut ours = Map::new();
        if let Some((name, value)) = &self.instance {
            ours.insert(name.to_string(), shared.shown(value));
        }
        self.item = Some(Item {
            activity: match &self.instance {
                Some(_) => shared.shown_turn(&self.activity),
                None => shared.shown_step(&self.activity),
            },
            output: Value::Null,
            start: shared.at(now),
            status: None,
            exception: None,
            end: None,
            duration: None,
            tolerance_met: None,
            ours,
        });
        shared.tell(Progress::StepBegan {
            section: self.section,
            name: self.shown_name(shared),
            kind: self.activity.kind,
            lane: self.activity.lane,
        });
        self.record(shared);
    }

    fn start(&mut self, shared: &mut Shared, now: Moment) {
        self.enter(shared, now);
        if self.is_rehearsed(shared) {
            // Whoever rehearses the probes of a hypothesis looks at no tolerance, and takes them for met.
            let is_judged = self.section.is_hypothesis();
            if is_judged && !self.dry(shared).is_some_and(Dry::skips_tolerances) {
                self.returned(Value::Null, shared, now);
            } else {
                self.met = is_judged.then_some(true);
                self.end(How::Succeeded, shared, now);
            }
            return;
        }
        self.attempt(shared, now);
    }

    /// It cannot even begin.
    pub(super) fn refuse(&mut self, how: How, shared: &mut Shared, now: Moment) {
        self.enter(shared, now);
        if self.section.is_hypothesis() && how != How::Stopped {
            self.met = Some(false);
        }
        self.end(how, shared, now);
        self.skip_pause(shared);
    }

    /// Whether the answer was for this step.
    pub(super) fn finished(
        &mut self,
        call: CallId,
        ending: &Ending,
        shared: &mut Shared,
        now: Moment,
    ) -> bool {
        match &mut self.stage {
            Stage::Before(hooks) => match hooks.finished(call, ending, shared) {
                Heard::NotMine => return false,
                Heard::GoesOn => (),
                Heard::Over => self.pause_before(shared, now),
                Heard::Interrupts(why) => {
                    self.interrupts = Some(why);
                    // No hook keeps a rollback from being played.
                    let is_owed = self.section == Section::Rollbacks
                        && shared.terms.verdicts == Verdicts::Strict;
                    if is_owed {
                        self.pause_before(shared, now);
                    } else {
                        self.close(shared);
                    }
                }
            },
            Stage::After(hooks) => match hooks.finished(call, ending, shared) {
                Heard::NotMine => return false,
                Heard::GoesOn => (),
                Heard::Over => self.stage = Stage::Over,
                Heard::Interrupts(why) => {
                    self.interrupts.get_or_insert(why);
                    self.stage = Stage::Over;
                }
            },
            Stage::Running { call: own, .. } if *own == call => {
                self.performed(ending, shared, now);
            }
            Stage::Asking { call: own, .. } if *own == call => self.answered(ending, shared, now),
            Stage::New
            | Stage::PauseBefore(_)
            | Stage::Running { .. }
            | Stage::Asking { .. }
            | Stage::Waiting(_)
            | Stage::PauseAfter(_)
            | Stage::Over => return false,
        }
        true
    }

    pub(super) fn tick(&mut self, shared: &mut Shared, now: Moment) {
        match self.stage {
            Stage::PauseBefore(until) if until <= now => self.start(shared, now),
            Stage::Waiting(until) if until <= now => self.attempt(shared, now),
            Stage::PauseAfter(until) if until <= now => self.close(shared),
            Stage::Running { call, deadline: Some(deadline) } if deadline <= now => {
                self.overdue(call, shared, now);
            }
            Stage::Asking { call, deadline: Some(deadline) } if deadline <= now => {
                self.unanswered(call, shared, now);
            }
            Stage::New
            | Stage::Before(_)
            | Stage::PauseBefore(_)
            | Stage::Running { .. }
            | Stage::Asking { .. }
            | Stage::Waiting(_)
            | Stage::PauseAfter(_)
            | Stage::After(_)
            | Stage::Over => (),
        }
    }

    /// Stops it. Hooks that close it are still performed; a second word stops these too.
    pub(super) fn abort(&mut self, shared: &mut Shared, now: Moment) {
        match &mut self.stage {
            Stage::New => self.stage = Stage::Over,
            Stage::Before(hooks) => {
                hooks.abort(shared);
                self.close(shared);
            }
            Stage::After(hooks) => {
                hooks.abort(shared);
                self.stage = Stage::Over;
            }
            Stage::PauseBefore(_) | Stage::PauseAfter(_) => self.close(shared),
            Stage::Running { call, .. } => {
                let call = *call;
                self.give_up(call, shared);
                self.end(How::Stopped, shared, now);
                self.skip_pause(shared);
            }
            Stage::Asking { call, .. } => {
                shared.ask(Action::Abort(*call));
                self.end(How::Stopped, shared, now);
                self.skip_pause(shared);
            }
            Stage::Waiting(_) => {
                self.end(How::Stopped, shared, now);
                self.skip_pause(shared);
            }
            Stage::Over => (),
        }
    }

    /// It is not waited for any longer, but what was not attempted is.
    pub(super) fn hurry(&mut self, shared: &mut Shared, now: Moment) {
        match &mut self.stage {
            Stage::Before(hooks) => {
                hooks.abort(shared);
                self.start(shared, now);
            }
            Stage::PauseBefore(_) => self.start(shared, now),
            Stage::New => (),
            Stage::Running { .. }
            | Stage::Asking { .. }
            | Stage::Waiting(_)
            | Stage::PauseAfter(_)
            | Stage::After(_)
            | Stage::Over => self.abort(shared, now),
        }
    }

    fn skip_pause(&mut self, shared: &mut Shared) {
        if matches!(self.stage, Stage::PauseAfter(_)) {
            self.close(shared);
        }
    }

    /// It has an end, and waits after it.
    fn end(&mut self, how: How, shared: &mut Shared, now: Moment) {
        self.how = how;
        let took = now.saturating_sub(self.began);
        let at = shared.at(now);
        let output = shared.shown(&self.value);
        let error = match &self.how {
            How::Failed(why) | How::Crashed(why) | How::Left(why) => {
                Some(shared.redaction.text(why))
            }
            How::Succeeded | How::Stopped | How::Asked => None,
        };
        if let Some(item) = &mut self.item {
            item.status = match (&self.how, shared.terms.verdicts) {
                (How::Succeeded, _) => Some(StepStatus::Succeeded),
                (How::Failed(_), _) | (How::Crashed(_), Verdicts::Strict) => {
                    Some(StepStatus::Failed)
                }
                (How::Stopped | How::Left(_) | How::Asked, Verdicts::Strict) => {
                    Some(StepStatus::Interrupted)
                }
                (How::Crashed(_) | How::Stopped | How::Left(_) | How::Asked, Verdicts::Compat) => {
                    None
                }
            };
            item.output = output.clone();
            let told = error.clone().filter(|_| item.status.is_some());
            item.exception = told.map(|why| why.lines().map(|line| format!("{line}\n")).collect());
            item.end = Some(at);
            item.duration = Some(took.as_secs_f64());
            item.tolerance_met = self.met;
            if self.tries > 1 {
                item.ours.insert("attempts".to_owned(), self.tries.into());
            }
            if let Some(fault) = &self.fault {
                item.ours.insert("fault".to_owned(), fault.label.as_str().into());
            }
            if let Some(why) = &self.incomparable {
                let why = shared.redaction.text(why);
                item.ours.insert("incomparable".to_owned(), why.into());
            }
        }
        if let Some(name) = self.activity.output.as_ref().filter(|_| self.how == How::Succeeded) {
            shared.scope.remember(name, self.value.clone());
        }
        shared.tell(Progress::StepEnded {
            section: self.section,
            name: self.shown_name(shared),
            kind: self.activity.kind,
            status: match self.how {
                How::Succeeded => Some(Status::Completed),
                How::Failed(_) => Some(Status::Failed),
                How::Crashed(_) => Some(Status::Aborted),
                How::Stopped | How::Left(_) | How::Asked => Some(Status::Interrupted),
            },
            took,
            output,
            error,
            met: self.met,
        });
        self.record(shared);
        match self.pause(shared, self.activity.pauses.after.as_ref()) {
            Ok(time) if time.is_zero() || self.skips_pauses(shared) => self.close(shared),
            Ok(time) => {
                shared.tell(Progress::Pause { name: self.shown_name(shared), time });
                self.stage = Stage::PauseAfter(now + time);
            }
            Err(why) => {
                if self.how == How::Succeeded {
                    self.how = How::Crashed(why);
                }
                self.close(shared);
            }
        }
    }

    /// A look at the steady state is written down whole, and not before.
    fn record(&self, shared: &mut Shared) {
        if !self.section.is_hypothesis() {
            shared.record();
        }
    }

    fn close(&mut self, shared: &mut Shared) {
        let mut hooks = self.hooks(shared, Side::After);
        if hooks.advance(shared) {
            self.stage = Stage::Over;
        } else {
            self.stage = Stage::After(hooks);
        }
    }

    /// Whether its tolerance is looked at: in a hypothesis always, elsewhere where verdicts are strict.
    fn is_judged(&self, shared: &Shared) -> bool {
        self.section.is_hypothesis()
            || (shared.terms.verdicts == Verdicts::Strict
                && self.activity.kind == ActivityKind::Probe)
    }
}
